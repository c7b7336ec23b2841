"""`stars` alone: the state of this folder and what to do next."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stars.errors import InputError
from stars.program import program

if TYPE_CHECKING:
    from stars.jobs.journal import Run

RESULTS, CONFIG, SNAKEFILE = Path("results"), Path("config/config.yaml"), Path("Snakefile")
SHOWN = 6  # lines on jobs under way
ELSEWHERE = """This folder is not a stars project. To start:
  create a project, then run snakemake there    {stars} init FOLDER
  recognise actions with an existing encoder    {stars} predict FILES --encoder FILE --library PATH
  measure an encoder's accuracy on your clips   {stars} evaluate FOLDER --encoder FILE"""
NOTHING = """No results yet. To make them:
  run the workflow on {config}           {snakemake} --cores 2
  estimate its jobs, hours and disk space          {stars} plan"""
HELP = "All commands: {stars} --help"


def start(chosen: argparse.Namespace) -> None:
    """Print the state of this folder and what to do next. Never fails."""
    for line in lines():
        print(line)


def lines() -> Iterator[str]:
    """What `stars` prints in the working directory."""
    from stars.jobs.status import in_progress

    stars = program("stars")
    if not (SNAKEFILE.is_file() or CONFIG.is_file() or RESULTS.is_dir()):
        yield ELSEWHERE.format(stars=stars)
    else:
        current = in_progress()
        run = list(_last_run() if current is None else _progress(current))
        made = list(_made())
        yield from run
        yield from made or ([] if run else [NOTHING.format(config=CONFIG, stars=stars, snakemake=program("snakemake"))])
        yield from _stale() if made and CONFIG.is_file() and current is None else []
    yield HELP.format(stars=stars)


def _progress(run: Run) -> Iterator[str]:
    """The run in progress: counts, jobs under way, time left of trainings."""
    from stars.jobs.status import summary, under_way

    first, *more = summary(run)
    yield f"A run is in progress: {first}"
    yield from (f"  {line}" for line in (*more, *list(under_way(run))[:SHOWN]))
    yield f"  details: {program('stars')} status"
    yield "Until it ends, results may change or be incomplete."


def _last_run() -> Iterator[str]:
    """The newest run, if it ended incomplete."""
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
    yield f"  details: {program('stars')} status"


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
    yield f"  numbers  {program('stars')} {'results' if tables else 'history'}"


def _stale() -> Iterator[str]:
    """Results that a run of the default configuration would rebuild; next steps if there are none."""
    from stars.audit.stale import stale
    from stars.cli.next_steps import next_steps
    from stars.pipeline import configuration

    try:
        found = list(stale(RESULTS, configuration.load_file(str(CONFIG), [])).lines())
    except InputError as error:
        yield f"Cannot determine what is out of date: {error}"
        return
    except Exception as error:  # a results folder may contain anything; this command must not fail
        yield f"Cannot determine what is out of date ({type(error).__name__}): run {program('stars')} changes"
        return
    if found:
        yield f"Out of date according to {CONFIG}:"
        yield from (f"  {line}" for line in found)
        yield f"  to update: {program('snakemake')} --cores 2   (details: {program('stars')} changes)"
    else:
        yield f"Up to date with {CONFIG}. Next:"
        yield from next_steps(RESULTS)
