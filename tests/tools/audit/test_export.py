"""The documents, read back by libraries and validators that others wrote."""

import json
import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import mlcroissant
import pandas as pd
import pytest
import rocrate
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from prov.model import ProvDocument, ProvEntity, ProvGeneration, ProvMembership, ProvUsage
from rocrate.rocrate import ROCrate

from stages.common.core.errors import UserError
from stages.report.public_params import OUTSIDE
from tests.helpers.commands import wrist
from tests.helpers.long_tests import long_test
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tests.helpers.tool_environments import tool_programs
from tools.audit.check_documents import check_exports, check_page
from tools.audit.dvc_lock import read_lock
from tools.audit.export import WRITERS, prov, ro_crate
from tools.audit.findings import Check
from tools.audit.trace import Project
from tools.doctor.packages import read_pins

pytestmark = pytest.mark.slow
NAMES = ("ro-crate-metadata.json", "prov.json", "croissant.json", "bom.json")


@pytest.fixture(scope="module")
def exported(audited: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(audited)
        assert wrist("audit", "export") == 0
    return audited


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ro-crate-metadata.json", {"@graph": [{"@id": "./", "description": "another crate"}]}),
        ("prov.json", {"prefix": {"default": "urn:other:"}}),
        ("croissant.json", {"url": "https://example.org"}),
        ("bom.json", {"metadata": {"component": {"name": "wrist-fracture-segmentation"}}, "components": []}),
        ("bom.json", []),
    ],
)
def test_a_document_of_others_is_refused_and_nothing_is_written(name: str, content: Any, own: Path) -> None:
    (own / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{name}: expected a new file or one of this command's"):
        wrist("audit", "export")
    assert json.loads((own / name).read_text()) == content
    assert [path for path in NAMES if (own / path).exists()] == [name]


@pytest.mark.parametrize("foreign", [None, "a", ["a"], [None], 3, {}, {"component": None}, [{"type": []}]])
@pytest.mark.parametrize("key", ["metadata", "components", "@graph", "prefix", "url"])
def test_a_document_of_another_form_is_none_of_this_command(key: str, foreign: Any) -> None:
    content = json.dumps({key: foreign}).encode()
    assert not [name for name, (_, is_own) in WRITERS.items() if is_own(content)]


def test_what_a_lock_that_was_cut_off_says_is_not_exported(own: Path) -> None:
    """A disk was full: half of the stages stand there, and a document of these would look whole."""
    lock = (own / "dvc.lock").read_text()
    (own / "dvc.lock").write_text(lock[: lock.index("  evaluate@")])
    with pytest.raises(UserError, match=r"dvc\.lock: expected all stages of dvc\.yaml, found nothing of evaluate@"):
        wrist("audit", "export")
    assert not [path for path in NAMES if (own / path).exists()]


@pytest.mark.parametrize(
    "name",
    [
        "requirements.lock",
        "dvc.yaml",
        "dvc.lock",
        "params.yaml",
        "stages/common/analysis/templates/openseadragon.min.js",
    ],
)
def test_facts_that_no_commit_has_are_not_exported_in_the_name_of_one(
    name: str, audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of packages and of the viewer, commands and parameters stand beside the last commit's hash."""
    monkeypatch.chdir(audited)
    path = audited / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b"\ntorch==", b"\ntorch==9") + b"\n")
    try:
        with pytest.raises(UserError, match=rf"{name} is not as the last commit, which the documents name, has it"):
            wrist("audit", "export")
    finally:
        path.unlink()
        path.write_bytes(content)


