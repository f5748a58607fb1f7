"""Training: the run's configuration, Lightning's Trainer and its callbacks, the run folder."""
