"""What every adversarial run shares: the model base, checkpoints, run directory, and export."""
