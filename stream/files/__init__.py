"""Files of JSON lines: published to the source topics, or scored without Kafka."""
