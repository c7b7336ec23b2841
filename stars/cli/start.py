"""`stars` alone: the state of this folder and what to do next."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from stars.errors import InputError

RESULTS, CONFIG, SNAKEFILE = Path("results"), Path("config/config.yaml"), Path("Snakefile")
ELSEWHERE = """This folder is not a stars project. To start:
  stars init FOLDER                                   create a project, then run snakemake there
  stars predict FILES --encoder FILE --library PATH   recognise the actions in your clips with an existing encoder
  stars evaluate FOLDER --encoder FILE                measure the accuracy of an encoder on your actions"""
NOTHING = """No results yet. To make them:
  snakemake --cores 2   run the workflow on {config}
  stars plan            estimate its jobs, hours and disk space"""
HELP = "All commands: stars --help"


def start(chosen: argparse.Namespace) -> None:
    """Print the state of this folder and what to do next. Never fails."""
    for line in lines():
        print(line)


def lines() -> Iterator[str]:
    """What `stars` prints in the working directory."""
    if not (SNAKEFILE.is_file() or CONFIG.is_file() or RESULTS.is_dir()):
        yield ELSEWHERE
    else:
        run = list(_run())
        made = list(_made())
        yield from run
        yield from made or ([] if run else [NOTHING.format(config=CONFIG)])
        yield from _stale() if made and CONFIG.is_file() else []
    yield HELP


def _run() -> Iterator[str]:
    """The newest run, if it is incomplete."""
    from stars.jobs.journal import Run
    from stars.jobs.status import summary

    try:
        run = Run.read()
        if run.ended and not run.of_state("failed") and not run.interrupted:
            return
        told = list(summary(run))
    except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):  # no run, or an unreadable journal
        return
    yield f"Last run: {told[0]}"
    yield from (f"  {line}" for line in told[1:])
    yield "  details: stars status"


def _made() -> Iterator[str]:
    """Existing tables and figures, the report page, and the command that prints the numbers."""
    from stars.paper.summary import PAGE, files

    try:
        tables, figures = files(RESULTS)
    except OSError:
        return
    evaluated = any(RESULTS.glob("*_*/*/*/metrics.json"))
    if not (tables or figures or evaluated):
        return
    yield "Results:"
    if tables:
        yield ("  tables   " + ", ".join(path.stem for path in tables) + f"   in {RESULTS / 'tables'}/")
    if figures:
        yield "  figures  " + ", ".join(str(path.with_suffix(".png")) for path in figures)
    if (RESULTS / PAGE).is_file():
        yield f"  page     {RESULTS / PAGE}   open it in a browser"
    yield "  numbers  stars results" if tables else "  numbers  stars history"


def _stale() -> Iterator[str]:
    """Results that a run of the default configuration would rebuild."""
    from stars.audit.stale import stale
    from stars.pipeline import configuration

    try:
        found = list(stale(RESULTS, configuration.load_file(str(CONFIG), [])).lines())
    except InputError as error:
        yield f"Cannot determine what is out of date: {error}"
        return
    except Exception as error:  # a results folder may contain anything; this command must not fail
        yield f"Cannot determine what is out of date ({type(error).__name__}): run stars changes"
        return
    if found:
        yield f"Out of date according to {CONFIG}:"
        yield from (f"  {line}" for line in found)
        yield "  to update: snakemake --cores 2   (details: stars changes)"
    else:
        yield f"Up to date with {CONFIG}."
