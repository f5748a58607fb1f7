"""Training: the run's configuration, the assembly of Lightning's Trainer, what surrounds it."""
