"""The transactional outbox of a portal that has a database, without the database: what `sql_outbox` and `django` share.

An *intent* is an event that a portal means to publish: a row that commits with the portal's own change or not at all.
A relay moves committed intents into the durable outbox of the SDK, in order, each once (docs/adr/0018).
"""
