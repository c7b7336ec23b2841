"""docs/rebuild_keys.md: which rules re-run when a key of the configuration changes, of every key, as Snakemake plans it.

    make rebuild-table          or, of some keys, printed alone: python tests/rebuild.py tune.optimiser.lr knn.k

A project is made in which every file is there, empty, and Snakemake has noted what made it. Each key is changed alone and a dry run made.
Held against that: what `stars.expected` says that jobs are told. A key for which neither a job nor a command changes is an error.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tiny import CONFIG, ROOT, project
from tiny import RULES as TINY_RULES
from zygote import Zygote

from stars import expected, recipes
from stars.config import Config
from stars.provenance.files import digest
from stars.reference import rows

PAGE = ROOT / "docs/rebuild_keys.md"
EVERY = "tests/config/every.yaml"
BY_SETUP = "config/datasets/by_setup.yaml"
# What some keys need under them: a loss, a protocol and a table of one's own; a second split; a data set of another's files.
OWN = {
    "targets": ["all", "knn", "centroid", "mine"],
    "methods": {"barlow": {"from": "mamp", "tune": {"strategy": "barlow"}, "tables": [], "protocols": ["knn"]}},
    "protocols": {"centroid": {}},
    "tables": {"mine": {"protocol": "centroid"}},
}
TWO_SPLITS = {"data": {"demo": {"splits": ["xsub", "xview"]}}}
TWIN = {"data": {"twin": {"like": "demo", "protocols": []}}}
OVERLAYS: dict[str, dict[str, Any]] = {"own.yaml": OWN, "two_splits.yaml": TWO_SPLITS, "twin.yaml": TWIN}
UNDER = {
    **dict.fromkeys(("tune.options", *(f"protocols.NAME.{name}" for name in ("methods", "runs", "options"))), "own.yaml"),
    **dict.fromkeys((f"tables.NAME.{name}" for name in ("protocol", "title", "methods", "runs", "options")), "own.yaml"),
    **dict.fromkeys(("fig1.split", "fig3.split", "fig4.split", "fig6.split"), "two_splits.yaml"),
    "data.NAME.like": "twin.yaml",
}
PAIR = {"source": "demo", "target": "demo"}
MORE = {"from": "stars", "tune": {"layer_decay": 0.5}}

# Where a key is changed, if not at data.demo or methods.stars, and to what, where that does not follow from its kind.
NAMES = {"data": "demo", "methods": "stars", "protocols": "centroid", "tables": "mine"}
WHERE = {
    **{f"data.NAME.{name}": f"data.given.{name}" for name in ("raw", "ingest_jobs", "ingest.missing_list", "ingest.joints")},
    **{f"methods.NAME.{name}": f"methods.mamp.{name}" for name in ("model", "pretrain")},
    "data.NAME.like": "data.twin.like",
    "methods.NAME.joints": "methods.floor.joints",
    "tune.options": "methods.barlow.tune.options",
}
VALUES: dict[str, Any] = {
    "seeds": [0, 1],
    "code_changes": "rebuild",
    "targets": ["table2", "report"],
    "data": {"more": {"dataset": "demo", "simulate": {"actions": 4, "subjects": 4}, "protocols": []}},
    "data.NAME.dataset": "demo_base",
    "data.NAME.like": "other",
    "data.NAME.raw": "other.zip",
    "data.NAME.simulate": {"seed": 3},
    "data.NAME.simulate.clips": 20,
    "data.NAME.simulate.frames": [16, 25],
    "data.NAME.ingest.missing_list": "missing.txt",
    "data.NAME.ingest.bodies": 1,
    "data.NAME.ingest.centre": "none",
    "data.NAME.ingest.single_body": "copy",
    "data.NAME.splits": ["xsub", "xset"],
    "data.NAME.protocols": ["linear", "knn"],
    "data.NAME.settings": {"embed": {"test_crop": 0.8}},
    "recipes": "tests/config/more.yaml",
    "methods": {"more": MORE},
    "methods.NAME.from": "mamp_b",
    "methods.NAME.title": "Ours",
    "methods.NAME.heads": "stars_heads",
    "methods.NAME.model": {"depth": 3},
    "methods.NAME.pretrain": {"motion": {"normalise": False}},
    "methods.NAME.tune": {"layer_decay": 0.5},
    "methods.NAME.joints": {"frames": 16},
    "methods.NAME.gpus": 2,
    "methods.NAME.protocols": ["knn"],
    "methods.NAME.tables": [2],
    "model.frames": 32,
    "model.segment": 8,
    "model.width": 32,
    "model.heads": 4,
    "model.decoder_width": 32,
    "pretrain.motion.stride": 2,
    "tune.tuned_blocks": 1,
    "tune.strategy": "dino",
    "tune.optimiser.min_lr": 0.0001,
    "tune.options": {"redundancy": 0.5},
    "tune.dino.local_crop": [0.3, 0.8],
    "knn.k": [1, 5, 10, 20],
    "knn.outputs": ["encoder"],
    "finetune.layer_decay": 0.7,
    "semi.fractions": [0.5],
    "semi.finetune": {"score_epochs": 2},
    "transfer.pairs": [PAIR],
    "transfer.finetune": {"score_epochs": 2},
    "few_shot.shots": [1, 2, 3],
    "few_shot.outputs": ["encoder"],
    "few_shot.pairs": [PAIR],
    "table4.methods": ["mamp"],
    "table9.methods": ["scratch"],
    "table8.method": "dino",
    "table10.method": "moco",
    "fig3.method": "moco",
    "fig3.k": 5,
    "fig6.k": 5,
    "fig6.method": "mamp",
    "protocols.NAME.runs": ["other_xsub"],
    "protocols.NAME.options": {"near": 1},
    "tables.NAME.protocol": "knn",
    "tables.NAME.title": "Mine",
    "tables.NAME.options": {"near": 1},
    "report.shows": ["table1"],
    "checkpoint.folder": "elsewhere",
    "compute.gpus": 2,
}
ENDINGS: dict[str, Any] = {
    "crop": [0.6, 1.0],
    "betas": [0.8, 0.9],
    "methods": ["stars"],
    "runs": [],
    "data": "other",
    "split": "xview",
}  # by a key's last word
ELSEWHERE, FEWER = "changes how jobs run, and no result", "asks for fewer files"  # what a key does that re-runs nothing


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


class Bench:
    """The project, and what Snakemake says in it."""

    def __init__(self, folder: Path, under: bool = False) -> None:
        """What a complete run leaves; `under`: of the configurations in `UNDER` too."""
        self.folder = project(folder / "project")
        self._zygotes: dict[tuple[int, Path], Zygote] = {}
        self._told: dict[str | None, dict[Path, dict[str, Any] | None]] = {}
        self.plain, self.package = (_package(folder / name) for name in ("plain", "package"))  # so that an edit meanwhile changes nothing
        source = (ROOT / "docs/extending.md").read_text().split("```python\n# stars/training/losses/barlow.py\n")[1].split("```")[0]
        (self.package / "stars/training/losses/barlow.py").write_text(source)
        self._write(BY_SETUP, {**recipes.read_yaml(ROOT / "config/datasets/demo.yaml"), "setups": [1, 2]})
        self._write("tests/config/more.yaml", {"methods": {"more": MORE}})
        for module in ("evaluation/own/centroid.py", "paper/own/mine.py"):
            (self.package / "stars" / module).touch()
        for name, overlay in OVERLAYS.items():
            self._write(name, overlay)
        (self.folder / "given").mkdir()
        for name in ("given/S001.zip", "other.zip", "missing.txt"):
            (self.folder / name).touch()
        self.base = recipes.merge(recipes.read_yaml(self.folder / CONFIG), recipes.read_yaml(self.folder / EVERY))
        self.files: dict[Path, None] = {}  # records, from the results folder
        # The last run is the newest: what is one's own adds to the others' files, a second split changes the tables.
        for configs in [(EVERY, name) for name in ("twin.yaml", "two_splits.yaml", "own.yaml")] if under else [(EVERY,)]:
            self.files |= dict.fromkeys(self._pretend(*configs))
        assert "Nothing to be done" in self._run("--dry-run", configs=(EVERY,))

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def _run(self, *arguments: str, configs: tuple[str | Path, ...]) -> str:
        at = threading.get_ident(), self.package if "own.yaml" in configs else self.plain
        if at not in self._zygotes:
            self._zygotes[at] = Zygote(at[1])
        return self._zygotes[at].run(self.folder, "--cores", "2", *arguments, "--configfile", CONFIG, *map(str, configs))

    def close(self) -> None:
        for zygote in self._zygotes.values():
            zygote.close()

    def planned(self) -> dict[str, tuple[str, str]]:
        """Jobs that would run as things are."""
        return jobs(self._run("--dry-run", configs=(EVERY,)))

    def graph(self) -> str:
        """Digest of which rule reads what which other makes, and of the small configuration: where it changes, so may who re-runs after whom."""
        text = self._run("--rulegraph", configs=(EVERY,))
        names = dict(re.findall(r'^\s*(\d+)\[label = "([^"]*)"', text, re.MULTILINE))
        read = sorted((names[one], names[other]) for one, other in re.findall(r"^\s*(\d+) -> (\d+)", text, re.MULTILINE))
        return digest({"read": read, "configuration": self.base})[:12]

    def _pretend(self, *configs: str) -> list[Path]:
        """Every file there, as if it had been made; those that are records."""
        table = self._run("--summary", configs=configs)
        table = table[table.index("output_file\t") :]
        paths = [self.folder / row["output_file"] for row in csv.DictReader(io.StringIO(table), delimiter="\t") if row["output_file"]]
        for path in (path for path in paths if path.is_relative_to(self.folder / "results")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self._run("--touch", "--forceall", configs=configs)
        return [path.relative_to(self.folder / "results") for path in paths if path.match("*record.json")]

    def row(self, key: str) -> Row:
        """What a change of this key alone re-runs."""
        shown, changed = self.change(key)
        under = (EVERY, *([UNDER[key]] if key in UNDER else []))
        before = jobs(self._run("--dry-run", configs=under)) if key in UNDER else {}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=self.folder) as file:
            yaml.safe_dump(changed, file)
            file.flush()
            after = jobs(self._run("--dry-run", configs=(*under, file.name)))
            plan = [job for message, job in after.items() if message not in before]
            otherwise = "" if plan else self.otherwise((*under, file.name))
        again = {rule for rule, _ in plan}
        params = {rule for rule, reason in plan if "Params have changed" in reason}
        told = (
            params if UNDER.get(key) == "own.yaml" else self.told(key, changed)
        )  # of what is one's own its file alone knows what it is told
        assert params <= told or key == "code_changes", (
            f"{key}: params of {sorted(params - told)} changed, which stars.expected does not say"
        )
        if otherwise == FEWER:
            told = set()  # nobody asks for their files any more
        assert told <= again, f"{key}: {sorted(told - again)} are told it and do not re-run"
        return Row(key, shown, tuple(sorted(told)), tuple(sorted(again - told)), otherwise)

    def change(self, key: str) -> tuple[str, dict[str, Any]]:
        """How a key is changed, in words and as a configuration."""
        where, value = self._value(key)
        words = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
        changed: Any = value
        for name in reversed(where.split(".")):
            changed = {name: changed}
        return f"{where}: {words}", changed

    def _value(self, key: str) -> tuple[str, Any]:
        """Where a key is changed, and to what: another value of its kind."""
        where = WHERE.get(key, key.replace("NAME", NAMES.get(key.split(".")[0], "")))
        if key in VALUES:
            return where, VALUES[key]
        if key.rpartition(".")[2] in ENDINGS:
            return where, ENDINGS[key.rpartition(".")[2]]
        value: Any = recipes.load(self.base).model_dump(mode="json", by_alias=True)
        for name in where.split("."):
            value = value[name]
        kind = KINDS[key]
        if kind.startswith("one of "):
            choices = [choice for choice in re.split(", | or ", kind.removeprefix("one of ")) if choice not in (str(value), "null")]
            return where, int(choices[0]) if choices[0].isdigit() else choices[0]
        if isinstance(value, bool):
            return where, not value
        return where, value + 1 if isinstance(value, int) else round(value * 0.9, 6) or 0.1

    def told(self, key: str, changed: dict[str, Any]) -> set[str]:
        """Rules whose settings differ, by `stars.expected`."""
        under = UNDER.get(key)
        after = recipes.load(recipes.merge(self._unchanged(under), changed))
        found = set()
        for place, told in self._settings(under).items():
            settings = expected.settings(after, place)
            if settings is not None and told is not None and settings != told:
                found.add(rule_of(place, after))
        return found

    def _unchanged(self, under: str | None) -> dict[str, Any]:
        """The small configuration, with that of `UNDER` laid over it."""
        return recipes.merge(self.base, OVERLAYS[under]) if under else self.base

    def _settings(self, under: str | None) -> dict[Path, dict[str, Any] | None]:
        """What each job is told where nothing is changed, worked out once."""
        if under not in self._told:
            config = recipes.load(self._unchanged(under))
            self._told[under] = {place: expected.settings(config, place) for place in self.files}
        return self._told[under]

    def otherwise(self, configs: tuple[str | Path, ...]) -> str:
        """What a change does that re-runs nothing; AssertionError where it does nothing."""
        before, after = (self._run("--dry-run", "--forceall", "--printshellcmds", configs=given) for given in (configs[:-1], configs))
        commands = [set(re.findall(r"Shell command: (.*)", text)) for text in (before, after)]
        if commands[0] == commands[1]:
            threads = [sorted(re.findall(r"(?:threads|resources): .*", text)) for text in (before, after)]
            assert threads[0] != threads[1], f"{configs[-1]}: nobody reads this key"
        return FEWER if commands[1] < commands[0] else ELSEWHERE


RULES = {
    **TINY_RULES,
    "Join setups": "join",
    "Map": "map",
    "Report": "report_page",
    "Benchmarks": "benchmark_page",
    "Joint positions": "joints",
    "Joint positions of another data set": "joints_elsewhere",
    "Protocol centroid": "own_protocol",
    "Table mine": "own_table",
    "Read raw files of a setup": "ingest_setup",
    "Figure 1": "draw_fig1",
    "Figure 3": "draw_sweep",
    **{f"Table {number}": "table" for number in range(1, 12)},
}
DRAWN = {
    "fig1": "draw_fig1",
    "fig3a": "draw_sweep",
    "fig3b": "draw_sweep",
    "fig4": "draw_fig4",
    "fig6": "draw_fig6",
    "curves": "draw_curves",
}
KINDS = {key: kind for key, kind, _, _ in rows()}


def jobs(text: str) -> dict[str, tuple[str, str]]:
    """Each job of a dry run: its message → its rule, and why it runs."""
    found = re.findall(r"^Job \d+: (([^:\n]+).*)\nReason: (.*)$", text, re.MULTILINE)
    return {message: (RULES[title], reason) for message, title, reason in found}


def rule_of(place: Path, config: Config) -> str:
    """Rule that writes the record at `place`, from the results folder."""
    if place.parts[0] in ("tables", "figures"):
        return DRAWN.get(place.name.partition(".")[0], "table")
    pages = {"curves.record.json": "draw_curves", "benchmarks.record.json": "benchmark_page"}
    if place.name in pages or place.parts[0] == "report":
        return pages.get(place.name, "report_page")
    stage, names = expected.place_of(place) or ("", {})
    if stage not in ("training", "embed"):
        return stage
    kind = recipes.method(config, names["data"], recipes.untag(config, names["folder"])[0]).kind
    if stage == "training":
        return kind
    return f"{'joints' if kind == 'joints' else 'embed'}{'_elsewhere' if 'target' in names else ''}"


def cells(row: str) -> list[str]:
    """Key, change, told and "and then" of a row of the page."""
    return [cell.strip().strip("`") for cell in row.strip().strip("|").split(" | ")]


def keys() -> list[str]:
    """Every key, blocks that hold nothing but keys of their own left out."""
    return [key for key, kind, _, _ in rows() if kind != "block" or key in VALUES]


HEAD = """# What re-runs, key by key

Written by `make rebuild-table` (`tests/rebuild.py`): each key alone is changed in a small configuration that has every rule
(`tests/config/tiny.yaml` with `tests/config/every.yaml`), and a dry run of Snakemake made in a project in which everything is there.

**told**: rules whose jobs are told the key; the dry run must re-run all of these, and no other for its settings. **and then**: rules that
re-run because what they read is made anew, or because they read other files. A key that changes nothing is an error.
`tests/test_rebuild.py` works out **told** anew for every row, makes the dry run of some, and compares the graph of rules and the configuration, here
`{graph}`, with what there is: where a key, a setting of a job or an input of a rule changes, it asks for `make rebuild-table`.
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
        bench = Bench(Path(folder), under=True)
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
