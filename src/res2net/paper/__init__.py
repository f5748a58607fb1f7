"""The spec room: every network, recipe and published result of the paper. No torch in here."""
