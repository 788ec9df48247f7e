"""Labelled texts: files read and checked, copies merged, parts split. Loads no torch."""
