"""Kafka, Redis and HTTP: how they are reached, waited for, read and written."""
