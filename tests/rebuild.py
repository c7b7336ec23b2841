"""docs/rebuild_keys.md: which rules re-run when a key of the configuration changes, of every key, as Snakemake plans
it.

    make rebuild-table          or, of some keys, printed alone: python tests/rebuild.py tune.optimiser.lr knn.k

A project is made in which every file is there, empty, and Snakemake has noted what made it. Each key is changed alone
and a dry run made. Held against that: what `stars.audit.current` says that jobs are told. A key for which neither a job
nor a command changes is an error.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rebuild_changes import MORE, OVERLAYS, UNDER, change, keys
from rebuild_rules import jobs, rule_of
from tiny import CONFIG, ROOT, project
from zygote import Zygote

from stars.audit.check import current
from stars.pipeline import configuration
from stars.provenance.files import digest

PAGE = ROOT / "docs/rebuild_keys.md"
EVERY = "tests/config/every.yaml"
BY_SETUP = "config/datasets/by_setup.yaml"
ELSEWHERE, FEWER = "changes how jobs run, and no result", "asks for fewer files"  # what a key does that re-runs nothing
BESIDE = {
    "tracking": "shows how trainings go, and changes no job"
}  # keys that Snakemake itself reads while it runs, which no dry run shows


@dataclass(frozen=True)
class Row:
    """A key, how it was changed, the rules that are told it, those that re-run too, and what else it changes."""

    key: str
    change: str
    told: tuple[str, ...]
    after: tuple[str, ...]
    otherwise: str = ""

    def __str__(self) -> str:
        cells = (f"`{self.key}`", f"`{self.change}`", ", ".join(self.told) or self.otherwise, ", ".join(self.after))
        return "| " + " | ".join(cells) + " |"


def _package(folder: Path) -> Path:
    """A folder with a copy of the package, and of the configurations that lie beside it."""
    shutil.copytree(ROOT / "stars", folder / "stars", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


PLAN = ("--dry-run", "--printshellcmds")  # with Snakemake's own reason of each job


class Bench:
    """The project, and what Snakemake says in it."""

    def __init__(self, folder: Path, runs: Sequence[tuple[str, ...]] = ((),)) -> None:
        """What complete runs leave, one after another, each of the small configuration with these of `OVERLAYS` laid
        over it.
        """
        self.folder = project(folder / "project")
        self._zygotes: dict[tuple[int, Path], Zygote] = {}
        self._told: dict[str | None, dict[Path, dict[str, Any] | None]] = {}
        # so that an edit meanwhile changes nothing
        self.plain, self.package = (_package(folder / name) for name in ("plain", "package"))
        source = (
            (ROOT / "docs/extending.md")
            .read_text()
            .split("```python\n# plugins/objectives/barlow.py\n")[1]
            .split("```")[0]
        )
        for kind in ("objectives", "protocols", "tables"):
            (self.folder / "plugins" / kind).mkdir(parents=True)
        (self.folder / "plugins/objectives/barlow.py").write_text(source)
        self._write(BY_SETUP, {**configuration.read_yaml(ROOT / "config/datasets/demo.yaml"), "setups": [1, 2]})
        self._write("tests/config/more.yaml", {"methods": {"more": MORE}})
        for module in ("protocols/centroid.py", "tables/mine.py"):
            (self.folder / "plugins" / module).touch()
        for name, overlay in OVERLAYS.items():
            self._write(name, overlay)
        (self.folder / "given").mkdir()
        for name in ("given/S001.zip", "other.zip", "missing.txt"):
            (self.folder / name).touch()
        self.base = configuration.merge(
            configuration.read_yaml(self.folder / CONFIG), configuration.read_yaml(self.folder / EVERY)
        )
        self.files: dict[Path, None] = {}  # records, from the results folder
        for names in runs:
            self.files |= dict.fromkeys(self._pretend(EVERY, *names))
        assert "Nothing to be done" in self._run(*PLAN, configs=(EVERY,))

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def _run(self, *arguments: str, configs: tuple[str | Path, ...]) -> str:
        at = threading.get_ident(), self.package if "own.yaml" in configs else self.plain
        if at not in self._zygotes:
            self._zygotes[at] = Zygote(at[1])
        return self._zygotes[at].run(
            self.folder, "--cores", "2", *arguments, "--configfile", CONFIG, *map(str, configs)
        )

    def close(self) -> None:
        for zygote in self._zygotes.values():
            zygote.close()

    def planned(self) -> dict[str, tuple[str, str]]:
        """Jobs that would run as things are."""
        return jobs(self._run(*PLAN, configs=(EVERY,)))

    def graph(self) -> str:
        """Digest of which rule reads what which other makes, and of the small configuration: where it changes, so
        may who re-runs after whom.
        """
        text = self._run("--rulegraph", configs=(EVERY,))
        names = dict(re.findall(r'^\s*(\d+)\[label = "([^"]*)"', text, re.MULTILINE))
        read = sorted(
            (names[one], names[other]) for one, other in re.findall(r"^\s*(\d+) -> (\d+)", text, re.MULTILINE)
        )
        return digest({"read": read, "configuration": self.base})[:12]

    def _pretend(self, *configs: str) -> list[Path]:
        """Every file there, as if it had been made; those that are records."""
        table = self._run("--summary", configs=configs)
        table = table[table.index("output_file\t") :]
        paths = [
            self.folder / row["output_file"]
            for row in csv.DictReader(io.StringIO(table), delimiter="\t")
            if row["output_file"]
        ]
        for path in (path for path in paths if path.is_relative_to(self.folder / "results")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self._run("--touch", "--forceall", configs=configs)
        return [path.relative_to(self.folder / "results") for path in paths if path.match("*record.json")]

    def row(self, key: str) -> Row:
        """What a change of this key alone re-runs."""
        shown, changed = change(key, self.base)
        under = (EVERY, *([UNDER[key]] if key in UNDER else []))
        before = jobs(self._run(*PLAN, configs=under)) if key in UNDER else {}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=self.folder) as file:
            yaml.safe_dump(changed, file)
            file.flush()
            after = jobs(self._run(*PLAN, configs=(*under, file.name)))
            plan = [job for message, job in after.items() if message not in before]
            otherwise = "" if plan else BESIDE.get(key) or self.otherwise((*under, file.name))
        again = {rule for rule, _ in plan}
        params = {rule for rule, reason in plan if "Params have changed" in reason}
        told = (
            params if UNDER.get(key) == "own.yaml" else self.told(key, changed)
        )  # of what is one's own its file alone knows what it is told
        assert params <= told or key == "code_changes", (
            f"{key}: params of {sorted(params - told)} changed, which stars.audit.current does not say"
        )
        if otherwise == FEWER:
            told = set()  # nobody asks for their files any more
        assert told <= again, f"{key}: {sorted(told - again)} are told it and do not re-run"
        return Row(key, shown, tuple(sorted(told)), tuple(sorted(again - told)), otherwise)

    def told(self, key: str, changed: dict[str, Any]) -> set[str]:
        """Rules whose settings differ, by `stars.audit.current`."""
        under = UNDER.get(key)
        after = configuration.load(configuration.merge(self._unchanged(under), changed))
        found = set()
        for place, told in self._settings(under).items():
            settings = current.settings(after, place)
            if settings is not None and told is not None and settings != told:
                found.add(rule_of(place, after))
        return found

    def _unchanged(self, under: str | None) -> dict[str, Any]:
        """The small configuration, with that of `UNDER` laid over it."""
        return configuration.merge(self.base, OVERLAYS[under]) if under else self.base

    def _settings(self, under: str | None) -> dict[Path, dict[str, Any] | None]:
        """What each job is told where nothing is changed, worked out once."""
        if under not in self._told:
            config = configuration.load(self._unchanged(under))
            # a target that `all` has not
            asked = [place for place in self.files if place.parts[0] != "claims" or under == "claims.yaml"]
            self._told[under] = {place: current.settings(config, place) for place in asked}
        return self._told[under]

    def otherwise(self, configs: tuple[str | Path, ...]) -> str:
        """What a change does that re-runs nothing; AssertionError where it does nothing."""
        before, after = (
            self._run("--dry-run", "--forceall", "--printshellcmds", configs=given) for given in (configs[:-1], configs)
        )
        commands = [set(re.findall(r"Shell command: (.*)", text)) for text in (before, after)]
        if commands[0] == commands[1]:
            threads = [sorted(re.findall(r"(?:threads|resources): .*", text)) for text in (before, after)]
            assert threads[0] != threads[1], f"{configs[-1]}: nobody reads this key"
        return FEWER if commands[1] < commands[0] else ELSEWHERE


def cells(row: str) -> list[str]:
    """Key, change, told and "and then" of a row of the page."""
    return [cell.strip().strip("`") for cell in row.strip().strip("|").split(" | ")]


HEAD = """# What re-runs, key by key

