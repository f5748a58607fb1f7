"""From a checkpoint to a deployed network: fold, export, quantise, verify."""
