"""The contracts of the bus: Avro schemas, typed models, codec, topics, agency directory and stateless rules."""
