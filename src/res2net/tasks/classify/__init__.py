"""Image classification: scores, pictures and the one-page report (paper 4.2, 4.3)."""
