"""Why an alert was raised, and whether it repeats."""
