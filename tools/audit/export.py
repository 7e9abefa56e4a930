"""The lineage in the words of public standards, from dvc.lock: nothing is measured or decided here.

ro-crate-metadata.json: RO-Crate 1.2, an action per stage after the Workflow Run Crate profile 0.5 (w3id.org/ro/wfrun).
prov.json: W3C PROV (PROV-JSON). croissant.json: MLCommons Croissant 1.0 for data/dataset. bom.json: CycloneDX 1.6, the
pinned packages and the models with their hashes (its library has no model card yet: reports/MODEL_CARD.md is named
instead). Paths in them count from the project's root, which is where they are written and what they describe.
"""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import mlcroissant as mlc
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from prov.model import ProvDocument
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from stages.common.core.files import write_text
from stages.common.core.hashing import sha256
from stages.common.data.layout import DATASET, MODEL_CARD, MODELS, WEIGHTS
from stages.common.data.tables import SPLIT
from tools.audit.dvc_lock import Stage, git
from tools.audit.trace import Project, model_facts
from tools.doctor.packages import read_pins

NAME, LICENCE = "wrist-fracture-segmentation", "https://spdx.org/licenses/MIT"
PROFILES = ("process/0.5", "workflow/0.5")
DTYPES = {"str": mlc.DataType.TEXT, "float64": mlc.DataType.FLOAT}
FIELDS = ("image_id", "split", "patient_id", "source", "modality", "prevalence", "boxes")


def export(project: Project) -> list[Path]:
    """Write all four documents; returns their paths. The same project gives the same bytes."""
    writers: dict[str, Callable[[Project], str]] = {
        "ro-crate-metadata.json": ro_crate,
        "prov.json": prov,
        "croissant.json": croissant,
        "bom.json": bom,
    }
    for name, writer in writers.items():
        write_text(project.root / name, writer(project))
    return [project.root / name for name in writers]


def commit_date(project: Project) -> datetime:
    return datetime.fromisoformat(git(project.root, "log", "-1", "--format=%cI").strip())


def ro_crate(project: Project) -> str:
    """RO-Crate metadata, which make the project itself a crate."""
    crate = ROCrate(version="1.2")
    crate.name, crate.license = NAME, LICENCE
    crate.description = "Wrist-fracture segmentation: films, models and scores, and what each was made from."
    crate.datePublished = commit_date(project)

    def entity(identifier: str, kind: Any, **more: Any) -> ContextEntity:
        existing = crate.dereference(identifier)
        return existing or crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **more}))

    def thing(path: str, md5: str) -> ContextEntity:
        if md5.endswith(".dir"):
            return entity(f"{path}/", "Dataset", name=path, md5=md5)
        return entity(path, "File", name=path, md5=md5)

    profiles = [entity(f"https://w3id.org/ro/wfrun/{name}", "CreativeWork", name=name) for name in PROFILES]
    crate.root_dataset["conformsTo"] = profiles
    dvc = entity("https://dvc.org", "ComputerLanguage", name="DVC", url="https://dvc.org")
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    workflow = entity("dvc.yaml", kinds, name="the pipeline", programmingLanguage=dvc)
    crate.root_dataset["mainEntity"] = workflow
    actions, parts = [], [workflow]
    for stage in project.lock.stages.values():
        action = entity(f"#{stage.name}", "CreateAction", name=stage.name, description=stage.command)
        action["instrument"] = workflow
        action["object"] = [thing(path, md5) for path, md5 in stage.deps.items()] + params_of(entity, stage)
        action["result"] = [thing(path, md5) for path, md5 in stage.outs.items()]
        actions.append(action)
        files = [item for item in action["object"] + action["result"] if item.type != "PropertyValue"]
        parts += [item for item in files if item not in parts]
    crate.root_dataset["mentions"], crate.root_dataset["hasPart"] = actions, parts
    return json.dumps(crate.metadata.generate(), indent=1) + "\n"


def params_of(entity: Callable[..., ContextEntity], stage: Stage) -> list[ContextEntity]:
    """Params of a stage as property values."""
    return [
        entity(f"#{stage.name}/{key}", "PropertyValue", name=key, value=json.dumps(value))
        for key, value in stage.params.items()
    ]


