"""`stars` alone: what to do next in this folder."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from stars.errors import InputError

RESULTS, CONFIG, SNAKEFILE = Path("results"), Path("config/config.yaml"), Path("Snakefile")
ELSEWHERE = """This folder is not a stars project. To start:
  stars init FOLDER                                   create a project, then run snakemake there
  stars predict FILES --encoder FILE --library PATH   label clips of your own by an encoder that you have
  stars evaluate FOLDER --encoder FILE                how well an encoder tells your own actions apart"""
NOTHING = """No results yet. To make them:
  snakemake --cores 2   run the workflow on {config}
  stars plan            jobs, hours and disk space that it would need"""
HELP = "All commands: stars --help"


def start(chosen: argparse.Namespace) -> None:
    """Print what is here and what comes next. It fails in no folder."""
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
    """The newest run, where it did not make everything."""
    from stars.jobs.journal import Run
    from stars.jobs.status import summary

    try:
        run = Run.read()
        if run.ended and not run.of_state("failed") and not run.interrupted:
            return
        told = list(summary(run))
    except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):  # no run, or no journal that can be read
        return
    yield f"Last run: {told[0]}"
    yield from (f"  {line}" for line in told[1:])
    yield "  details: stars status"


def _made() -> Iterator[str]:
    """Tables and figures that are there, the report page, and how to see more."""
    from stars.paper.summary import PAGE, files

    try:
        tables, figures = files(RESULTS)
    except OSError:
        return
    if not tables and not figures:
        return
    yield "Results:"
    if tables:
        yield "  tables   " + ", ".join(path.stem.removeprefix("table") for path in tables) + f"   in {RESULTS / 'tables'}/"
    if figures:
        yield "  figures  " + ", ".join(str(path.with_suffix(".png")) for path in figures)
    if (RESULTS / PAGE).is_file():
        yield f"  page     {RESULTS / PAGE}   open it in a browser"
    yield "  numbers  stars results"


def _stale() -> Iterator[str]:
    """What a run on the default configuration would make again."""
    from stars.audit.stale import stale
    from stars.pipeline import configuration

    try:
        found = list(stale(RESULTS, configuration.load_file(str(CONFIG), [])).lines())
    except InputError as error:
        yield f"Cannot tell what is out of date: {error}"
        return
    except Exception as error:  # a results folder may hold anything: this command says less then, and does not fail
        yield f"Cannot tell what is out of date ({type(error).__name__}): ask stars changes"
        return
    if found:
        yield f"Out of date, by {CONFIG}:"
        yield from (f"  {line}" for line in found)
        yield "  to make them again: snakemake --cores 2   (stars changes: what, why, how long)"
    else:
        yield f"Up to date, by {CONFIG}."
