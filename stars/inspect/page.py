"""The quality page of a data set: content, missing data, and suspicious clips."""

from __future__ import annotations

from pathlib import Path

from stars.config import Inspect, Settings, key
from stars.data.dataset import Dataset
from stars.data.store import FRAMES, OFFSETS, TABLE, ClipStore
from stars.inspect import cards, content
from stars.inspect.html import render
from stars.inspect.measures import measure
from stars.inspect.skeleton import Skeleton
from stars.inspect.suspicious import KINDS, suspicious, table
from stars.provenance.files import read_json, read_npy, write_text
from stars.provenance.record import recording

PAGE, LIST, QUALITY = "index.html", "suspicious.csv", "quality.json"


class InspectStage(Settings):
    """Settings of a quality page; the clips are its input."""

    name: str = key(..., "data set's name in the configuration")
    dataset: Dataset
    splits: tuple[str, ...]
    inspect: Inspect


def page(clips: Path, splits: Path, out: Path, settings: InspectStage) -> None:
    """Write out/index.html, suspicious.csv and record.json; equal clips give equal bytes.

    Args:
        clips: folder of the clip store; splits: folder of the splits, of which existing ones are counted.

    Raises:
        InputError: the store is damaged or missing.
    """
    store, dataset, limits = ClipStore.open(clips), settings.dataset, settings.inspect
    sides = {
        (name, side): Path(splits) / f"{name}_{side}.npy" for name in settings.splits for side in ("train", "test")
    }
    sides = {side: path for side, path in sides.items() if path.exists()}
    inputs = {file: Path(clips) / file for file in (TABLE, FRAMES, OFFSETS, QUALITY)} | {
        "_".join(side): path for side, path in sides.items()
    }
    with recording(out, "stars.inspect.page", settings.model_dump(mode="json"), inputs, [PAGE, LIST]) as notes:
        skeleton, facts = Skeleton.of(dataset), read_json(inputs[QUALITY])
        measures = measure(store, skeleton, dataset.fps, limits.still)
        found = suspicious(measures, skeleton, limits, dataset.fps)
        listed = table(found, store.table, skeleton)
        write_text(Path(out) / LIST, listed.to_csv(index=False, lineterminator="\n"))
        text = render(
            title=dataset.title,
            name=settings.name,
            tiles=content.tiles(store, dataset, measures, {side: len(read_npy(path)) for side, path in sides.items()}),
            explanation=(facts.get("complete") or {}).get("explanation", []),
            skeleton=cards.skeleton_picture(store, skeleton, found),
            **content.counts(store, dataset),
            lengths=content.lengths(store, dataset),
            missing=content.missing(store, dataset, measures),
            dropped=content.dropped(facts["dropped"]),
            **cards.suspicious_section(store, skeleton, limits, measures, found),
        )
        write_text(Path(out) / PAGE, text)
        notes["suspicious"] = {kind: int((listed["kind"] == kind).sum()) for kind in KINDS}
