"""Records into what they say, in a process of its own: hostile bytes can kill that one, and it has a core to itself."""
