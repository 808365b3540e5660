"""The console: how an office's portals stand, in plain words, and the next step as a button. Behind a login."""
