"""From people's feedback to labels: the log, what people agree on, what to ask them next."""
