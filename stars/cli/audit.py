"""Commands that trace results: audit, pack, explain, history and diff."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from stars.errors import InputError


def add(commands: Any) -> None:
    """audit, pack, explain, history and diff."""
    audit = commands.add_parser(
        "audit",
        help="does every result equal its record, and was it made by today's source and inputs",
        description="Compare every result with its record. Exit code 1, with a line for each, if something is not as it should be.",
    )
    audit.add_argument("results", nargs="?", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    audit.add_argument("--packed", action="store_true", help="the folder was unpacked from an archive of `stars pack`")
    audit.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help="configuration that results must be as it would make them, A+B: two files, B laid over A; give the option again for each other one"
        " that made some [config/config.yaml]",
    )
    audit.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override of each of them, as they were made with, e.g. seeds=[0,1]"
    )
    audit.set_defaults(handler=_audit)
    pack = commands.add_parser(
        "pack",
        help="the results as one archive with a manifest",
        description="Pack every result and record into one zip with a manifest; `stars audit --packed` checks it where it was unpacked.",
    )
    pack.add_argument("results", nargs="?", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    pack.add_argument("--out", type=Path, required=True, metavar="FILE", help="archive to write, ending in .zip")
    pack.add_argument("--with-clips", action="store_true", help="the joints of all clips too, if their owners allow it")
    pack.set_defaults(handler=_pack)
    explain = commands.add_parser(
        "explain",
        help="where a result comes from, back to the raw files",
        description="Print what a result was made from, file by file, back to the raw files, and the commands that make it again.",
    )
    explain.add_argument("file", type=Path, metavar="FILE", help="a result, e.g. results/tables/table2.csv")
    explain.add_argument("--cell", metavar="METHOD,COLUMN", help='one cell of a table\'s csv, e.g. "STARS,demo_xsub"')
    explain.add_argument("--results", type=Path, metavar="PATH", help="results folder [the one that FILE lies in]")
    explain.set_defaults(handler=_explain)
    history = commands.add_parser(
        "history",
        help="a metric over time, with what changed between one run and the next",
        description="Print from the ledger, for each evaluation, a metric over time and what changed: settings, source, raw files.",
    )
    history.add_argument("results", nargs="?", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    history.add_argument(
        "--metric", default="top1", metavar="KEY", help='of metrics.json: top1, top5, per_class.NAME, or of one variant "top1@k=10" [top1]'
    )
    for name, what in (("protocol", "protocol"), ("data", "data set"), ("method", "method")):
        history.add_argument(f"--{name}", metavar="NAME", help=f"only this {what} [all]")
    history.set_defaults(handler=_history)
    compare = commands.add_parser(
        "diff",
        help="two results folders: settings, numbers, significance",
        description="Compare two results folders: settings and source of every stage, every number, and whether a difference may be chance.",
    )
    compare.add_argument("first", type=Path, metavar="A", help="results folder")
    compare.add_argument("second", type=Path, metavar="B", help="another one")
    compare.add_argument("--metric", default="top1", metavar="KEY", help="as in `stars history` [top1]")
    compare.set_defaults(handler=_diff)


def _audit(chosen: argparse.Namespace) -> None:
    from stars.audit.check import audit
    from stars.pipeline import configuration
    from stars.provenance.lineage import result_files

    _check_folder(chosen.results)
    results = sum(1 for _ in result_files(chosen.results))
    if not results:
        raise InputError(f"{chosen.results} holds no results: run the workflow first, or name another folder")
    names = [] if chosen.packed else chosen.config or ["config/config.yaml"]
    configs = [configuration.load_file(name, chosen.set) for name in names]
    lines = list(audit(chosen.results, chosen.packed, configs))
    for line in lines:
        print(line)
    if lines:
        compared = f"; settings compared with {', '.join((*names, *chosen.set))} (others: --config, --set)" if names else ""
        print(f"{chosen.results}: {len(lines)} of these in {results} files{compared}", file=sys.stderr)
        raise SystemExit(1)
    print(f"{chosen.results}: {results} files, all as recorded", file=sys.stderr)


def _pack(chosen: argparse.Namespace) -> None:
    from stars.audit.pack import pack

    _check_folder(chosen.results)
    told = pack(chosen.results, chosen.out, chosen.with_clips)
    print(f"{chosen.out}: {len(told['files'])} files; left out, and named in its manifest: {len(told['left_out'])}", file=sys.stderr)


def _explain(chosen: argparse.Namespace) -> None:
    from stars.audit.explain import explain

    results = chosen.results or _around(chosen.file)
    _check_folder(results)
    project = results.parent
    there = project / chosen.file
    file = Path(os.path.relpath(there if there.exists() else chosen.file, project))
    for line in explain(results, file, chosen.cell, _program(project)):
        print(line)


def _around(file: Path) -> Path:
    """The results folder around a file, as of an archive that was unpacked elsewhere; the one here where there is none."""
    from stars.provenance.lineage import RESULTS

    here = Path(RESULTS)
    if file.resolve().is_relative_to(here.resolve()):
        return here
    around = [folder for folder in file.absolute().parents if folder.name == RESULTS and folder.is_dir()]
    return Path(os.path.relpath(around[0])) if around else here


def _program(project: Path) -> str:
    """What this command was called by, so that it holds in folder `project` too."""
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m stars"
    elsewhere = os.sep in called and not project.samefile(Path.cwd())
    return shlex.quote(str(Path(called).absolute()) if elsewhere else called)


def _history(chosen: argparse.Namespace) -> None:
    from stars.audit.history import history

    _check_folder(chosen.results)
    for line in history(chosen.results, chosen.metric, chosen.protocol, chosen.data, chosen.method):
        print(line)


def _diff(chosen: argparse.Namespace) -> None:
    from stars.audit.compare import compare

    for folder in (chosen.first, chosen.second):
        _check_folder(folder)
    for line in compare(chosen.first, chosen.second, chosen.metric):
        print(line)


def _check_folder(results: Path) -> None:
    if not results.is_dir():
        raise InputError(f"{results} is not a folder: name the results folder, from the project's folder")