Written by `make rebuild-table` (`tests/rebuild.py`): each key alone is changed in a small configuration that has every rule
(`tests/config/tiny.yaml` with `tests/config/every.yaml`), and a dry run of Snakemake made in a project in which everything is there.

**told**: rules whose jobs are told the key; the dry run must re-run all of these, and no other for its settings. **and then**: rules that
re-run because what they read is made anew, or because they read other files. A key that changes nothing is an error.
`tests/test_rebuild.py` works out **told** anew for every row but those of a loss, protocol or table of one's own (whose files alone know what they
are told), makes the dry run of some, and compares the graph of rules and the configuration, here `{graph}`, with what there is: where a key, a
setting of a job or an input of a rule changes, it asks for `make rebuild-table`.
How it works, and what a change in the code does: [rebuild.md](rebuild.md).

| key | changed to | told | and then |
|---|---|---|---|
"""


def main() -> None:
    mistakes: list[str] = []

    def line(key: str) -> str:
        try:
            return f"{bench.row(key)}\n"
        except AssertionError as mistake:
            mistakes.append(str(mistake))
            return ""

    with tempfile.TemporaryDirectory() as folder:
        # The last run is the newest: what is one's own adds to the others' files, a second split changes the tables.
        bench = Bench(
            Path(folder), [("claims.yaml",), ("twin.yaml",), ("two_splits.yaml",), ("methods.yaml",), ("own.yaml",)]
        )
        os.chdir(bench.folder)  # descriptions of data sets are found from there
        with ThreadPoolExecutor(2) as pool:
            lines = list(pool.map(line, sys.argv[1:] or keys()))
        head = HEAD.format(graph=bench.graph())
        bench.close()
    if mistakes:
        raise SystemExit("\n".join(mistakes))
    if sys.argv[1:]:
        print(*lines, sep="", end="")
    else:
        PAGE.write_text(head + "".join(lines))


if __name__ == "__main__":
    main()
