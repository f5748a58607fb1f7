"""Salient objects: DSS (paper section 4.9, Table 9)."""
