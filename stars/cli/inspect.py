"""`stars inspect`: a quality page of a data set, or pictures of one clip."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.common import CLIPS, add_config, read_json
from stars.errors import InputError


def add(commands: Any) -> None:
    """inspect."""
    parser = commands.add_parser(
        "inspect",
        help="write a quality page of a data set, or pictures of one clip",
        description=(
            "Write a quality page of a data set. For a clip: write a strip of poses (.png) and an animation (.gif), and"
            " print what denoising did."
        ),
    )
    parser.add_argument(
        "what", metavar="WHAT", help="a data set in the configuration, the name of a clip, or a raw file"
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="data set of the clip or raw file [the first that contains the clip or reads such files]",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder to write to [results/DATA/quality; for a clip, results/DATA/inspect]",
    )
    parser.add_argument("--clips", type=Path, metavar="PATH", help=CLIPS + " [results/DATA/clips]")
    parser.add_argument(
        "--splits",
        type=Path,
        metavar="PATH",
        help="folder of the splits whose clips the page counts [results/DATA/splits]",
    )
    parser.add_argument("--frames", type=int, default=8, metavar="N", help="number of poses in a clip's strip [8]")
    parser.add_argument("--settings", metavar="JSON", help="settings of the page, as a line of JSON")
    add_config(parser)
    parser.set_defaults(handler=_inspect)


def _inspect(chosen: argparse.Namespace) -> None:
    from stars.pipeline import configuration

    if chosen.settings is not None:
        return _page(chosen, chosen.what, read_json("--settings", chosen.settings))
    config = configuration.load_file(chosen.config, chosen.set)
    if chosen.data is not None and chosen.data not in config.data:
        raise InputError(
            f"--data {chosen.data}: not in {chosen.config}{configuration.nearest(chosen.data, config.data)}"
        )
    if chosen.what in config.data:
        return _page(chosen, chosen.what, configuration.stage_settings(config, "inspect", chosen.what))
    return _clip(chosen, config)


def _page(chosen: argparse.Namespace, data: str, settings: Any) -> None:
    from stars.inspect.page import PAGE, InspectStage, page
    from stars.pipeline import configuration, layout

    out = chosen.out or Path(f"results/{data}/quality")
    clips, splits = chosen.clips or Path(layout.clips(data)), chosen.splits or Path(f"results/{data}/splits")
    page(clips, splits, out, configuration.validate(InspectStage, settings, "settings"))
    print(out / PAGE)


def _clip(chosen: argparse.Namespace, config: Any) -> None:
    from stars.inspect import clip
    from stars.pipeline import configuration, layout

    path = Path(chosen.what)
    data = _reads(chosen, config, path) if path.is_file() else _holds(chosen, config)
    block = config.data[data]
    told = {"name": path.stem if path.is_file() else chosen.what, "ingest": block.ingest, "frames": chosen.frames}
    settings = configuration.validate(
        clip.ClipStage, {**told, "dataset": configuration.dataset(config, data)}, "--frames"
    )
    out = chosen.out or Path(f"results/{data}/inspect")
    if path.is_file():
        lines = clip.of_file(path, out, settings)
    else:
        raw = Path(block.raw or f"results/{data}/raw.zip")
        lines = clip.of_store(chosen.clips or Path(layout.clips(data)), raw, out, settings)
    print("\n".join(lines))


def _reads(chosen: argparse.Namespace, config: Any, path: Path) -> str:
    """The data set that reads a raw file, according to the file name's ending."""
    from stars.data.readers import reader
    from stars.pipeline import configuration

    for data in [chosen.data] if chosen.data else config.data:
        if path.name.endswith(reader(configuration.dataset(config, data).reader).SUFFIXES):
            return str(data)
    where = f"data.{chosen.data}" if chosen.data else "no data set of " + chosen.config
    raise InputError(
        f"{path}: {where} {'does not read' if chosen.data else 'reads'} such files: give --data, or a --config that"
        " contains its data set"
    )


def _holds(chosen: argparse.Namespace, config: Any) -> str:
    """The data set that contains a clip of that name."""
    from stars.data.store import TABLE, read_table
    from stars.pipeline import layout

    names = [chosen.data] if chosen.data else list(config.data)
    for data in names:
        table = (chosen.clips or Path(layout.clips(data))) / TABLE
        if table.exists() and chosen.what in set(read_table(table)["name"]):
            return str(data)
    raise InputError(
        f"{chosen.what}: not a data set in {chosen.config}, not a file, and not a clip of {', '.join(names)}: "
        "results/DATA/clips/clips.csv lists the names, after a run of `snakemake`"
    )
