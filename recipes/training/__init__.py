"""Training: options, optimizer, evaluations, checkpoints."""
