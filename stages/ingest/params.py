"""The section `ingest` of params.yaml."""

from collections import Counter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from stages.common.core.params import Alternative, ByName, Strict, param
from stages.common.data.layout import INBOX
from stages.ingest.sources.presets import complete

Format = Literal[
    "yolo", "voc", "voc_devkit", "labelme", "masks", "coco", "label_studio", "cvat", "via", "csv", "none", "auto"
]

PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")

Subset = Literal["all", "fracatlas_wrist", "fracatlas_wrist_with_normals"]

OnTruncated = Literal["refuse", "accept"]


class Limits(Strict):
    """What is larger is refused before it is opened."""

    megapixels: int = param(64, "of one film; flat-panel detectors have some 18", unit="million pixels", ge=1, le=1000)
    file_mb: int = param(512, "of one file", unit="MB", ge=1, le=100_000)
    archive_gb: int = param(100, "of an archive when unpacked", unit="GB", ge=1, le=100_000)
    archive_ratio: int = param(100, "unpacked / packed size of an archive's member above 1 MB", ge=2, le=100_000)


class CtWindow(Strict):
    """The window in which CT slices are shown, by LINEAR of PS3.3 C.11.2.1.2."""

    centre: float = param(400, "in the middle of the grey scale", unit="HU", ge=-10_000, le=10_000)
    width: float = param(2000, "from black to white", unit="HU", gt=1, le=100_000)


class SourceParams(Alternative):
    """Where films come from."""

    tag: ClassVar[str] = "source"


class Sample(SourceParams):
    """Synthetic wrists, 11/16 of them in a Kaggle archive, the rest in a DICOM export."""

    source: Literal["sample"] = "sample"
    seed: int = param(7, "every film follows from (seed, patient, film)", ge=0)
    films: int = param(160, "in all", unit="films", ge=16, le=100_000)
    width: int = param(420, "of a radiograph before preprocessing", unit="pixels", ge=96, le=4096)


class AnnotatedSource(SourceParams):
    """Films with annotations that people made."""

    annotations: Format = param(..., "format of the annotations; none: no film has a fracture; auto: as the files look")
    classes: list[str] = param([], "labels that are fractures; [] takes all but other_classes")
    other_classes: list[str] = param([], "labels that are known and left out; any other label is an error")
    unlabelled: Literal["no_fracture", "refuse"] = param("refuse", "what a film without annotation is")
    licence: str = param("unknown", "carried into the manifest and the report", min_length=1)

    @model_validator(mode="after")
    def check_classes(self) -> "AnnotatedSource":
        if both := sorted(set(self.classes) & set(self.other_classes)):
            raise ValueError(f"classes and other_classes both list {', '.join(both)}; leave it in one of them")
        return self


class PictureSource(AnnotatedSource):
    """Pictures with annotations."""

    include: list[str] = param(["*"], "patterns of file names that are films", min_length=1)
    exclude: list[str] = param([], "patterns of files that are passed over")
    subset: Subset = param(
        "all",
        "all films, or those of a table of this project, with its groups and sides: the wrists of FracAtlas with a "
        "fracture, or with 25 free of fractures as well",
    )


class Folder(PictureSource):
    """Pictures (PNG, JPEG, TIFF, WebP, BMP) with annotations anywhere below the inbox."""

    source: Literal["folder"] = "folder"
    unlabelled: Literal["no_fracture", "refuse"] = param("no_fracture", "what a film without annotation is")


class RefuseBurnedIn(Alternative):
    """Films with text in their pixels are refused."""

    tag: ClassVar[str] = "action"
    action: Literal["refuse"] = "refuse"


class MaskCorners(Alternative):
    """The corners of films with text in their pixels are blackened."""

    tag: ClassVar[str] = "action"
    action: Literal["mask_corners"] = "mask_corners"
    corner: float = param(0.15, "what is blackened", unit="share of each side", gt=0, le=0.5)


BurnedIn = Annotated[RefuseBurnedIn | MaskCorners, Field(discriminator="action"), ByName("action")]


class Hospital(AnnotatedSource):
    """DICOM files anywhere below the inbox, with annotations beside them."""

    source: Literal["hospital"] = "hospital"
    burned_in: BurnedIn = param(
        RefuseBurnedIn(), "what happens to films whose header says that text is burned into their pixels"
    )
    ct_slices: Literal["middle", "all"] = param("middle", "which slices of a CT series are taken")


