"""A metric over time, from the ledger, with the changes between runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.provenance import ledger
from stars.provenance.changes import changed_source, in_words
from stars.provenance.ledger import Entry


def history(
    results: Path, metric: str = "top1", protocol: str | None = None, data: str | None = None, method: str | None = None
) -> Iterator[str]:
    """Lines for every evaluation in the ledger: time, metric, change since the previous run, and other differences.

    Args:
        metric: dotted key of metrics.json, or a value in `results` selected by its other keys:
            "top1@k=10,output=encoder".
        protocol, data, method: filters; `data` is a training or test data set, `method` the folder's name, with any
            seed.

    Raises:
        InputError: no evaluation matches or has this metric, or an entry is damaged.
    """
    runs: dict[str, list[Entry]] = {}
    for entry in ledger.entries(results):
        if _fits(entry, protocol, data, method):
            runs.setdefault(entry.place, []).append(entry)
    if not runs:
        raise InputError(
            f"{results / ledger.FOLDER}: no evaluation of this protocol, data and method is in the ledger: leave out an"
            " option"
        )
    if all(value(entry.metrics, metric) is None for own in runs.values() for entry in own):
        known = ", ".join(
            key for key, found in next(iter(runs.values()))[0].metrics.items() if isinstance(found, int | float)
        )
        raise InputError(
            f"--metric {metric}: no evaluation has this metric: give one of {known}, per_class.NAME or top1@k=10"
        )
    for place in sorted(runs):
        yield f"{place}  {metric}"
        yield from _lines(runs[place], metric)


def _lines(entries: list[Entry], metric: str) -> Iterator[str]:
    before: Entry | None = None
    for entry in entries:
        found = value(entry.metrics, metric)
        shown = "–" if found is None else f"{found:g}"
        last = None if before is None else value(before.metrics, metric)
        step = "" if found is None or last is None else f"{found - last:+.4g}"
        yield f"  {entry.time[:19].replace('T', ' ')}  {shown:>8}  {step:>8}".rstrip()
        yield from (
            f"      {line}" for line in ([] if before is None else differences(before, entry) or ["nothing changed"])
        )
        before = entry


def differences(before: Entry, after: Entry) -> list[str]:
    """Differences in the origins of two evaluations: settings, source, external files."""
    found = []
    for place in dict.fromkeys((*before.stages, *after.stages)):
        old, new = before.stages.get(place), after.stages.get(place)
        if old is None or new is None:
            found.append(f"{place}: {'not' if new is None else 'now'} made from it")
            continue
        found += [
            f"{place}: {words}"
            for words in (*in_words(old["settings"], new["settings"]), *changed_source(old["code"], new["code"]))
        ]
    given = dict.fromkeys((*before.given, *after.given))
    found += [f"{path}: another file" for path in given if before.given.get(path) != after.given.get(path)]
    return found or list(_other_bytes(before, after))


def _other_bytes(before: Entry, after: Entry) -> Iterator[str]:
    """Files that differ despite equal settings, source and raw files: from another machine or other libraries."""
    if any("files" not in stage for entry in (before, after) for stage in entry.stages.values()):
        yield "settings, source and raw files are the same; the older entries do not record whether files differ"
        return
    for place in after.stages:
        old, new = (entry.stages[place]["files"] for entry in (before, after))
        if differing := [name for name in new if name in old and old[name] != new[name]]:
            yield f"{place}: rebuilt, differing files: {', '.join(differing)}"


def value(metrics: Mapping[str, Any], metric: str) -> float | None:
    """A number in metrics.json by dotted key, or in one of its `results`; None if missing."""
    key, _, choice = metric.partition("@")
    found: Any = metrics
    if choice:
        wanted = dict(part.strip().partition("=")[::2] for part in choice.split(","))
        found = next(
            (one for one in metrics["results"] if all(str(one.get(name)) == text for name, text in wanted.items())),
            None,
        )
    head, _, rest = key.partition(".")
    for name in filter(None, (head, rest)):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def _fits(entry: Entry, protocol: str | None, data: str | None, method: str | None) -> bool:
    run, _, rest = entry.place.partition("/")
    folder = rest.split("/")[0]
    return (
        protocol in (None, entry.metrics["protocol"])
        and data in (None, entry.metrics["data"], run, run.rpartition("_")[0])
        and method in (None, folder, folder.partition("-seed")[0])
    )
