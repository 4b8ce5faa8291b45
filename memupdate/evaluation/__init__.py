"""Official scores and confidence intervals; :mod:`memupdate.evaluation.report` compares a policy before and after."""

from memupdate.evaluation.intervals import Interval, cluster_bootstrap
from memupdate.evaluation.locomo import LocomoScores, MeanScore, locomo_score, locomo_scores

__all__ = ["Interval", "LocomoScores", "MeanScore", "cluster_bootstrap", "locomo_score", "locomo_scores"]