class Kaggle(PictureSource):
    """One Kaggle data set at one version; for the sets of `presets`, the handle is enough."""

    source: Literal["kaggle"] = "kaggle"
    handle: str = param(..., "owner/name", pattern=r"^[\w-]+/[\w-]+$")
    version: int = param(..., "of the data set; a version never changes", ge=1)
    licence: str = param(..., "carried into the manifest and the report", min_length=1)
    archive: str = param("", "a zip in the inbox in place of the connection")
    warning: str = param("", "what must be accepted before the set is used")
    accept_licence: bool = param(False, "uses a set in spite of its warning")

    @model_validator(mode="before")
    @classmethod
    def with_preset(cls, entry: Any) -> Any:
        return complete(entry)

    @model_validator(mode="after")
    def check_warning(self) -> "Kaggle":
        if self.warning and not self.accept_licence:
            raise ValueError(f"{self.handle}: {self.warning}; set accept_licence: true to use it all the same")
        return self

    @property
    def title(self) -> str:
        """The data set and its version, as messages call it."""
        return f"{self.handle} version {self.version}"


class RemoteFile(Strict):
    """A file of a data set."""

    name: str = param(..., "of the file; a .zip is read as an archive", pattern=r"^[A-Za-z0-9][\w.-]*$")
    address: str = param(..., "where it is fetched", pattern=r"^https://\S+$")
    bytes: int = param(0, "its size, where it is known; 0: unknown", ge=0)
    sha256: str = param("", "its SHA-256, where it is known", pattern="^([0-9a-f]{64})?$")

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if name.lower().endswith(PACKED):
            raise ValueError(f"{name}: of archives only .zip is read; unpack it, and use the source folder")
        return name


class Url(PictureSource):
    """One version of a data set whose files anybody can fetch; for the sets of `presets`, the name is enough."""

    source: Literal["url"] = "url"
    name: str = param(..., "of the data set", pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = param(..., "of the data set; a version never changes", ge=1)
    files: list[RemoteFile] = param(..., "name, address and, where known, bytes and sha256 of each file", min_length=1)
    licence: str = param(..., "carried into the manifest and the report", min_length=1)
    downloaded: str = param("", "a folder in the inbox that holds the files, in place of the connection")

    @model_validator(mode="before")
    @classmethod
    def with_preset(cls, entry: Any) -> Any:
        return complete(entry)

    @model_validator(mode="after")
    def check_files(self) -> "Url":
        if twice := [name for name, count in Counter(file.name for file in self.files).items() if count > 1]:
            raise ValueError(f"files must name {', '.join(twice)} once")
        return self

    @property
    def title(self) -> str:
        """The data set and its version, as messages call it."""
        return f"{self.name} version {self.version}"


Source = Annotated[Sample | Folder | Hospital | Kaggle | Url, Field(discriminator="source"), ByName("source")]


def identity(entry: Source) -> str:
    """What may stand among the sources once."""
    if isinstance(entry, Kaggle):
        return entry.handle
    return entry.name if isinstance(entry, Url) else entry.source


class Params(Strict):
    sources: list[Source] = param([Sample()], "where films come from", min_length=1)
    inbox: str = param(str(INBOX), "folder that hospital and folder read; absolute, or from the root", min_length=1)
    on_error: Literal["stop", "quarantine"] = param(
        "stop", "a bad file ends the stage, or is listed in data/raw/quarantine.csv"
    )
    on_truncated: OnTruncated = param(
        "refuse", "a JPEG that lacks its last bytes is refused, or taken with a note where a row of blocks is missing"
    )
    near_duplicate_bits: int = param(
        32, "perceptual hashes that differ in no more belong to copies of one film", unit="bits of 256", ge=0, le=64
    )
    limits: Limits = Limits()
    ct_window: CtWindow = CtWindow()

    @field_validator("inbox")
    @classmethod
    def check_inbox(cls, inbox: str) -> str:
        if inbox.startswith("~"):
            raise ValueError(f"DVC does not expand `~` in {inbox}; write the path of the home folder")
        return inbox

    @model_validator(mode="after")
    def check_sources(self) -> "Params":
        counts = Counter(identity(entry) for entry in self.sources)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"sources must name {', '.join(twice)} once: its films would be read twice")
        return self