def prov(project: Project) -> str:
    """PROV-JSON: files are entities, stages activities."""
    document = ProvDocument()
    document.set_default_namespace(f"urn:{NAME}:")
    for stage in project.lock.stages.values():
        activity = document.activity(stage.name, other_attributes={"prov:label": stage.command})
        for path, md5 in stage.deps.items():
            document.used(activity, document.entity(path, {"prov:value": f"md5:{md5}"}))
        for path, md5 in stage.outs.items():
            document.wasGeneratedBy(document.entity(path, {"prov:value": f"md5:{md5}"}), activity)
    content = str(document.unified().serialize(format="json"))
    return json.dumps(without_blank_ids(json.loads(content)), indent=1, sort_keys=True) + "\n"


def without_blank_ids(document: dict[str, Any]) -> dict[str, Any]:
    """Relations named by what they relate: the library numbers them in an order that differs from run to run."""
    out: dict[str, Any] = {}
    for kind, entries in document.items():
        if kind in ("used", "wasGeneratedBy"):
            ordered = sorted(entries.values(), key=lambda entry: json.dumps(entry, sort_keys=True))
            out[kind] = {f"_:{kind}{number}": entry for number, entry in enumerate(ordered)}
        else:
            out[kind] = entries
    return out


def croissant(project: Project) -> str:
    """Croissant for the films' table, with what lies beside it."""
    files = [
        mlc.FileObject(
            id=SPLIT.name,
            name=SPLIT.name,
            description="One row per film: side of the split, patient, source, share of fracture pixels, boxes.",
            content_url=str(DATASET / SPLIT.name),
            encoding_formats=["text/csv"],
            sha256=sha256(project.root / DATASET / SPLIT.name),
        )
    ]
    fields = [
        mlc.Field(
            id=f"films/{name}",
            name=name,
            data_types=DTYPES[SPLIT.columns[name]],
            source=mlc.Source(file_object=SPLIT.name, extract=mlc.Extract(column=name)),
        )
        for name in FIELDS
    ]
    licences = sorted({row["licence"] for row in project.films.values()})
    metadata = mlc.Metadata(
        name=NAME,
        description="Wrist films and fracture masks, split by patient; pictures lie beside the table.",
        url=f"urn:{NAME}",
        version="1.0.0",
        date_published=commit_date(project),
        license=licences,
        cite_as=f"{NAME}, {DATASET} md5:{project.lock.hashes[str(DATASET)]}",
        distribution=files,
        record_sets=[mlc.RecordSet(id="films", name="films", fields=fields)],
    )
    return json.dumps(metadata.to_json(), indent=1, default=str) + "\n"


def bom(project: Project) -> str:
    """CycloneDX: the pinned packages, and each model by the SHA-256 of its weights."""
    commit = git(project.root, "rev-parse", "HEAD").strip()
    document = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME}/{commit}"))
    application = Component(name=NAME, version=commit, type=ComponentType.APPLICATION, bom_ref=NAME)
    document.metadata = BomMetaData(component=application, timestamp=commit_date(project))
    for name, version in read_pins(project.root / "requirements.lock").items():
        purl = PackageURL("pypi", None, name.lower(), version)
        document.components.add(Component(name=name, version=version, purl=purl, bom_ref=str(purl)))
    for out, stage in project.lock.makers.items():
        if out.startswith(f"{MODELS}/"):
            weights = HashType(alg=HashAlgorithm.SHA_256, content=sha256(project.root / out / WEIGHTS))
            facts = {"dvc:stage": stage.name, "dvc:md5": stage.outs[out], "model card": str(MODEL_CARD)}
            facts |= model_facts(project, out)
            properties = [Property(name=name, value=value) for name, value in facts.items()]
            kind = ComponentType.MACHINE_LEARNING_MODEL
            model = Component(name=out, type=kind, bom_ref=out, hashes=[weights], properties=properties)
            document.components.add(model)
    document.register_dependency(application, document.components)
    return make_outputter(document, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1) + "\n"
