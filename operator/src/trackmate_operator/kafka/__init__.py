"""Topics, users and the registry, on any Kafka."""
