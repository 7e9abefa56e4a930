"""Pins, for each stage, the libraries that can change a byte of what the stage writes.

stages/NAME/libraries.lock holds pins of requirements.lock: those of the libraries that the stage's code imports, of
what these need, and of what they load by themselves. DVC takes the stage's folder for a dependency, so that another
version of one of them runs the stage again and another version of anything else does not.

Run: make locks     (`make setup` runs it whenever requirements.lock changes)
"""

import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.audit.imports import import_closure, imported_names
from tools.doctor.packages import read_pins

NAME = "libraries.lock"
HEAD = "# Written by scripts/stage_locks.py from requirements.lock: the libraries that decide this stage's output.\n"
PROJECT = {"stages", "tools"}

# What a library loads by itself, without an import in our code or a requirement of its own. Patterns of names.
LOADED = {
    "pydicom": ("pylibjpeg", "pylibjpeg-openjpeg"),  # decoders of compressed pixels
    "pandas": ("pyarrow",),  # keeps text columns
    "ruamel-yaml": ("ruamel-yaml-clib",),  # parses
    "torch": ("cuda-*", "nvidia-cu*", "nvidia-nc*", "nvidia-nv*", "triton"),  # a build for the CPU requires none
}
# What decides no byte of any stage's output, by reason.
NO_OUTPUT = {
    "shows progress": ("rich", "tqdm"),
    "locks files": ("filelock",),
    "passes work on to machines that have the same libraries": ("distributed",),
    "records runs; records are no output of a stage": ("mlflow", "mlflow-skinny", "mlflow-tracing"),
    "accepts or refuses values and does not change them": ("great-expectations", "pydantic", "pydantic-core"),
    "downloads files, whose SHA-256 are pinned": ("huggingface-hub", "kagglehub", "kagglesdk", "requests"),
    "serves imports, versions and types": ("lazy-loader", "lightning-utilities", "packaging", "typing-extensions"),
    "reads dates; no table has any": ("python-dateutil",),
}
# Needs of a library for those of its parts that no stage calls.
UNUSED = {
    "imagehash": ("pywavelets",),  # wavelet hashes
    "lightning-fabric": ("fsspec",),  # checkpoints on remote stores
    "scikit-image": ("imageio", "networkx", "tifffile"),  # reading files; region graphs
    "scikit-learn": ("joblib", "narwhals", "threadpoolctl"),  # parallel fits, other kinds of tables
    "statsmodels": ("formulaic", "patsy"),  # formulas
    "timm": ("pyyaml",),  # files of arguments
    "torch": ("fsspec", "jinja2", "setuptools"),  # checkpoints on remote stores, tuned templates, C++ extensions
}


def main(root: Path = Path()) -> None:
    """Write the lock of every stage below `root`, where it changed."""
    for stage, text in stage_locks(root.resolve(), canonical_pins(root)).items():
        path = root / "stages" / stage / NAME
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            print(f"{path}: written", file=sys.stderr)


def canonical_pins(root: Path) -> dict[str, str]:
    """The pins of requirements.lock, without hashes and in its order, by the canonical name of the package."""
    return {name: f"{name}=={version}" for name, version in read_pins(root / "requirements.lock").items()}


def stage_locks(root: Path, pins: dict[str, str]) -> dict[str, str]:
    """The content that each stage's lock should have, by the stage's name."""
    packages = module_packages()
    texts = {}
    for folder in sorted(path.parent for path in root.glob("stages/*/__main__.py")):
        names = libraries(imported_packages(root, folder, packages, pins), pins)
        texts[folder.name] = HEAD + "".join(f"{line}\n" for name, line in pins.items() if name in names)
    return texts


@cache
def module_packages() -> Mapping[str, list[str]]:
    """The installed packages that hold a top-level module, by the module's name."""
    return packages_distributions()


def imported_packages(root: Path, stage: Path, packages: Mapping[str, list[str]], pins: dict[str, str]) -> set[str]:
    """Canonical names of the packages whose modules running a stage can import.

    Args:
        root: of the project.
        stage: its folder.
        packages: of `module_packages`.
        pins: of `canonical_pins`.
    """
    names_of_packages = set[str]()
    for path in import_closure(root, stage):
        for module in {name.partition(".")[0] for name in imported_names(path)} - sys.stdlib_module_names - PROJECT:
            names = {canonicalize_name(name) for name in packages.get(module, ())}
            if not names or names - pins.keys():
                sys.exit(f"{path}: imports {module}, which no package of requirements.lock provides; pin it there")
            names_of_packages |= names
    return names_of_packages


def libraries(imported: set[str], pins: dict[str, str]) -> set[str]:
    """Those of the imported packages, and of what they need and load, that can decide an output."""
    without = {name for names in NO_OUTPUT.values() for name in names}
    needed, todo = set[str](), list(imported)
    while todo:
        name = todo.pop()
        if name not in needed | without:
            needed.add(name)
            todo += [need for need in needs(name, pins) if need in pins]
    return needed


def needs(library: str, pins: dict[str, str]) -> Iterator[str]:
    """What a library requires here and what it loads, less what no stage calls."""
    yield from required(library) - set(UNUSED.get(library, ()))
    yield from (name for name in pins if any(fnmatch(name, pattern) for pattern in LOADED.get(library, ())))


@cache
def required(library: str) -> frozenset[str]:
    """Canonical names of what an installed package requires on this platform, without its extras."""
    items = [Requirement(text) for text in requires(library) or ()]
    chosen = (item for item in items if not item.marker or item.marker.evaluate({"extra": ""}))
    return frozenset(canonicalize_name(item.name) for item in chosen)


if __name__ == "__main__":
    main()
