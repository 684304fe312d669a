"""The backbone on Kafka: `trackmate dev --kafka BOOTSTRAP`."""
