"""The whole system in one process, with nothing to install: what `bellwether demo` shows."""
