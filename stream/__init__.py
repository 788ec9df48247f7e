"""Events in, alerts out: Kafka, Redis, rules and routing. Sees the model only as an interface.

The way of a record: ingest/, processing/ with the model's batcher, subjects/, signals/, rules/ and
alerts/, then connections/outbox.py; from there notify/ and sinks/. worker/app.py assembles it all.
"""
