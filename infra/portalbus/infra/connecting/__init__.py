"""How a portal begins: the file to start from, a look at its source, and a marked event through the whole bus."""
