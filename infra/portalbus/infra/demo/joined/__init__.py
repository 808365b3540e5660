"""Portals of every other kind in the demo: a database, HTTP, a feed, a view, files, an Open311 service; all real."""
