"""`stars --help`: the commands in groups, everyday ones first."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping

WIDEST = 100  # columns
NAMES = 17  # columns of the commands' names

GROUPS = {
    "Everyday": ("results", "status", "changes", "inspect", "predict"),
    "Examine results": ("report", "explain", "history", "diff", "track"),
    "Use your own clips": ("evaluate", "fit", "search", "embed"),
    "Set up and plan a run": ("init", "config", "plan", "bench"),
    "Stages (run by the workflow; each can also be run alone)": (
        *(
            "simulate",
            "ingest",
            "join",
            "split",
            "scratch",
            "pretrain",
            "tune",
            "train",
            "network",
            "joints",
            "ensemble",
        ),
        *(
            "knn",
            "linear",
            "finetune",
            "subsets",
            "semi",
            "exemplars",
            "few-shot",
            "ensemble-scores",
            "plugin-protocol",
        ),
        *("map", "table", "figure", "comparison", "claims", "plugin-table"),
    ),
    "Check, share and convert": ("audit", "pack", "verify", "import-weights", "export", "export-clips"),
}
ABOUT = "Self-supervised 3D action recognition: from skeletons to tables and figures."
USAGE = """usage: stars COMMAND ...
       stars                  show the state of this folder and what to do next
       stars COMMAND --help   show the options of a command"""


def text(helps: Mapping[str, str]) -> str:
    """The message of `stars --help`.

    Args:
        helps: command → its help text.
    """
    width = min(WIDEST, shutil.get_terminal_size().columns)
    blocks = [
        "\n".join([f"{title}:", *(_line(name, helps[name], width) for name in names)])
        for title, names in GROUPS.items()
    ]
    return "\n\n".join([USAGE, ABOUT, *blocks]) + "\n"


def _line(name: str, about: str, width: int) -> str:
    indent = " " * (NAMES + 2)
    return textwrap.fill(
        about,
        max(width, 2 * NAMES),
        initial_indent=f"  {name:<{NAMES}}",
        subsequent_indent=indent,
        break_long_words=False,
    )
