"""Where a network looks, and how far it can see."""
