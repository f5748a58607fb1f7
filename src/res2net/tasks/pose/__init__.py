"""Key-points: SimpleBaseline (paper section 4.10, Table 10)."""
