"""Semantic segmentation: DeepLab v3+ (paper section 4.7, Table 7)."""
