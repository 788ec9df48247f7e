"""Fine-tuning on labelled texts: the loop, its methods, calibration, what keeps old answers."""
