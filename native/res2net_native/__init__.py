"""Holds the compiled native engine, which ``res2net.native`` opens."""
