"""Early warning: surges of feedback against their own history, and texts that say nearly the same."""
