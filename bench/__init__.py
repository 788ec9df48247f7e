"""Measurements: ratios of two things taken in the same run, on real text."""
