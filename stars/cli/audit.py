"""Commands that check, share and trace results: audit, pack, verify, explain, history and diff."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from stars.cli.common import add_folder, named_folder, warn_of_run
from stars.errors import InputError, given


def add(commands: Any) -> None:
    """audit, pack, verify, explain, history and diff."""
    for add_one in (_add_audit, _add_pack, _add_verify, _add_explain, _add_history, _add_diff):
        add_one(commands)


def _add_audit(commands: Any) -> None:
    parser = commands.add_parser(
        "audit",
        help="check every result against its record, source and inputs",
        description=(
            "Compare every result with its record and the current source, inputs and settings. Print each difference;"
            " exit code 1 if there is one."
        ),
    )
    add_folder(parser)
    parser.add_argument(
        "--packed",
        action="store_true",
        help="the folder is an unpacked archive of `stars pack` [yes if it contains a MANIFEST.json]",
    )
    parser.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help=(
            "configuration to compare settings with; A+B merges two files, B overriding A; repeat the option if the"
            " results are of several configurations [config/config.yaml; for an unpacked archive none]"
        ),
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one key in each configuration, as in the run, e.g. seeds=[0,1]",
    )
    parser.set_defaults(handler=_audit)


def _add_pack(commands: Any) -> None:
    parser = commands.add_parser(
        "pack",
        help="pack the results into one zip file with a manifest",
        description="Pack every result and record into one zip file with a manifest. `stars verify` checks the file.",
    )
    add_folder(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="archive to write, ending in .zip")
    parser.add_argument(
        "--with-clips",
        action="store_true",
        help="include the joints of all clips; only if the licence of the data allows it",
    )
    parser.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="sign the manifest with this OpenSSH private key, e.g. ~/.ssh/id_ed25519 [not signed]",
    )
    parser.add_argument(
        "--crate",
        action="store_true",
        help="also describe the archive as a Workflow Run RO-Crate (needs the extra `crate`)",
    )
    parser.add_argument("--agent", metavar="NAME", help="with --crate: name of the person who ran the workflow [none]")
    parser.set_defaults(handler=_pack)


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="check that an archive you received is complete and consistent",
        description=(
            "Unpack an archive of `stars pack` to a temporary folder, audit it, recompute every table from its"
            " predictions and repeat KNN on its features. Print a verdict of five lines, and errors to stderr; exit"
            " code 0 or 1. No code in the archive is run."
        ),
    )
    parser.add_argument(
        "archive",
        type=Path,
        metavar="ARCHIVE",
        help="archive written by `stars pack`, or the results folder of an unpacked archive",
    )
    parser.add_argument(
        "--signers",
        type=Path,
        metavar="FILE",
        help="allowed signers: lines with a name and a public key [without it, the signature is shown but not checked]",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="PATH", help="unpack to this new folder and keep it [a temporary folder]"
    )
    parser.set_defaults(handler=_verify)


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="show where a result comes from, back to the raw files",
        description=(
            "Print the files that a result was made from, back to the raw files, and the command that makes it again."
        ),
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="result, e.g. results/tables/table2.csv")
    parser.add_argument("--cell", metavar="METHOD,COLUMN", help='one cell of a table, e.g. "STARS,demo_xsub"')
    parser.add_argument("--results", type=Path, metavar="PATH", help="results folder [the one that contains FILE]")
    parser.set_defaults(handler=_explain)


def _add_history(commands: Any) -> None:
    parser = commands.add_parser(
        "history",
        help="show a metric over time, and what changed between runs",
        description=(
            "Print, from the ledger, a metric of each evaluation over time, and what changed: settings, source, raw"
            " files."
        ),
    )
    add_folder(parser)
    parser.add_argument(
        "--metric",
        default="top1",
        metavar="KEY",
        help=(
            'metric in metrics.json: top1, top5, per_class.NAME; for one variant append @KEY=VALUE, e.g. "top1@k=10"'
            " [top1]"
        ),
    )
    for name, what in (("protocol", "protocol"), ("data", "data set"), ("method", "method")):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"only this {what} [all]")
    parser.set_defaults(handler=_history)


def _add_diff(commands: Any) -> None:
    parser = commands.add_parser(
        "diff",
        help="compare two results folders: settings, numbers, significance",
        description=(
            "Compare two results folders: settings and source of every stage, every number, and the significance of"
            " differences."
        ),
    )
    parser.add_argument("first", type=Path, metavar="A", help="results folder")
    parser.add_argument("second", type=Path, metavar="B", help="results folder to compare with")
    parser.add_argument("--metric", default="top1", metavar="KEY", help="as in `stars history` [top1]")
    parser.set_defaults(handler=_diff)


def _audit(chosen: argparse.Namespace) -> None:
    from stars.audit.check import audit
    from stars.pipeline import configuration
    from stars.provenance.lineage import MANIFEST, result_files

    results = named_folder(chosen.results)
    warn_of_run(results)
    found = sum(1 for _ in result_files(results))
    if not found:
        raise InputError(f"{results} contains no results: run the workflow first, or give another folder")
    packed = chosen.packed or (chosen.config is None and (results / MANIFEST).is_file())
    names = [] if packed else chosen.config or ["config/config.yaml"]
    configs = [configuration.load_file(name, chosen.set) for name in names]
    lines = list(audit(results, packed, configs))
    for line in lines:
        print(line)
    if lines:
        compared = (
            f"; settings compared with {', '.join((*names, *chosen.set))} (choose others with --config, --set)"
            if names
            else ""
        )
        print(f"{results}: {len(lines)} differences in {found} files{compared}", file=sys.stderr)
        raise SystemExit(1)
    print(f"{results}: {found} files, all match their records{f' and {MANIFEST}' if packed else ''}", file=sys.stderr)


def _pack(chosen: argparse.Namespace) -> None:
    from stars.audit.pack import pack

    results = named_folder(chosen.results)
    warn_of_run(results)
    told = pack(results, chosen.out, chosen.with_clips, chosen.sign, chosen.crate, chosen.agent)
    print(
        f"{chosen.out}: {len(told['files'])} files packed, {len(told['left_out'])} left out (listed in the manifest)",
        file=sys.stderr,
    )


def _verify(chosen: argparse.Namespace) -> int:
    from stars.audit.unpack import unpack
    from stars.audit.verify import verify

    with tempfile.TemporaryDirectory() as aside:
        if chosen.archive.is_dir():
            results = named_folder(chosen.archive)
        else:
            results = unpack(
                given(chosen.archive, "an archive of `stars pack`"),
                _new_folder(chosen.keep) if chosen.keep else Path(aside),
            )
        found = verify(results, chosen.archive, chosen.signers)
    for finding in found.findings:
        print(finding, file=sys.stderr)
    for line in found.lines:
        print(line)
    return 0 if found.good else 1


def _new_folder(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--keep {folder}: already exists: give a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _explain(chosen: argparse.Namespace) -> int:
    from stars.audit.explain import explain

    results = named_folder(chosen.results or _around(chosen.file))
    warn_of_run(results)
    project = results.parent
    there = project / chosen.file
    file = Path(os.path.relpath(there if there.exists() else chosen.file, project))
    found = explain(results, file, chosen.cell)
    for line in found.lines:
        print(line)
    return 0 if found.whole else 1


def _around(file: Path) -> Path:
    """The results folder that contains a file; without one, ./results."""
    from stars.provenance.lineage import RESULTS, around

    here = Path(RESULTS)
    if file.resolve().is_relative_to(here.resolve()):
        return here
    found = around(file)
    return here if found is None else Path(os.path.relpath(found))


def _history(chosen: argparse.Namespace) -> None:
    from stars.audit.history import history

    for line in history(named_folder(chosen.results), chosen.metric, chosen.protocol, chosen.data, chosen.method):
        print(line)


def _diff(chosen: argparse.Namespace) -> None:
    from stars.audit.compare import compare

    for line in compare(named_folder(chosen.first), named_folder(chosen.second), chosen.metric):
        print(line)
