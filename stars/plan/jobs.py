"""The jobs that Snakemake would run, as shell commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.config import Config
from stars.errors import InputError
from stars.pipeline import configuration, layout
from stars.provenance import stale

FRAME = (
    "Error:",
    "WorkflowError:",
    "InputFunctionException in rule unknown_target",
    "Wildcards:",
)  # in Snakemake's message around one of ours
COMMAND = "Shell command: stars "
SUBSTITUTED = ("@<(printf", "%s", ")")  # process substitution that replaces a long argument


@dataclass(frozen=True)
class Job:
    """One `stars` command: its stage, its options (name → values), the stage's settings, and its positional
    arguments.
    """

    stage: str
    options: dict[str, tuple[str, ...]]
    settings: dict[str, Any]
    named: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Sequence[str]) -> Job:
        """The job of a command's words, without `stars`."""
        options: dict[str, list[str]] = {"": []}
        name = ""
        for word in words[1:]:
            if word in (">", "2>&1", "|"):
                break
            if word.startswith("--"):
                name = word[2:]
                options[name] = []
            else:
                options[name].append(word)
        settings = json.loads(" ".join(options.pop("settings", ["{}"])))
        return cls(
            words[0], {name: tuple(values) for name, values in options.items() if name}, settings, tuple(options[""])
        )

    def option(self, name: str) -> str:
        """The option's only value; empty if it is not given."""
        return next(iter(self.options.get(name, ())), "")

    def place(self, name: str, form: str) -> dict[str, str]:
        """Named groups of a pattern in an option's path; empty without a match."""
        found = re.search(form, self.option(name))
        return found.groupdict() if found else {}


def planned(
    config: Config,
    path: Path | str,
    targets: Sequence[str],
    everything: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Jobs that `snakemake TARGET… --configfile PATH` would run now; `everything`: as if no results existed.

    Args:
        config: the configuration in `path`, with `overrides` applied.

    Missing raw files that have not been ingested are assumed to exist.

    Raises:
        InputError: Snakemake is not installed, or fails; the error contains its message.
    """
    with (
        tempfile.NamedTemporaryFile(suffix=".zip") as placeholder,
        tempfile.NamedTemporaryFile("w", suffix=".yaml") as above,
    ):
        absent = {data: _stand_in(config, data, placeholder.name) for data in missing(config)}
        above.write(json.dumps(overrides or {}))
        above.flush()
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *targets,
            "--dry-run",
            "--printshellcmds",
            "--nocolor",
            "--cores",
            "1",
            "--nolock",
        ]
        command += ["--forceall"] if everything else []
        command += [
            "--configfile",
            *configuration.files(path),
            *([above.name] if overrides else []),
            *(["--config", f"data={json.dumps(absent)}"] if absent else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(_complaint(done.stdout + done.stderr))
    return list(parse(done.stdout))


def missing(config: Config) -> list[str]:
    """Data sets whose raw files are missing and have not been ingested."""
    return [
        data
        for data, block in config.data.items()
        if block.raw and not Path(block.raw).exists() and not _read(data, block.raw)
    ]


def parse(text: str) -> Iterator[Job]:
    """The `stars` commands in Snakemake's output."""
    for line in text.splitlines():
        if line.startswith(COMMAND):
            words = shlex.split(line.removeprefix(COMMAND))
            yield Job.of([word for word in words if word not in SUBSTITUTED])


def _stand_in(config: Config, data: str, placeholder: str) -> dict[str, Any]:
    """Keys with which a data set can be planned without its files."""
    ingest = config.data[data].ingest
    return {"raw": placeholder, **({"ingest": {"missing_list": placeholder}} if ingest.missing_list else {})}


def _read(data: str, raw: str) -> bool:
    return stale.read_already(Path(layout.clips(data)), raw)


def _complaint(said: str) -> str:
    """Snakemake's own error in one line, without the place in the workflow's files."""
    if "No module named snakemake" in said:
        return "stars plan needs Snakemake, which is not installed: pip install '.[workflow]'"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    first = next(
        (index for index, line in enumerate(lines) if re.match(r"\w*(Error|Exception)\b", line)), len(lines) - 2
    )
    kept = [line for line in lines[first:] if not line.startswith(("File ", *FRAME)) and line not in FRAME][:2]
    return " ".join(kept) or "Snakemake failed without an error message"
