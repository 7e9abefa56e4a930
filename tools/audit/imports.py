"""Which modules of the project a stage runs, by the imports in its code.

The locks of libraries, the audit and the test of dvc.yaml ask the same question.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

# The modules that `stages.run` imports by their names.
ENTRIES = ("__main__", "main", "params")


def import_closure(root: Path, stage: Path) -> set[Path]:
    """Every module of the project that running a stage can import."""
    return closure_of(root, [stage / f"{name}.py" for name in ENTRIES])


def closure_of(root: Path, starts: Iterable[Path]) -> set[Path]:
    """Some modules, and every module of the project that these can import."""
    modules, todo = set[Path](), list(starts)
    while todo:
        path = todo.pop()
        if path not in modules:
            modules.add(path)
            todo += project_modules(root, imported_names(path, root))
    return modules


def imported_names(path: Path, root: Path | None = None) -> frozenset[str]:
    """Dotted names of what a module imports, wherever in it the import stands.

    Args:
        path: of the module.
        root: of the project, from which the names of its packages count; without it, relative imports stay as written.
    """
    return names_in(path.read_bytes(), path.parent.relative_to(root).parts if root else ())


@cache
def names_in(code: bytes, package: tuple[str, ...] = ()) -> frozenset[str]:
    """Dotted names of what Python code imports; `from .` counts from its package, `from ..` from the one above."""
    names = set()
    for node in nodes(code):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            names |= {module} - {""} | {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
    return frozenset(names)


def nodes(code: bytes) -> Iterator[ast.AST]:
    """Everything in the tree of Python code; nothing where it is none."""
    tree = parsed(code)
    return iter(()) if tree is None else ast.walk(tree)


@cache
def parsed(code: bytes) -> ast.Module | None:
    """Python code as a tree; None where it is none, so that nothing can run or import it."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError):  # bad syntax or encoding; a null byte
        return None


@cache
def compiles(code: bytes) -> bool:
    """Whether Python can run code: a tree may have a `return` outside of each function."""
    tree = parsed(code)
    try:
        return tree is not None and bool(compile(tree, "module", "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return False


def project_modules(root: Path, names: Iterable[str]) -> set[Path]:
    """The project's files among imported names, with the `__init__.py` of every package on the way, which run first."""
    files = set()
    for name in names:
        parts = name.split(".")
        packages = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
        files |= {path for path in (*packages, root.joinpath(*parts).with_suffix(".py")) if path.is_file()}
    return files
