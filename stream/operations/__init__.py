"""What an operator sees and does: health, metrics, doctor, ledger, dead letters."""
