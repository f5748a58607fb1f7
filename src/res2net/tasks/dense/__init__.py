"""What detection, instances, segmentation, salient objects and key-points have in common."""
