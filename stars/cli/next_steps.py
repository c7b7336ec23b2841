"""What `stars` alone suggests when every result is up to date."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator
from pathlib import Path

from stars.program import program


def next_steps(results: Path) -> Iterator[str]:
    """Trace a number, try a change, use an encoder: each with its command."""
    stars, best = program("stars"), max(_measured(results), default=None)
    if best is not None:
        _, table, cell, _ = best
        yield f"  trace a number to its raw files      {stars} explain {table} --cell {shlex.quote(cell)}"
    yield f"  see what a change would re-run       {stars} changes --set KEY=VALUE"
    if best is not None:
        yield f"  recognise actions in your own clips  {stars} predict FILES --encoder {best[3]} --library PATH"


def _measured(results: Path) -> Iterator[tuple[float, str, str, str]]:
    """This run's numbers of encoders in tables: value, table, cell, encoder."""
    for table in results.glob("tables/table*.csv"):
        try:
            with table.open(encoding="utf-8", newline="") as file:
                own = [row for row in csv.DictReader(file) if row["origin"] == "this run" and row["value"]]
            for row in own:
                encoder = results.parent / Path(row["source"].split(";")[0]).parent.with_name("encoder.safetensors")
                if encoder.is_file():
                    yield float(row["value"]), str(table), f"{row['method']},{row['column']}", str(encoder)
        except (OSError, KeyError, ValueError, csv.Error, AttributeError):  # not a table that stars wrote
            continue
