"""The lineage in the words of public standards, from dvc.lock: nothing is measured or decided here.

ro-crate-metadata.json: RO-Crate 1.2, an action per stage after the Workflow Run Crate profile 0.5 (w3id.org/ro/wfrun).
prov.json: W3C PROV (PROV-JSON). croissant.json: MLCommons Croissant 1.0 for data/dataset. bom.json: CycloneDX 1.6, the
pinned packages and the models with their hashes (its library has no model card yet: reports/MODEL_CARD.md is named
instead). Paths in them count from the project's root, which is where they are written and what they describe.
"""

import json
import tomllib
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

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

from stages.common.analysis.templates import VIEWER_LIBRARY
from stages.common.core.errors import UserError, error_list, first_few
from stages.common.core.files import write_text
from stages.common.core.hashing import sha256
from stages.common.data.layout import DATASET, MODEL_CARD, MODELS, PARAMS, REPORTS, WEIGHTS, fold_columns
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import COMPARISON, SPLIT
from stages.report.public_params import public_params, public_path
from tools.audit.check_code import LINK, PROJECT, mode_and_blob
from tools.audit.check_libraries import REQUIREMENTS
from tools.audit.check_record import PIPELINE
from tools.audit.commit_files import commit_files
from tools.audit.compare import changed_since
from tools.audit.dvc_lock import LOCK, Stage
from tools.audit.own_output import json_of, require_own_output
from tools.audit.repository import git
from tools.audit.trace import GAIN, REPORT, Project, model_facts
from tools.audit.yaml_files import lookup
from tools.doctor.packages import installed_version, read_pins

NAME, SPDX = "wrist-fracture-segmentation", "https://spdx.org/licenses"
DESCRIPTION = "Wrist-fracture segmentation: films, models and scores, and what each was made from."
TYPES = {
    ".csv": "text/csv", ".html": "text/html", ".json": "application/json", ".md": "text/markdown", ".png": "image/png",
    ".py": "text/x-python", ".tex": "application/x-tex", ".yaml": "application/yaml",
}  # fmt: skip
DVC, PROFILE = "https://dvc.org", "https://w3id.org/ro/wfrun"
KINDS = {
    "profile": ["CreativeWork", "Profile"],
    "workflow": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
}
PROFILES = {"process": "Process Run Crate", "workflow": "Workflow Run Crate"}
PROFILE_VERSION = "0.5"
# Terms that the context of RO-Crate 1.2 lacks: without them readers drop the hashes.
TERMS = {"md5": "https://w3id.org/ro/terms/workflow-run#md5"}
NUMBERS = (*VARIANTS, GAIN)  # the rows of the comparison that are this project's own
INGEST = "ingest"  # the stage that reads the sources
DTYPES = {"str": mlc.DataType.TEXT, "float64": mlc.DataType.FLOAT}
VIEWER = Path(*VIEWER_LIBRARY.parts[-5:])  # stages/common/analysis/templates/..., from a project's root
COMMITTED = (LOCK, PIPELINE, str(PARAMS), REQUIREMENTS, PROJECT, str(VIEWER))  # what facts are from, beside outputs
FIELDS = ("image_id", "split", "patient_id", "source", "modality", "prevalence", "boxes")  # and the other folds


def is_bom(content: bytes) -> bool:
    """Whether a bill of materials is of this project with its models, as a program that lists packages writes none."""
    document = json_of(content)
    is_ours = lookup(document, "metadata.component.name") == NAME
    return is_ours and has_item(document, "components", "type", ComponentType.MACHINE_LEARNING_MODEL.value)


def is_ro_crate(content: bytes) -> bool:
    return has_item(json_of(content), "@graph", "description", DESCRIPTION)


def has_item(document: dict[str, Any], key: str, name: str, value: str) -> bool:
    """Whether a list of a document, which may be of others and of any form, has an object with that name and value."""
    items = document.get(key)
    return isinstance(items, list) and any(isinstance(item, dict) and item.get(name) == value for item in items)


def is_prov(content: bytes) -> bool:
    return bool(lookup(json_of(content), "prefix.default") == f"urn:{NAME}:")


