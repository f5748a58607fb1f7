"""How the project draws: one style for every picture."""
