"""One worker process: assembled, watched, and ended when it can't go on."""
