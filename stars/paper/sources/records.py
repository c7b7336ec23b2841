"""The records of every stage behind a result, found by file paths (docs/files.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from stars.config import Config
from stars.pipeline import configuration, layout


def behind(config: Config, files: Iterable[str]) -> list[str]:
    """Record files behind results and clip stores, sorted."""
    runs = {layout.run(data, split): (data, split) for data, split in layout.every_run(config)}
    found: set[str] = set()
    for path in map(PurePosixPath, files):
        top = str(PurePosixPath(*path.parts[:2]))
        if top in runs and len(path.parts) > 3:
            found.update(_of_method(config, *runs[top], path))
        elif len(path.parts) > 2 and path.parts[1] in config.data:
            found.update(_of_clips(config, path.parts[1]))
            if path.parts[2] != "splits":  # those of its splits come with the methods
                found.add(f"{path.parent}/record.json")
    return sorted(found)


def _of_method(config: Config, data: str, split: str, path: PurePosixPath) -> Iterator[str]:
    """Records behind a file in a method's folder: its stage, trainings, features, clips and rows."""
    folder, protocol, *variant = path.parts[2:-1] + ("",) * (len(path.parts) == 4)
    name, seed = configuration.untag(config, folder)
    if members := configuration.method(config, data, name).members:
        yield f"{path.parent}/record.json"
        yield f"{layout.method(config, data, split, name, seed)}/features/{data}.record.json"
        for member in members:
            of_member = PurePosixPath(layout.method(config, data, split, member, seed), *path.parts[3:])
            yield from _of_method(config, data, split, of_member)
        return
    trained = (
        set()
        if configuration.method(config, data, name).kind == "joints"
        else {*configuration.trainings(config, data, name), name}
    )
    for training in trained:
        yield f"{layout.method(config, data, split, training, seed)}/record.json"
    yield from _of_split(config, data, split)
    if protocol not in ("", "features"):
        yield f"{path.parent}/record.json"
    if protocol in ("", "finetune", "semi", "transfer"):
        yield from _of_target(config, protocol, data, split, *variant)
        return
    target = variant[0] if variant else data
    yield f"{layout.method(config, data, split, name, seed)}/features/{target}.record.json"
    yield from _of_target(config, protocol, data, split, *variant)


def _of_target(config: Config, protocol: str, data: str, split: str, variant: str = "") -> Iterator[str]:
    """Records of a protocol's training and test rows."""
    if protocol == "semi":
        yield f"results/{data}/splits/semi/{split}/{variant}.record.json"
    if protocol not in ("transfer", "few_shot"):
        return
    target, target_split = next(run for run in layout.every_run(config) if "_".join(run) == variant)
    yield from _of_split(config, target, target_split)
    if protocol == "few_shot" and "exemplars" in config.few_shot.readings:
        yield from (
            f"results/{target}/splits/few_shot/{target_split}/{shots}.record.json" for shots in config.few_shot.shots
        )


def _of_split(config: Config, data: str, split: str) -> Iterator[str]:
    yield f"results/{data}/splits/{split}.record.json"
    yield from _of_clips(config, data)


def _of_clips(config: Config, data: str) -> Iterator[str]:
    block = config.data[data]
    yield f"{layout.clips(data)}/record.json"
    if block.ingest_jobs == "setup":
        for setup in sorted(configuration.dataset(config, data).setups or ()):
            yield f"{layout.clips(data)}/setups/{setup}/record.json"
    if not block.raw:
        yield f"results/{data}/raw.zip.record.json"
