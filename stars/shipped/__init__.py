"""What comes with the package beside its code: configurations, descriptions, published numbers, the workflow. In a
clone these are links.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def found(path: Path | str) -> Path:
    """A file or folder of the working directory; where it is not there, the one of this name that came with the
    package, if one did.

    Args:
        path: as in a clone, e.g. config/config.yaml.
    """
    own, ours = Path(path), FOLDER / path
    return ours if not own.exists() and ours.exists() else own
