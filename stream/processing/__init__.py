"""The way of a micro-batch: admitted, scored, judged, sent in order, acknowledged."""
