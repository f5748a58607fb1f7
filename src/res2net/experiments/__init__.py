"""Networks trained side by side: studies of our own, and the paper's tables and figures."""
