"""LoCoMo's official scores and confidence intervals. :mod:`.report` compares a policy before and after training."""

from memupdate.evaluation.intervals import Interval, mean_interval, score_interval
from memupdate.evaluation.locomo import LocomoScores, MeanScore, locomo_score, locomo_scores

__all__ = ["Interval", "LocomoScores", "MeanScore", "locomo_score", "locomo_scores", "mean_interval", "score_interval"]
