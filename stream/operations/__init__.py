"""What an operator sees and does: health, metrics, doctor, dead letters."""
