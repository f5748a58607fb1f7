"""Class activation maps and receptive fields."""
