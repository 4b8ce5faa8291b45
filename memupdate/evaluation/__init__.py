"""Official scores, confidence intervals, and the before-and-after report."""
