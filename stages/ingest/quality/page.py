"""What a person should know and do about the data: one page, written by ingest."""

from collections import Counter, defaultdict

import pandas as pd

from stages.common.core.errors import first_few
from stages.common.core.markdown import plain
from stages.ingest.account import COLUMNS, Account
from stages.ingest.problems import Refusal
from stages.ingest.types import FilmResult, SourcePlan

SHOWN = 50
YES, NO = {"1", "yes", "true"}, {"0", "no", "false"}
# Columns that say whether a film has a fracture, and what a blank cell in them means.
FLAGS = {"fractured": "", "fracture_visible": "0"}


def duplicate_findings(manifest: pd.DataFrame, pairs: list[tuple[int, int, int]]) -> list[str]:
    """A sentence for every pair of films that show the same, with what is bad about it."""
    rows = manifest.to_dict("records")
    findings = []
    for i, j, bits in pairs:
        one, other = rows[i], rows[j]
        same = one["pixel_sha256"] == other["pixel_sha256"]
        what = "identical pixels" if same else f"near copies ({bits} of 256 bits differ)"
        bad = []
        if (one["fractures"] > 0) != (other["fractures"] > 0):
            bad.append("one has a fracture and the other none: correct one")
        if one["split"] and other["split"] and one["split"] != other["split"]:
            bad.append(
                f"their source puts one into {one['split']} and the other into {other['split']}: the split leaks"
            )
        if one["patient_id"] != other["patient_id"]:
            bad.append("they count as two patients")
        findings.append(f"{one['image_id']} and {other['image_id']}: {what}" + "".join(f"; {b}" for b in bad))
    return findings


def split_findings(manifest: pd.DataFrame) -> list[str]:
    """Groups that stand on more than one side of a split that their source gives."""
    given = manifest[manifest["split"] != ""]
    sides = given.groupby("group")["split"].agg(lambda split: sorted(set(split)))
    ids = given.groupby("group")["image_id"].agg(list)
    return [
        f"group {group}: films in {' and '.join(names)} ({first_few(members)})"
        for group, names, members in zip(sides.index, sides, ids, strict=True)
        if len(names) > 1
    ]


def table_findings(manifest: pd.DataFrame, stated: dict[str, dict[str, str]]) -> list[str]:
    """Films whose row in their source's table contradicts itself or the labels.

    Columns looked at: `fractured` and `fracture_count` (FracAtlas), `fracture_visible` (GRAZPEDWRI-DX; blank means no).
    """
    findings = []
    for image_id, fractures in zip(manifest["image_id"], manifest["fractures"], strict=True):
        row = stated.get(image_id, {})
        says = {name: row[name].strip().lower() or blank for name, blank in FLAGS.items() if name in row}
        count = row.get("fracture_count", "").strip()
        flags = {value in YES for value in says.values() if value in YES | NO}
        if count.isdecimal() and flags and (int(count) > 0) not in flags:
            findings.append(f"{image_id}: its table says fracture_count {count} and the opposite in `fractured`")
        elif flags and (fractures > 0) not in flags:
            findings.append(f"{image_id}: its table says {says}, its labels hold {fractures} fractures")
    return findings


def quality_report(
    manifest: pd.DataFrame,
    refusals: list[Refusal],
    plans: list[SourcePlan],
    results: list[FilmResult],
    pairs: list[tuple[int, int, int]],
    one_patient: list[str],
    accounts: list[Account],
    labels: list[str],
    synthetic: bool,
    inbox: str,
) -> str:
    """The page as Markdown: first what a person must decide, each with what to do about it; then what came in.

    Args:
        manifest: of data/raw.
        refusals: of all files.
        plans: what the sources held.
        results: of all films.
        pairs: of copies, see `near_pairs`.
        one_patient: findings of `kin_of`.
        accounts: of all sources.
        labels: of `label_sentences`.
        synthetic: whether the sample is among the sources.
        inbox: what it held, in words; blank where no source reads it.
    """
    stated = {name: row for plan in plans for name, row in plan.stated.items()}
    notes: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for note in result.notes if result.row else []:
            notes[note].append(result.image_id)
    parts = ["# Data quality", ""]
    if synthetic:
        parts += ["Films of the sources `sample-*` are synthetic.", ""]
    decisions = [
        ("Refused", [refusal.reason for refusal in refusals], "Fix or remove the files; all are in quarantine.csv."),
        (
            "The same film more than once",
            duplicate_findings(manifest, pairs),
            "Each group of copies stays on one side of the split. Copies with opposite labels need a decision.",
        ),
        (
            "One patient under several ids",
            one_patient,
            "They share a group, which stays on one side of the split. Correct the ids, or tell why they differ.",
        ),
        ("The source's own split leaks", split_findings(manifest), "Use annotate.split.by: drawn, or fix the table."),
        ("Tables against labels", table_findings(manifest, stated), "Look at the films and correct one side."),
        (
            "To look at",
            [f"{note}: {first_few(ids)}" for note, ids in sorted(notes.items())],
            "Nothing was changed without a word here.",
        ),
    ]
    open_ones = [f"{title} ({len(findings)})" for title, findings, _ in decisions if findings]
    parts += [f"A person must look at: {', '.join(open_ones)}." if open_ones else "Nothing needs a decision.", ""]
    parts += [line for title, findings, advice in decisions for line in section(title, findings, advice)]
    parts += ["## What came in", "", *came_in(manifest), *account_table(accounts), *([inbox, ""] if inbox else [])]
    parts += section("Labels", labels, "")
    parts += section("Left out", [reason for account in accounts for reason in account.reasons], "")
    parts += section("How it was read", [note for plan in plans for note in plan.notes], "")
    return "\n".join(parts) + "\n"


def account_table(accounts: list[Account]) -> list[str]:
    """A table of the files of each source: every file stands in one column."""
    lines = [f"| source | files | {' | '.join(COLUMNS)} | left out |", f"|---|---|{'---|' * len(COLUMNS)}---|"]
    for account in accounts:
        cells = [account.seen, *(account.columns[column] for column in COLUMNS), account.left_out.total()]
        lines.append(f"| {plain(account.source)} | {' | '.join(map(str, cells))} |")
    return [*lines, ""]


def came_in(manifest: pd.DataFrame) -> list[str]:
    """A table of the sources with films, patients, fractured films and licence."""
    lines = ["| source | films | patients | with a fracture | modality | licence |", "|---|---|---|---|---|---|"]
    for names, rows in manifest.groupby(["source", "licence"]):
        source, licence = map(str, names)
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(Counter(rows["modality"]).items()))
        patients, fractured = rows["patient_id"].nunique(), int((rows["fractures"] > 0).sum())
        lines.append(f"| {plain(source)} | {len(rows)} | {patients} | {fractured} | {kinds} | {plain(licence)} |")
    return [*lines, ""]


def section(title: str, findings: list[str], advice: str) -> list[str]:
    """A heading with its count, what to do, and the findings; short when there are none."""
    if not findings:
        return [f"## {title}: none", ""]
    shown = [f"- {plain(finding)}" for finding in findings[:SHOWN]]
    rest = [f"- ... and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
    return [f"## {title}: {len(findings)}", "", *([advice, ""] if advice else []), *shown, *rest, ""]
