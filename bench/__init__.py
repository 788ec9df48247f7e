"""Measurements: ratios of two things taken in the same run, on real text."""

import models  # noqa: F401 - before torch, which then reads how its threads are to wait
