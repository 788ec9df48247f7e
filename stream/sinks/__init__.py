"""Receivers: each module is one way out for notifications."""
