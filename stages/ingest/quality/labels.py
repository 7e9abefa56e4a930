"""Which labels of a source were taken as fractures, and which were left out."""

from collections import Counter
from collections.abc import Iterable

from stages.common.analysis.formatting import label_in_words
from stages.ingest.types import FilmResult, SourcePlan


def label_sentences(plans: Iterable[SourcePlan], results: Iterable[FilmResult]) -> list[str]:
    """A sentence for every source with films: each class of its labels, and how many shapes have it.

    Args:
        plans: of all sources.
        results: of all films.
    """
    taken = [result for result in results if result.row]
    sentences = []
    for plan in plans:
        if not plan.films:
            continue
        entry, own = plan.films[0].entry, [result for result in taken if result.source == plan.source]
        fractures = Counter(row["label"] for result in own for row in result.shapes)
        others = sum((result.other_labels for result in own), Counter[str]())
        parts = [f"{fractures.total()} labels taken as fractures ({counts(fractures)})"]
        if others:
            parts.append(f"{others.total()} left out ({counts(others)})")
        if fractures and not entry.classes:
            parts.append(f"every {'other ' if others else ''}label is one, since `classes` is empty")
        sentences.append(f"{plan.source}: {'; '.join(parts)}")
    return sentences


def counts(labels: Counter[str]) -> str:
    """The classes, the most frequent first, each with its number."""
    ordered = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{label_in_words(label)}: {count}" for label, count in ordered) or "none"