def is_croissant(content: bytes) -> bool:
    return bool(json_of(content).get("url") == f"urn:{NAME}")


def export(project: Project) -> list[Path]:
    """Write all four documents; returns their paths. The same project gives the same bytes.

    Raises:
        UserError: one of them would replace a file of others, or stages never ran, or on other data, or a table was
            changed, or no commit has what they say.
    """
    if lacking := project.lock.lacking:
        raise UserError(
            f"{LOCK}: expected all stages of dvc.yaml, found nothing of {first_few(lacking)}; run `dvc repro`, or "
            f"`git checkout {LOCK}`"
        )
    for name, (_, is_own) in WRITERS.items():
        require_own_output(project.root / name, is_own)
    documents = {name: writer(project) for name, (writer, _) in WRITERS.items()}
    doubts = [*project.outdated, *(f"{name} is not as its stage wrote it" for name in changed_since(project))]
    doubts += [
        f"{name} is not as the last commit, which the documents name, has it; commit it, or `git checkout` it"
        for name in uncommitted(project.root)
    ]
    if doubts:
        raise error_list("export: expected what the stages wrote, of what is here, found others", doubts)
    for name, text in documents.items():
        write_text(project.root / name, text)
    return [project.root / name for name in WRITERS]


def uncommitted(root: Path) -> list[str]:
    """Files with facts that are not as the last commit has them, or links, behind which no commit has anything."""
    committed = commit_files(root, "HEAD")
    blobs = {name: committed.get(name, ("", ""))[1] for name in COMMITTED}
    here = {name: mode_and_blob(root / name, blob) for name, blob in blobs.items()}
    return [name for name, found in here.items() if not found or found[0] == LINK or found[1] != blobs[name]]


def commit_date(project: Project) -> datetime:
    return datetime.fromisoformat(git(project.root, "log", "-1", "--format=%cI").strip())


class Crate(ROCrate):  # type: ignore[misc]
    """An RO-Crate in which each entity is described once, by its id."""

    def entity(self, key: str, kind: Any, **more: Any) -> ContextEntity:
        """The entity of that id, added with these properties where it is not there yet."""
        return self.dereference(key) or self.add(ContextEntity(self, key, properties={"@type": kind, **more}))

    def thing(self, path: str, md5: str) -> ContextEntity:
        """A file or folder of the project."""
        if md5.endswith(".dir"):  # DVC's hash of the list of its files, which is no md5 of a file
            return self.entity(f"{path}/", "Dataset", name=path, identifier=f"md5:{md5}")
        kind = TYPES.get(Path(path).suffix, "application/octet-stream")
        return self.entity(path, "File", name=path, md5=md5, encodingFormat=kind)


def ro_crate(project: Project) -> str:
    """RO-Crate metadata, which make the project itself a crate."""
    crate = Crate(version="1.2")
    crate.metadata.extra_terms.update(TERMS)
    crate.name = NAME
    licence = tomllib.loads((project.root / PROJECT).read_text())["project"]["license"]
    crate.license = crate.entity(
        f"{SPDX}/{licence}", "CreativeWork", name=licence, description="The licence of the software."
    )
    crate.description = DESCRIPTION
    crate.datePublished = commit_date(project)
    crate.root_dataset["conformsTo"] = [
        crate.entity(f"{PROFILE}/{key}/{PROFILE_VERSION}", KINDS["profile"], name=name, version=PROFILE_VERSION)
        for key, name in PROFILES.items()
    ]
    dvc = crate.entity(DVC, "ComputerLanguage", name="DVC", url=DVC, version=installed_version("dvc"))
    commit = git(project.root, "rev-parse", "HEAD").strip()
    facts = {"name": "the pipeline", "version": commit, "encodingFormat": TYPES[".yaml"]}
    workflow = crate.entity("dvc.yaml", KINDS["workflow"], programmingLanguage=dvc, **facts)
    crate.root_dataset["mainEntity"] = workflow
    actions, parts = [], [workflow]
    for stage in project.lock.stages.values():
        action = crate.entity(f"#{stage.name}", "CreateAction", name=stage.name, description=stage.command)
        inputs, outputs = (
            [crate.thing(public_path(path), md5) for path, md5 in paths.items()] for paths in (stage.deps, stage.outs)
        )
        action["instrument"], action["result"] = workflow, outputs
        action["object"] = inputs + params_of(crate, stage) + (films_of(crate, project) if stage.name == INGEST else [])
        actions.append(action)
        parts += [item for item in inputs + outputs if item not in parts]
    for whole, inside in wholes(project).items():
        crate.dereference(f"{whole}/")["hasPart"] = [crate.dereference(f"{part}/") for part in inside]
    table = crate.dereference(REPORT)
    table["mentions"] = [
        crate.entity(local_id("number", name), "PropertyValue", name=name, value=value, subjectOf=table)
        for name, value in numbers_of(project)
    ]
    crate.root_dataset["mentions"], crate.root_dataset["hasPart"] = actions, parts
    document = crate.metadata.generate()
    document["@graph"] = [{key: one_or_all(value) for key, value in item.items()} for item in document["@graph"]]
    return json.dumps(document, indent=1) + "\n"


