"""Films that belong together although their patients' ids differ: of one study, one number, or one original."""

from collections import defaultdict

from stages.ingest.types import FilmResult

REASONS = {
    "number": "their patient ids differ only in punctuation, leading zeros, or an issuer that one header lacks",
    "study": "one study with several patient ids",
    "original": "augmented copies of one film with several patient ids",
}


def kin_of(taken: list[FilmResult]) -> tuple[list[tuple[int, int]], list[str]]:
    """Pairs of films that belong to one patient, and a sentence for each family whose films have several patient ids.

    Args:
        taken: films in the order of the manifest.
    """
    without_issuer = {result.number[0] for result in taken if not result.number[1]}
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, result in enumerate(taken):
        number, issuer = result.number
        if number:
            families["number", number if number in without_issuer else f"{number} {issuer}"].append(place)
        if result.study:
            families["study", result.study].append(place)
        if result.original:
            families["original", f"{result.source} {result.original}"].append(place)
    pairs, findings = [], []
    for (kind, _), members in families.items():
        pairs += [(members[0], other) for other in members[1:]]
        patients = {
            row["patient_id"]: taken[place].image_id for place in reversed(members) if (row := taken[place].row)
        }
        if len(patients) > 1:
            findings.append(f"{' and '.join(sorted(patients.values()))}: {REASONS[kind]}")
    return pairs, sorted(set(findings))
