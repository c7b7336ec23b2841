"""Files found by their names: in a folder of the package, or in plugins/ of the working directory."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from stars.config.base import Settings
from stars.config.reading import nearest
from stars.errors import InputError

PACKAGE = Path(__file__).parent
FOLDER = Path("plugins")  # of the working directory, where `snakemake` is run
CLASSES = {"backbones": "Network", "objectives": "Loss"}
DEFINES = {  # what a file of each kind defines
    "backbones": ("class Network(",),
    "objectives": ("class Loss(",),
    "protocols": ("Options", "def classify("),
    "tables": ("Options", "def table("),
}


def known(kind: str) -> list[str]:
    """Names of the backbones, objectives, protocols or tables that there are files of."""
    defined = re.compile(rf"^{re.escape(DEFINES[kind][-1])}", re.MULTILINE)
    files = [file for folder in (PACKAGE / kind, FOLDER / kind) for file in folder.glob("*.py")]
    return sorted({file.stem for file in files if defined.search(file.read_text(encoding="utf-8"))})


def module_of(kind: str, name: str, key: str) -> str:
    """Module of a file, "stars.…" or "plugins.…"; InputError where there is none, `key` being the one that names it."""
    if name not in known(kind):
        if (FOLDER / kind / f"{name}.py").is_file():
            needed = " and ".join(text.split()[-1].rstrip("(") for text in DEFINES[kind])
            raise InputError(f"{key}: {FOLDER / kind / name}.py must define {needed} (docs/extending.md)")
        hint = nearest(name, known(kind)) if known(kind) else ""
        raise InputError(
            f"{key}: no file {FOLDER / kind / name}.py{hint}{'; or' if hint else ':'} write it as docs/extending.md"
            " shows"
        )
    ours, own = PACKAGE / kind / f"{name}.py", FOLDER / kind / f"{name}.py"
    if ours.is_file() and own.is_file() and ours.resolve() != own.resolve():
        raise InputError(f"{key}: {own}: stars has a {name} of its own: give yours another name")
    return f"stars.{kind}.{name}" if ours.is_file() else f"plugins.{kind}.{name}"


def load(kind: str, name: str, key: str) -> ModuleType:
    """That module, imported."""
    module = module_of(kind, name, key)
    return (
        import_module(module)
        if module.startswith("stars.")
        else _from_file(module, (FOLDER / kind / f"{name}.py").resolve())
    )


def class_of(kind: str, name: str, key: str) -> type:
    """The class that such a file defines, with its `Options`."""
    found: type = getattr(load(kind, name, key), CLASSES[kind])
    options = getattr(found, "Options", None)
    if not (isinstance(options, type) and issubclass(options, Settings)):
        raise InputError(
            f"{key}: {name}.py: {CLASSES[kind]} has no Options: write `Options = …` in it, a class derived from"
            " Settings"
        )
    return found


@cache
def _from_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"{FOLDER / path.parent.name / path.name}{_line(error, path)}: {type(error).__name__}:"
            f" {getattr(error, 'msg', error)}"
        ) from error
    return module


def _line(error: Exception, path: Path) -> str:
    """Where in the file it was raised, or what is no Python stands."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
