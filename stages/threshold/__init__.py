"""Threshold: every preprocessed film is split into grey levels.

`multilevel_thresholds` is of use by itself: from stages.threshold import multilevel_thresholds
"""

from stages.threshold.multilevel import multilevel_thresholds, objective, split_levels

__all__ = ["multilevel_thresholds", "objective", "split_levels"]
