"""The page's files in the folder `web`: template, style sheet and scripts."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("web")
# Each may use those before it.
SCRIPTS = (
    "page",
    "tables",
    "lineage",
    "palette",
    "skeleton",
    "scatter",
    "confusion",
    "words",
    "find",
    "explorer",
    "claims",
    "start",
)


def template() -> str:
    """The page's jinja2 template."""
    return _text("page.html")


def style() -> str:
    """The style sheet."""
    return _text("style.css")


def script() -> str:
    """All scripts in one scope."""
    return '"use strict";\n(() => {\n' + "\n".join(_text(f"{name}.js") for name in SCRIPTS) + "})();\n"


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
