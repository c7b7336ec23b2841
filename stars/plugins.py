"""Files found by their names: in a folder of the package, or in plugins/ of the working directory."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from stars.config.reading import nearest
from stars.errors import InputError

PACKAGE = Path(__file__).parent
FOLDER = Path("plugins")  # of the working directory, where `snakemake` is run
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
        raise InputError(f"{key}: no file {FOLDER / kind / name}.py{hint}: write it as docs/extending.md shows")
    return f"stars.{kind}.{name}" if (PACKAGE / kind / f"{name}.py").is_file() else f"plugins.{kind}.{name}"


def load(kind: str, name: str, key: str) -> ModuleType:
    """That module, imported."""
    module = module_of(kind, name, key)
    return import_module(module) if module.startswith("stars.") else _from_file(module, (FOLDER / kind / f"{name}.py").resolve())


@cache
def _from_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
