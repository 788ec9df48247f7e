"""Events in, alerts out: Kafka, Redis, rules and routing. Sees the model only as an interface."""
