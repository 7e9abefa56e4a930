"""Copies among the raw films, found again as ingest finds them: they share a group, which keeps them on one side."""

from concurrent.futures import ThreadPoolExecutor

from stages.common.core.files import read_png
from stages.common.core.parallel import count_workers
from stages.common.data.layout import PARAMS, RAW
from stages.common.data.rows import ManifestRow
from stages.common.data.tables import MANIFEST
from tools.audit.check_data import MANIFEST_CSV
from tools.audit.findings import Check
from tools.audit.tables import read_table
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of


def check_near_copies(project: Project, check: Check) -> None:
    """No two films that show the same, by hashes and details of their pixels, in two groups.

    Groups may be larger than pixels say: ingest also knows patients under two numbers by their headers.
    """
    from stages.ingest.quality.copies import find_copies
    from stages.ingest.quality.duplicates import perceptual_hashes, small_picture
    from stages.ingest.quality.missing_rows import missing_rows
    from stages.ingest.types import FilmResult

    manifest = read_table(project, check, RAW, MANIFEST)
    if manifest is None or not check.whole(str(PARAMS)):
        return

    def seen(row: ManifestRow) -> FilmResult:
        pixels = read_png(project.root / RAW / row["file"])
        share = missing_rows(pixels) / len(pixels)
        hashes = perceptual_hashes(small_picture(pixels))
        return FilmResult(row["image_id"], row["source"], row["image_id"], row, hashes=hashes, missing=share)

    rows = [
        row
        for row in MANIFEST.rows(manifest)
        if check.whole(str(RAW / row["file"])) and (project.root / RAW / row["file"]).is_file()
    ]
    if not rows:
        return
    most = settings_of(project.root, "ingest").near_duplicate_bits
    with ThreadPoolExecutor(count_workers()) as pool:
        pairs, _ = find_copies(list(pool.map(seen, rows)), most, project.root / RAW, pool)
    for i, j, bits in pairs:
        one, other = rows[i], rows[j]
        if one["group"] != other["group"]:
            message = f"it shows what {one['image_id']} shows ({bits} of 256 bits differ), which is of another group"
            check.add(f"{MANIFEST_CSV}: {other['image_id']}/group", "mismatch", message)
