"""LoCoMo's official scores and confidence intervals. :mod:`.report` compares a policy before and after training."""

from memupdate.evaluation.intervals import Interval, cluster_bootstrap
from memupdate.evaluation.locomo import LocomoScores, MeanScore, locomo_score, locomo_scores

__all__ = ["Interval", "LocomoScores", "MeanScore", "cluster_bootstrap", "locomo_score", "locomo_scores"]
