"""What the paper printed, and what its own figures imply.

Radillah, Defit and Nurcahyo, "Novel Use of Deep Learning for Adaptive Weighted Loss in the Segmentation of X-ray Images
for Detecting Wrist Fractures": the overall rows, and the rows of single images.
"""

import pandas as pd

from stages.common.model.metrics import metrics

PUBLISHED = {
    "paper, fixed weights": {"accuracy": 0.7076, "precision": 0.8092, "recall": 0.8063, "f1": 0.8077},
    "paper, adaptive weights": {"accuracy": 0.7134, "precision": 0.7873, "recall": 0.8543, "f1": 0.8184},
}
IMAGES = {
    "paper, image 1": {"accuracy": 0.7287, "precision": 0.8285, "recall": 0.8203, "f1": 0.8244},
    "paper, image 2": {"accuracy": 0.7621, "precision": 0.9014, "recall": 0.8100, "f1": 0.8532},
    "paper, image 3": {"accuracy": 0.7224, "precision": 0.8228, "recall": 0.8197, "f1": 0.8212},
    "paper, image 4": {"accuracy": 0.6765, "precision": 0.7884, "recall": 0.7989, "f1": 0.7936},
    "paper, image 5": {"accuracy": 0.7734, "precision": 0.8001, "recall": 0.8625, "f1": 0.8301},
    "paper, image 6": {"accuracy": 0.6735, "precision": 0.7818, "recall": 0.8048, "f1": 0.7931},
    "paper, image 39": {"accuracy": 0.7064, "precision": 0.8339, "recall": 0.7776, "f1": 0.8048},
    "paper, image 40": {"accuracy": 0.7609, "precision": 0.8047, "recall": 0.8282, "f1": 0.8163},
}


def audit() -> pd.DataFrame:
    """Each published row with the confusion matrix that its accuracy, precision and recall imply.

    Returns:
        columns row, accuracy, precision, recall, f1 (as printed), f1_recomputed (2PR / (P + R)), prevalence, tp, fp,
        fn, tn (shares of all pixels), specificity, balanced_accuracy, mcc, iou, everything_f1 and everything_accuracy
        (of calling every pixel a fracture).
    """
    rows = []
    for name, printed in (PUBLISHED | IMAGES).items():
        accuracy, precision, recall = printed["accuracy"], printed["precision"], printed["recall"]
        prevalence = implied_prevalence(accuracy, precision, recall)
        tp = recall * prevalence
        shares = {"tp": tp, "fp": tp * (1 / precision - 1), "fn": prevalence - tp}
        shares["tn"] = 1 - sum(shares.values())
        implied = metrics(**shares)
        rows.append(
            {"row": name, **printed, "f1_recomputed": implied["f1"], "prevalence": prevalence, **shares}
            | {key: implied[key] for key in ("specificity", "balanced_accuracy", "mcc", "iou")}
            | {"everything_f1": everything_f1(prevalence), "everything_accuracy": prevalence}
        )
    return pd.DataFrame(rows)


def implied_prevalence(accuracy: float, precision: float, recall: float) -> float:
    """The share of fracture pixels that follows from three metrics of one confusion matrix, 0..1.

    With TP = 1: FP = 1/P - 1, FN = 1/R - 1, and accuracy fixes TN; solved for (TP + FN) / all.
    """
    return (1 - accuracy) / (recall / precision - 2 * recall + 1)


def everything_f1(prevalence: float) -> float:
    """F1 of calling every pixel a fracture: precision is the prevalence and recall is 1."""
    return 2 * prevalence / (1 + prevalence)