def test_an_export_replaces_the_former_one(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    assert wrist("audit", "export") == 0


def test_documents_that_their_commands_would_not_write_are_named(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell, a hash and a licence are forged, a link leads to a pipe; the page may be older than the last commit."""
    monkeypatch.chdir(exported)
    assert wrist("audit", "page") == 0
    page, bom = exported / "reports/lineage.html", exported / "bom.json"
    before = {path: path.read_bytes() for path in (page, *(exported / name for name in NAMES))}

    def found() -> list[tuple[str, str]]:
        check, project = Check(), Project(exported)
        check_page(project, check)
        check_exports(project, check)
        return [(finding.kind, finding.name) for finding in check.findings]

    try:
        assert found() == []
        page.write_bytes(re.sub(rb"(<code>)[0-9a-f]{12}(</code>)", rb"\1not committed\2", before[page]))
        assert found() == []
        page.write_bytes(before[page].replace(b"</h1>", b"</h1><code>0123456789ab</code>", 1))
        assert found() == [("mismatch", "reports/lineage.html")]
        page.write_bytes(before[page].replace(b"<td>", b"<td>9", 1))
        for name, old, new in (("ro-crate-metadata.json", b"md5", b"md6"), ("prov.json", b"f1", b"f2")):
            (exported / name).write_bytes(before[exported / name].replace(old, new, 1))
        bom.unlink()
        os.mkfifo(exported / "pipe")
        bom.symlink_to("pipe")
        expected = ["reports/lineage.html", "ro-crate-metadata.json", "prov.json", "bom.json"]
        assert found() == [("mismatch", name) for name in expected]
    finally:
        (exported / "pipe").unlink(missing_ok=True)
        for path, content in before.items():
            path.unlink()
            path.write_bytes(content)


def test_the_same_project_gives_the_same_bytes_and_no_path_of_the_machine(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(exported / name).read_bytes() for name in NAMES]
    monkeypatch.chdir(exported)
    wrist("audit", "export")
    assert [(exported / name).read_bytes() for name in NAMES] == before
    assert not any(str(exported).encode() in content for content in before)
    assert not any(str(Path.home()).encode() in content for content in before)


def test_no_document_has_the_path_of_an_export_outside_of_the_project(exported: Path, tmp_path: Path) -> None:
    """It can name persons; and the library of the crates reads no absolute path."""
    project = Project(exported)
    stage = project.lock.stages["ingest"]
    stage.deps["/exports/DOE_JANE"] = "0" * 32 + ".dir"
    stage.params["ingest"]["inbox"] = "/exports/DOE_JANE"
    crate, graph = ro_crate(project), prov(project)
    assert "DOE" not in crate + graph
    assert OUTSIDE in crate
    assert OUTSIDE in graph
    (tmp_path / "ro-crate-metadata.json").write_text(crate)
    assert ROCrate(tmp_path).dereference(f"{OUTSIDE}/")


def test_the_crate_is_read_by_its_library_and_has_an_action_per_stage(exported: Path) -> None:
    crate = ROCrate(exported)
    lock = read_lock(exported)
    actions = {entity["name"]: entity for entity in crate.get_by_type("CreateAction")}
    assert set(actions) == set(lock.stages)
    assert crate.mainEntity.id == "dvc.yaml"
    assert "ComputationalWorkflow" in crate.mainEntity.type
    for name, action in actions.items():
        results = action["result"] if isinstance(action["result"], list) else [action["result"]]
        made = {entity.id.rstrip("/") for entity in results}
        assert made == set(lock.stages[name].outs)
        for entity in results:
            md5 = lock.stages[name].outs[entity.id.rstrip("/")]
            assert entity["identifier" if md5.endswith(".dir") else "md5"] in (md5, f"md5:{md5}")
            assert (exported / entity.id).exists()
        assert action["instrument"] == crate.mainEntity
    document = json.loads((exported / "ro-crate-metadata.json").read_text())
    url, terms = document["@context"]
    assert url == "https://w3id.org/ro/crate/1.2/context"
    assert terms["md5"].startswith("https://w3id.org/ro/terms/")  # which the context lacks, so that readers drop it
    graph = {entity["@id"]: entity for entity in document["@graph"]}
    root = graph["./"]
    assert {"https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5"} <= {
        item["@id"] for item in root["conformsTo"]
    }
    for item in root["conformsTo"]:
        assert "Profile" in graph[item["@id"]]["@type"]
        assert graph[item["@id"]]["version"]
    assert graph["https://dvc.org"]["version"]
    for entity in graph.values():  # flat: whatever is referred to is described
        for value in entity.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and entity["@id"] != "ro-crate-metadata.json":
                    assert item["@id"] in graph, item


def numbers(project: Path) -> list[str]:
    """Every number of both models and of their difference, as the report's table prints it."""
    table = pd.read_csv(project / "reports/comparison.csv", dtype=str).set_index("row")
    rows = table.loc[["baseline", "adaptive", "adaptive - baseline"]]
    return [f"{row}/{column}" for row, cells in rows.iterrows() for column in cells.dropna().index]


def licences(project: Path) -> dict[str, set[str]]:
    """The licences of each source, by the table of source files."""
    files = pd.read_csv(project / "data/raw/files.csv")
    return {str(name): set(rows["licence"]) for name, rows in files.groupby("source")}


def reached(start: str, origins: dict[str, set[str]]) -> set[str]:
    """All from which a thing was made, step by step."""
    todo, visited = [start], set[str]()
    while todo:
        name = todo.pop()
        if name not in visited:
            visited.add(name)
            todo += origins.get(name, ())
    return visited


def test_a_crate_has_the_licence_of_its_software(own: Path) -> None:
    """A fork may have another one."""
    text = (own / "pyproject.toml").read_text()
    (own / "pyproject.toml").write_text(text.replace('license = "MIT"', 'license = "Apache-2.0"'))
    graph = {item["@id"]: item for item in json.loads(ro_crate(Project(own)))["@graph"]}
    assert graph[graph["./"]["license"]["@id"]]["name"] == "Apache-2.0"


def test_a_crate_leads_from_each_number_to_each_source_and_its_licence(exported: Path) -> None:
    graph = {item["@id"]: item for item in json.loads((exported / "ro-crate-metadata.json").read_text())["@graph"]}

    def linked(entity: dict[str, Any], key: str) -> set[str]:
        values = entity.get(key, [])
        return {value["@id"] for value in (values if isinstance(values, list) else [values])}

    origins = {name: linked(entity, "subjectOf") | linked(entity, "hasPart") for name, entity in graph.items()}
    for name, entity in graph.items():
        if entity["@type"] == "CreateAction":
            origins[name] |= linked(entity, "object")
            for result in linked(entity, "result"):
                origins[result].add(name)
    of_sources = {entity["name"]: entity for name, entity in graph.items() if name.startswith("#source/")}
    for name, expected in licences(exported).items():
        assert {graph[text]["name"] for text in linked(of_sources[name], "license")} == expected
    found = {entity["name"]: name for name, entity in graph.items() if name.startswith("#number/")}
    assert sorted(found) == sorted(numbers(exported))
    for name in found.values():
        chain = reached(name, origins)
        assert chain >= {of_sources[source]["@id"] for source in licences(exported)}
        assert chain >= {"#train@adaptive-1-1", "#evaluate@baseline-1-1", "#ingest", "data/incoming/"}


def test_prov_leads_from_each_number_to_each_source_and_its_licence(exported: Path) -> None:
    document = ProvDocument.deserialize(exported / "prov.json", format="json")
    origins: dict[str, set[str]] = defaultdict(set)
    for record in document.get_records((ProvUsage, ProvGeneration, ProvMembership)):
        (_, one), (_, other) = record.formal_attributes[:2]
        origins[one.localpart].add(other.localpart)
        if isinstance(record, ProvMembership) and other.localpart.startswith("number/"):
            origins[other.localpart].add(one.localpart)
    entities = {record.identifier.localpart: record for record in document.get_records(ProvEntity)}
    labelled = {str(entity.label): name for name, entity in entities.items() if name.startswith("number/")}
    assert sorted(labelled) == sorted(numbers(exported))
    for name in labelled.values():
        chain = reached(name, origins)
        assert chain >= {f"source/{source}" for source in licences(exported)}
        assert chain >= {"train@adaptive-1-1", "evaluate@baseline-1-1", "ingest", "data/incoming"}
    for source, expected in licences(exported).items():
        assert {str(text) for text in entities[f"source/{source}"].get_attribute("dct:license")} == expected


@long_test
def test_the_public_validator_has_no_complaint_about_what_is_required(exported: Path, tmp_path: Path) -> None:
    """The validator fetches the context of a crate, without which it checks little: a copy stands in its place here.

    It is that of RO-Crate 1.3, which the library of RO-Crate brings, with our own terms.
    """
    validator = tool_programs("roc-validator==0.13.0") / "rocrate-validator"
    words = [str(validator), "-y", "--disable-color", "validate", "--metadata-only", "--offline", "--no-paging"]
    crate = json.loads((exported / "ro-crate-metadata.json").read_text())
    known = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())["@context"]
    crate["@context"] = known | crate["@context"][1]
    for lacking in ("", "license", "datePublished"):
        for entity in crate["@graph"]:
            if entity["@id"] == "./":
                entity.pop(lacking, None)
        (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(crate))
        done = subprocess.run(
            [*words, "-p", "ro-crate-1.2", "-l", "required", "."], cwd=tmp_path, capture_output=True, check=False
        )
        assert (done.returncode == 0) == (lacking == ""), done.stdout.decode()


def test_prov_is_read_by_its_library(exported: Path) -> None:
    document = ProvDocument.deserialize(exported / "prov.json", format="json")
    lock = read_lock(exported)
    kinds = [type(record).__name__ for record in document.get_records()]
    assert kinds.count("ProvActivity") == len(lock.stages)
    sources = len(licences(exported))
    assert kinds.count("ProvUsage") == sum(len(stage.deps) for stage in lock.stages.values()) + sources
    assert kinds.count("ProvGeneration") == sum(len(stage.outs) for stage in lock.stages.values())


def test_croissant_says_the_licence_of_each_source_and_the_version_of_the_data(exported: Path) -> None:
    data = mlcroissant.Dataset(jsonld=str(exported / "croissant.json"))
    rows = [(row["sources/name"], row["sources/licence"]) for row in data.records("sources")]
    assert sorted(rows) == sorted((name, text) for name, texts in licences(exported).items() for text in texts)
    assert data.metadata.version == f"1.0.0+{read_lock(exported).hashes['data/dataset'][:12]}"


def test_croissant_has_the_side_of_each_film_in_each_fold(exported: Path) -> None:
    split = pd.read_csv(exported / "data/dataset/split.csv", dtype=str)
    data = mlcroissant.Dataset(jsonld=str(exported / "croissant.json"))
    for column in ("split", "fold_2", "fold_3"):
        sides = [row[f"films/{column}"] for row in data.records("films")]
        assert [side.decode() if isinstance(side, bytes) else side for side in sides] == list(split[column])


def test_croissant_loads_the_films_and_sees_a_changed_table(exported: Path) -> None:
    data = mlcroissant.Dataset(jsonld=str(exported / "croissant.json"))
    rows = list(data.records("films"))
    assert len(rows) == sum(1 for _ in (exported / "data/dataset/split.csv").open()) - 1
    table = exported / "data/dataset/split.csv"
    content = table.read_bytes()
    table.write_bytes(content.replace(b"train", b"trian", 1))
    try:
        with pytest.raises(mlcroissant.GenerationError, match=r"Download\(split\.csv\)"):
            list(mlcroissant.Dataset(jsonld=str(exported / "croissant.json")).records("films"))
    finally:
        table.write_bytes(content)


def test_the_bill_of_materials_is_valid_and_complete(exported: Path) -> None:
    content = (exported / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None
    document = json.loads(content)
    components = {item["name"]: item for item in document["components"]}
    pinned = set(read_pins(exported / "requirements.lock"))
    models = {out for out in read_lock(exported).hashes if out.startswith("models/")}
    assert set(components) == pinned | models | {"openseadragon"}
    library = components["openseadragon"]
    assert library["purl"] == f"pkg:npm/openseadragon@{library['version']}"
    notice = (ROOT / "THIRD_PARTY.md").read_text()
    assert f"`openseadragon@{library['version']}`" in notice
    assert library["hashes"][0]["content"] in notice
    for name in models:
        digest = run(exported, "sha256sum", f"{name}/weights.safetensors").split()[0]
        assert components[name]["type"] == "machine-learning-model"
        assert components[name]["hashes"] == [{"alg": "SHA-256", "content": digest}]
        properties = {item["name"]: item["value"] for item in components[name]["properties"]}
        assert properties["recipe"].startswith("paper, changed: preprocess.size 64 (256), ")
        assert "encoder from" not in properties
