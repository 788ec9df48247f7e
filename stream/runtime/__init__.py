"""What every process that runs for months needs: its tasks, its memory, its retries."""
