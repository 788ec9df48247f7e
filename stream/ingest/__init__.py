"""From raw Kafka records to events: chunks, decoding, fields, text."""
