"""Feeds of directives and feedback: Atom (RFC 4287) and RSS 2.0."""
