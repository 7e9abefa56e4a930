"""What the paper printed, and what its own figures imply.

Radillah, Defit and Nurcahyo, "Novel Use of Deep Learning for Adaptive Weighted Loss in the Segmentation of X-ray Images
for Detecting Wrist Fractures": overall rows beside Tables I and II.
"""

PUBLISHED = {
    "paper, fixed weights": {"accuracy": 0.7076, "precision": 0.8092, "recall": 0.8063, "f1": 0.8077},
    "paper, adaptive weights": {"accuracy": 0.7134, "precision": 0.7873, "recall": 0.8543, "f1": 0.8184},
}


def implied_prevalence(accuracy: float, precision: float, recall: float) -> float:
    """The share of fracture pixels that follows from three metrics of one confusion matrix, 0..1.

    With TP = 1: FP = 1/P - 1, FN = 1/R - 1, and accuracy fixes TN; solved for (TP + FN) / all.
    """
    return (1 - accuracy) / (recall / precision - 2 * recall + 1)


def everything_f1(prevalence: float) -> float:
    """F1 of calling every pixel a fracture: precision is the prevalence and recall is 1."""
    return 2 * prevalence / (1 + prevalence)