def one_or_all(value: Any) -> Any:
    """A list of one value is that value in a crate."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def films_of(crate: Crate, project: Project) -> list[ContextEntity]:
    """Every source of films, with its licences."""
    return [
        crate.entity(
            local_id("source", name),
            "Dataset",
            name=name,
            description=f"{count} source files",
            license=[crate.entity(local_id("licence", text), "CreativeWork", name=text) for text in licences],
        )
        for name, licences, count in project.sources
    ]


def local_id(kind: str, name: str) -> str:
    """The local identifier of something that is no file."""
    return f"#{kind}/{quote(name, safe='/')}"


def wholes(project: Project) -> dict[str, list[str]]:
    """Folders that a stage read as one and that others wrote in parts: models/baseline of all its trainings."""
    read = {path for stage in project.lock.stages.values() for path in stage.deps}
    inside = {path: [out for out in project.lock.hashes if out.startswith(f"{path}/")] for path in sorted(read)}
    return {path: parts for path, parts in inside.items() if parts}


def numbers_of(project: Project) -> list[tuple[str, str]]:
    """Every number of both variants and of their difference: name, as `wrist audit trace` takes it, and value."""
    rows = [row for row in project.rows(REPORTS, COMPARISON) if row["row"] in NUMBERS]
    return [(f"{row['row']}/{name}", value) for row in rows for name, value in row.items() if name != "row" and value]


def params_of(crate: Crate, stage: Stage) -> list[ContextEntity]:
    """Params of a stage as property values."""
    return [
        crate.entity(f"#{stage.name}/{key}", "PropertyValue", name=key, value=json.dumps(value))
        for key, value in public_params(stage.params).items()
    ]


def prov(project: Project) -> str:
    """PROV-JSON: files, sources and numbers are entities, stages activities; tables hold numbers."""
    document = ProvDocument()
    document.set_default_namespace(f"urn:{NAME}:")
    document.add_namespace("dct", "http://purl.org/dc/terms/")
    collection = {"prov:type": document.valid_qualified_name("prov:Collection")}
    for stage in project.lock.stages.values():
        activity = document.activity(stage.name, other_attributes={"prov:label": stage.command})
        for path, md5 in stage.deps.items():
            document.used(activity, document.entity(public_path(path), {"prov:value": f"md5:{md5}"}))
        for path, md5 in stage.outs.items():
            document.wasGeneratedBy(document.entity(path, {"prov:value": f"md5:{md5}"}), activity)
        for name, licences, count in project.sources if stage.name == INGEST else ():
            facts = [("prov:label", f"source {name}, {count} files"), *(("dct:license", item) for item in licences)]
            document.used(activity, document.entity(local_id("source", name)[1:], facts))
    for whole, parts in wholes(project).items():
        document.entity(whole, collection)
        for part in parts:
            document.hadMember(whole, part)
    document.entity(REPORT, collection)
    for name, value in numbers_of(project):
        number = document.entity(local_id("number", name)[1:], {"prov:label": name, "prov:value": value})
        document.hadMember(REPORT, number)
    content = str(document.unified().serialize(format="json"))
    return json.dumps(without_blank_ids(json.loads(content)), indent=1, sort_keys=True) + "\n"


def without_blank_ids(document: dict[str, Any]) -> dict[str, Any]:
    """Relations named by what they relate: the library numbers them in an order that differs from run to run."""
    out: dict[str, Any] = {}
    for kind, entries in document.items():
        if kind in ("used", "wasGeneratedBy", "hadMember"):
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
            description="One row per film: its side in each fold (`split`: in the first), patient, source, share of "
            "fracture pixels, boxes.",
            content_url=str(DATASET / SPLIT.name),
            encoding_formats=["text/csv"],
            sha256=sha256(project.root / DATASET / SPLIT.name),
        )
    ]
    _, *further = fold_columns(SPLIT.read(project.root / DATASET).columns).values()
    fields = [
        mlc.Field(
            id=f"films/{name}",
            name=name,
            data_types=DTYPES[SPLIT.columns.get(name, "str")],
            source=mlc.Source(file_object=SPLIT.name, extract=mlc.Extract(column=name)),
        )
        for name in (*FIELDS, *further)
    ]
    of_sources = [
        mlc.Field(id=f"sources/{name}", name=name, data_types=mlc.DataType.TEXT) for name in ("name", "licence")
    ]
    licences = {name: of_source for name, of_source, _ in project.sources}
    table = [{"sources/name": name, "sources/licence": licence} for name in licences for licence in licences[name]]
    metadata = mlc.Metadata(
        name=NAME,
        description="Wrist films and fracture masks. Films of one patient, as far as sources say whose they are, stay "
        "on one side of the split. Pictures lie beside the table.",
        url=f"urn:{NAME}",
        version=f"1.0.0+{project.lock.hashes[str(DATASET)][:12]}",  # what follows the plus follows from the data
        date_published=commit_date(project),
        license=sorted({licence for of_source in licences.values() for licence in of_source}),
        cite_as=f"{NAME}, {DATASET} md5:{project.lock.hashes[str(DATASET)]}",
        distribution=files,
        record_sets=[
            mlc.RecordSet(id="films", name="films", fields=fields),
            mlc.RecordSet(
                id="sources", name="sources", description="The licence of each source.", fields=of_sources, data=table
            ),
        ],
    )
    return json.dumps(metadata.to_json(), indent=1, default=str) + "\n"


def bom(project: Project) -> str:
    """CycloneDX: the pinned packages, the viewer's library, and each model by the SHA-256 of its weights."""
    commit = git(project.root, "rev-parse", "HEAD").strip()
    document = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME}/{commit}"))
    application = Component(name=NAME, version=commit, type=ComponentType.APPLICATION, bom_ref=NAME)
    document.metadata = BomMetaData(component=application, timestamp=commit_date(project))
    for name, version in read_pins(project.root / REQUIREMENTS).items():
        purl = PackageURL("pypi", None, name.lower(), version)
        document.components.add(Component(name=name, version=version, purl=purl, bom_ref=str(purl)))
    document.components.add(viewer_library(project.root / VIEWER))
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


def viewer_library(path: Path) -> Component:
    """OpenSeadragon, which is no package here but a file: its first line says its version."""
    version = path.read_text().split("\n", 1)[0].split()[-1]
    purl = PackageURL("npm", None, "openseadragon", version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=sha256(path))]
    return Component(name=purl.name, version=version, purl=purl, bom_ref=str(purl), hashes=hashes)


# Each document by its name: what writes it, and whether a content is one of those.
WRITERS: dict[str, tuple[Callable[[Project], str], Callable[[bytes], bool]]] = {
    "ro-crate-metadata.json": (ro_crate, is_ro_crate),
    "prov.json": (prov, is_prov),
    "croissant.json": (croissant, is_croissant),
    "bom.json": (bom, is_bom),
}
