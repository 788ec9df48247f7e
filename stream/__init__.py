"""Events in, alerts out: Kafka, Redis, rules and routing. Sees the model only as an interface.

The way of a record: ingest/, pipeline.py, the model's batcher, judge.py with subjects/, signals/,
rules/ and alerts/, outbox.py; then notify/ and sinks/. app.py assembles a worker.
"""
