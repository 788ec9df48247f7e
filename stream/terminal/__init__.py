"""What people and scripts read in a terminal: tables, JSON lines, log lines."""
