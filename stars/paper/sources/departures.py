"""What a reader must know before comparing a table with the paper's: every setting that differs from the paper's
own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from stars.config import Config
from stars.pipeline import configuration
from stars.pipeline.resolve import Method

NO_SETTING = ("seed", "gpus")  # what jobs are told beside their settings
# told to a protocol under another name: they stand under `embed` and `semi`
KNOWN = ("test_crop", "bodies", "fraction", "subsets")


def departures(config: Config, protocol: str, names: Iterable[str], runs: Iterable[tuple[str, str, str]]) -> list[str]:
    """A note for each group of methods that differ from the paper in the same settings, with the paper's values in
    brackets.

    Compared is what the jobs behind the results are told. A method that the paper does not have is compared with the
    paper's of the same strategy (its STARS where it has none of that), or with its MAMP where it is not tuned.

    Args:
        runs: (data, split, data tested on) of each column.
    """
    notes = (
        note for data, split, target in runs for note in _notes(config, protocol, list(names), data, split, target)
    )
    return list(dict.fromkeys(notes))


def differences(ours: Mapping[str, Any], papers: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Key with its blocks' names, dotted → our value and the paper's, where the two differ."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, value in ours.items():
        other = papers.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found |= differences(value, other, f"{prefix}{name}.")
        elif value != other and name not in NO_SETTING:
            found[prefix + name] = value, other
    return found


def points(
    config: Config, protocol: str, names: Iterable[str], runs: Iterable[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    """The same, one setting at a time: its dotted key, ours and paper as JSON, and the titles of the methods that
    have it.
    """
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for (data, split, target), name in product(runs, names):
        if not _in_the_paper(configuration.method(config, data, name)):
            continue
        told = _told(config, name, protocol, data, split, target)
        for key, (ours, papers) in differences(told, _papers(config, name, protocol, data, split, target)).items():
            found.setdefault((key, _text(ours), _text(papers)), {})[configuration.method(config, data, name).title] = (
                None
            )
    return [
        {"setting": key, "ours": ours, "paper": papers, "methods": list(who)}
        for (key, ours, papers), who in found.items()
    ]


def _notes(config: Config, protocol: str, names: list[str], data: str, split: str, target: str) -> list[str]:
    names = [name for name in names if _in_the_paper(configuration.method(config, data, name))]
    told = {name: _told(config, name, protocol, data, split, target) for name in names}
    readers: dict[str, list[str]] = {}  # block → methods whose jobs are told it
    holders: dict[str, list[str]] = {}  # setting → methods that have it
    for name in names:
        for block in told[name]:
            readers.setdefault(block, []).append(name)
        for key, values in differences(told[name], _papers(config, name, protocol, data, split, target)).items():
            holders.setdefault(f"{key} {_text(values[0])} ({_text(values[1])})", []).append(name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for setting, have in holders.items():
        everyone = have == readers[setting.split(" ")[0].partition(".")[0]]
        groups.setdefault(() if everyone else tuple(have), []).append(setting)
    return [_note(config, data, have, groups[have]) for have in sorted(groups, key=len)]


def _note(config: Config, data: str, have: tuple[str, ...], settings: list[str]) -> str:
    who = ", ".join(
        [configuration.dataset(config, data).title, *(configuration.method(config, data, name).title for name in have)]
    )
    return f"Settings that differ from the paper (its values in brackets), {who}: {', '.join(settings)}."


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def _told(config: Config, name: str, protocol: str, data: str, split: str, target: str) -> dict[str, Any]:
    """What all jobs are told that a result comes from: of each training behind it, of its features, of the protocol."""
    found: dict[str, Any] = {}
    for training in configuration.trainings(config, data, name) or [name]:
        found |= configuration.stage_settings(
            config, configuration.method(config, data, training).kind, data, training, split
        )
    found |= configuration.stage_settings(config, "embed", data, name, split)
    told = configuration.stage_settings(config, protocol, target, name, split)
    if protocol == "semi":
        told["semi"] = {"fractions": list(config.semi.fractions), "subsets": config.semi.subsets}
    return found | {key: value for key, value in told.items() if key not in KNOWN}


def _papers(config: Config, name: str, protocol: str, data: str, split: str, target: str) -> dict[str, Any]:
    paper = _paper(config)
    known = name if name in paper.methods else _likest(configuration.method(config, data, name))
    return _told(paper, known, protocol, data, split, target)


def _in_the_paper(own: Method) -> bool:
    """Whether the paper has settings of its own for such a method: masked prediction and tuning, or random weights,
    of its transformer.
    """
    return own.kind in ("scratch", "pretrain", "tune") and own.backbone == configuration.TRANSFORMER


def _likest(own: Method) -> str:
    """The paper's method that one it does not have is compared with."""
    if own.kind == "tune":
        return {"dino": "dino", "moco": "moco"}.get(own.blocks["tune"]["strategy"], "stars")
    return {"scratch": "scratch", "pretrain": "mamp"}[own.kind]


@configuration.once
def _paper(config: Config) -> Config:
    """The paper's own methods and settings, on the same data sets."""
    data = {name: {"dataset": block.dataset, "raw": "-", "splits": block.splits} for name, block in config.data.items()}
    return configuration.load({"recipes": "paper", "data": data}, "the paper's methods")
