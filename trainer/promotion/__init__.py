"""Whether a challenger becomes champion: its fit, the gate, the time in shadow; drift."""
