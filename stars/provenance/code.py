"""Digest of the source that a stage runs: its module and every module of `stars` that it imports, directly or not."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from stars import plugins

PACKAGE = Path(__file__).resolve().parents[1]
# These modules affect a stage only through its settings, which are compared separately.
NOT_PART_OF_A_STAGE = (
    "stars.config",
    "stars.pipeline",
    "stars.plugins",
    "stars.errors",
    "stars.cli",
    "stars.provenance",
)


@cache
def digest_of(modules: str) -> str:
    """Hex digest of the sources behind a module ("stars.training.tune"), or several joined by "+" if settings select
    some of them.

    Compares text, including comments and docstrings.
    """
    total = hashlib.sha256()
    for name in _behind(modules):
        for file in (_file(name), *_assets(name)):
            total.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def parts_of(modules: str) -> dict[str, str]:
    """Module → first 12 hex digits of its source's sha256, for all modules covered by `digest_of`; `assets` includes
    its files.
    """
    sources = {name: b"".join(file.read_bytes() for file in (_file(name), *_assets(name))) for name in _behind(modules)}
    return {name: hashlib.sha256(source).hexdigest()[:12] for name, source in sources.items()}


def _behind(modules: str) -> list[str]:
    return sorted(set().union(*map(reachable, modules.split("+"))))


def today(modules: str) -> str | None:
    """`digest_of` these modules; None if some do not exist."""
    try:
        return digest_of(modules)
    except (OSError, SyntaxError):
        return None


def of_tuning(strategy: str, backbone: str) -> str:
    """The modules of a tuning: stage 2, its objective, and its encoder's backbone."""
    return of_backbone(f"stars.training.tune+{plugins.module_of('objectives', strategy, 'tune.strategy')}", backbone)


def of_training(objective: str, backbones: Iterable[str]) -> str:
    """The modules of a training by `train`: the stage, its objective and its backbones."""
    named = [plugins.module_of("objectives", objective, "train.objective")]
    named += [plugins.module_of("backbones", backbone, "backbone") for backbone in dict.fromkeys(backbones)]
    return "+".join(["stars.training.train", *named])


def of_backbone(stage: str, backbone: str) -> str:
    """The modules of a stage that runs an encoder with this backbone."""
    return f"{stage}+{plugins.module_of('backbones', backbone, 'backbone')}"


def reachable(module: str) -> set[str]:
    """The modules of this package that `module` imports, including itself."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(NOT_PART_OF_A_STAGE):
            continue
        seen.add(name)
        waiting.extend(imports(name))
    return seen


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of this package in `module`'s import statements, anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_file(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    # `from stars import …` also runs the package's module, which only provides `stars.load` and is part of no stage
    return frozenset(name for name in found if name.startswith(("stars.", "plugins.")) and _exists(name))


def _file(module: str) -> Path:
    root = Path() if module.startswith("plugins.") else PACKAGE.parent
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _assets(module: str) -> list[Path]:
    """Files in the folder `web` next to a module named `assets`: a page's scripts and styles are source, too."""
    return sorted(_file(module).with_name("web").glob("*.*")) if module.endswith(".assets") else []


def _exists(module: str) -> bool:
    return _file(module).is_file()
