"""The documents, read back by libraries and validators that others wrote."""

import json
from pathlib import Path

import mlcroissant
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from prov.model import ProvDocument
from rocrate.rocrate import ROCrate

from tests.helpers.commands import wrist
from tests.helpers.processes import run
from tools.audit.dvc_lock import read_lock
from tools.doctor.packages import read_pins

pytestmark = pytest.mark.slow
NAMES = ("ro-crate-metadata.json", "prov.json", "croissant.json", "bom.json")


@pytest.fixture(scope="module")
def exported(audited: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(audited)
        assert wrist("audit", "export") == 0
    return audited


def test_the_same_project_gives_the_same_bytes_and_no_path_of_the_machine(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(exported / name).read_bytes() for name in NAMES]
    monkeypatch.chdir(exported)
    wrist("audit", "export")
    assert [(exported / name).read_bytes() for name in NAMES] == before
    assert not any(str(exported).encode() in content for content in before)
    assert not any(str(Path.home()).encode() in content for content in before)


def test_the_crate_is_read_by_its_library_and_has_an_action_per_stage(exported: Path) -> None:
    crate = ROCrate(exported)
    lock = read_lock(exported)
    actions = {entity["name"]: entity for entity in crate.get_by_type("CreateAction")}
    assert set(actions) == set(lock.stages)
    assert crate.mainEntity.id == "dvc.yaml"
    assert "ComputationalWorkflow" in crate.mainEntity.type
    for name, action in actions.items():
        made = {entity.id.rstrip("/") for entity in action["result"]}
        assert made == set(lock.stages[name].outs)
        for entity in action["result"]:
            assert entity["md5"] == lock.stages[name].outs[entity.id.rstrip("/")]
            assert (exported / entity.id).exists()
        assert action["instrument"] == crate.mainEntity
    document = json.loads((exported / "ro-crate-metadata.json").read_text())
    assert document["@context"] == "https://w3id.org/ro/crate/1.2/context"
    graph = {entity["@id"]: entity for entity in document["@graph"]}
    root = graph["./"]
    assert {"https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5"} <= {
        item["@id"] for item in root["conformsTo"]
    }
    for entity in graph.values():  # flat: whatever is referred to is described
        for value in entity.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and entity["@id"] != "ro-crate-metadata.json":
                    assert item["@id"] in graph, item


def test_prov_is_read_by_its_library(exported: Path) -> None:
    document = ProvDocument.deserialize(exported / "prov.json", format="json")
    lock = read_lock(exported)
    kinds = [type(record).__name__ for record in document.get_records()]
    assert kinds.count("ProvActivity") == len(lock.stages)
    assert kinds.count("ProvUsage") == sum(len(stage.deps) for stage in lock.stages.values())
    assert kinds.count("ProvGeneration") == sum(len(stage.outs) for stage in lock.stages.values())


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
    assert set(components) == pinned | models
    for name in models:
        digest = run(exported, "sha256sum", f"{name}/weights.safetensors").split()[0]
        assert components[name]["type"] == "machine-learning-model"
        assert components[name]["hashes"] == [{"alg": "SHA-256", "content": digest}]
        properties = {item["name"]: item["value"] for item in components[name]["properties"]}
        assert properties["recipe"].startswith("paper, changed: preprocess.size 64 (256), ")
        assert "encoder from" not in properties
