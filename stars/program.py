"""How to call `stars` and `snakemake`, for the commands that messages suggest."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program(name: str, folder: Path | str = ".") -> str:
    """A command of this installation, as typed in `folder`: its name if the PATH leads to it, otherwise its path.

    Args:
        name: `stars`, `snakemake`.
    """
    script, on_path = Path(sys.executable).parent / name, shutil.which(name)
    if on_path and (not script.is_file() or Path(on_path).samefile(script)):
        return name
    if not script.is_file():
        return f"{shlex.quote(sys.executable)} -m {name}"
    here, script = Path(folder).resolve(), script.parent.resolve() / name
    if not script.is_relative_to(here):
        return shlex.quote(str(script))
    inside = script.relative_to(here)
    return shlex.quote(str(inside) if len(inside.parts) > 1 else f"./{inside}")
