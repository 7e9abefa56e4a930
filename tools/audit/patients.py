"""Which patients a user means, by the manifests of all versions: other pseudonyms, other spellings, kin."""

from pathlib import PurePosixPath


def patients_called(films: list[dict[str, str]], what: str) -> set[str]:
    """The patients of one version whose pseudonym that is; if it is none, those with a film of that name."""
    found = {row["patient_id"] for row in films if what in names_of(row)}
    return {what} if what in found else found


def names_of(row: dict[str, str]) -> tuple[str, ...]:
    """The words by which a user can name a film of the manifest."""
    file = row["source_file"] or row["image_id"]
    return row["patient_id"], row["image_id"], row["sha256"], file, PurePosixPath(file).name


def other_pseudonyms(manifests: list[list[dict[str, str]]], patients: set[str]) -> set[str]:
    """Pseudonyms that versions without the patients give to the source files of theirs.

    They come from another key, another name of the source, or a table of patients that was added. A pseudonym that
    stands beside the patients' in any version is another patient's, who has a copy of the file.

    Args:
        manifests: rows of every version.
        patients: pseudonyms.
    """
    films = {row["sha256"] for rows in manifests for row in rows if row["patient_id"] in patients}
    others, beside = set[str](), set[str]()
    for rows in manifests:
        pseudonyms = {row["patient_id"] for row in rows}
        if pseudonyms & patients:
            beside |= pseudonyms
        else:
            others |= {row["patient_id"] for row in rows if row["sha256"] in films}
    return others - beside


def of_same_numbers(numbers: list[dict[str, str]], patients: set[str]) -> tuple[set[str], set[str]]:
    """The patients whose numbers are those of some, in another spelling perhaps, and the pseudonyms of the numbers."""
    of = {row["number_id"] for row in numbers if row["patient_id"] in patients}
    return patients | {row["patient_id"] for row in numbers if row["number_id"] in of}, of


def kin(manifests: list[list[dict[str, str]]], patients: set[str]) -> set[str]:
    """Other patients with a film in a group of theirs: a copy, one study, or one patient under two numbers.

    Args:
        manifests: rows of every version.
        patients: pseudonyms.
    """
    found = set[str]()
    for rows in manifests:
        groups = {row.get("group") for row in rows if row["patient_id"] in patients} - {None, ""}
        found |= {row["patient_id"] for row in rows if row.get("group") in groups}
    return found - patients


def own_hashes(manifests: list[list[dict[str, str]]], patients: set[str]) -> set[str]:
    """SHA-256 of source files and pixels of some patients' films, without those that another patient has, too.

    Args:
        manifests: rows of every version.
        patients: pseudonyms.
    """
    own, others = set[str](), set[str]()
    for row in (row for rows in manifests for row in rows):
        hashes = {row["sha256"], row.get("pixel_sha256") or ""}
        (own if row["patient_id"] in patients else others).update(hashes - {""})
    return own - others
