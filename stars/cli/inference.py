"""Commands for the user's clips: predict, search, and `embed` of files."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stars.cli.common import device, warn_of_run
from stars.errors import InputError

FILES = "clips: .skeleton, .npy, .mat, .json or .csv files, or folders or zips of them"
LIBRARY = (
    "labelled clips: a folder library/ACTION/…, or one with a clips.csv; a file written by `stars embed --out`; "
    "or a method's results folder [the encoder's training clips]"
)


def add(commands: Any) -> None:
    """predict and search."""
    text = "recognise actions in your clips, with a classifier or by KNN"
    about = (
        "Print the action of each clip. A classifier saved by `stars fit` gives calibrated probabilities. Without one,"
        " the nearest labelled clips vote; a vote share is not a probability."
    )
    predict = commands.add_parser("predict", help=text, description=about)
    predict.add_argument(
        "-k", type=int, metavar="N", help="number of neighbours [number of clips of the rarest action, at most 10]"
    )
    predict.add_argument(
        "--classifier",
        type=Path,
        metavar="FOLDER",
        help="folder written by `stars fit`, instead of --encoder and --library",
    )
    predict.add_argument(
        "--false-alarms",
        type=float,
        metavar="FRACTION",
        help='accepted fraction of clips of known actions predicted as "none of these" [0.05]; with --classifier',
    )
    predict.add_argument(
        "--timeline",
        type=Path,
        metavar="PATH",
        help="folder to write a timeline of each long recording to (.csv and .png); with --classifier",
    )
    predict.add_argument(
        "--window",
        type=float,
        metavar="S",
        help="with --timeline: window length in seconds [length of the labelled clips]",
    )
    predict.add_argument(
        "--step",
        type=float,
        metavar="S",
        help="with --timeline: seconds between window starts [an eighth of the window]",
    )
    predict.set_defaults(handler=_predict)
    text = "find the labelled clips nearest to your clips"
    search = commands.add_parser(
        "search", help=text, description=f"{text[0].upper()}{text[1:]} and print them; with --pictures, also draw them."
    )
    search.add_argument("-k", type=int, default=5, metavar="N", help="number of nearest clips to find per clip [5]")
    search.add_argument(
        "--pictures", type=Path, metavar="PATH", help="folder to write a picture of each clip and its nearest clips to"
    )
    search.set_defaults(handler=_search)
    for parser in (predict, search):
        parser.add_argument("files", nargs="+", metavar="FILE", help=FILES)
        parser.add_argument("--library", type=Path, metavar="PATH", help=LIBRARY)
        add_model(parser, required=parser is search)
        parser.add_argument(
            "--device", default="auto", choices=["auto", "cpu", "cuda"], help="device to compute on [auto]"
        )
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")


def add_model(parser: argparse.ArgumentParser, required: bool, form: bool = True) -> None:
    """Options that select the encoder and, with `form`, the output format."""
    parser.add_argument(
        "--encoder",
        type=Path,
        required=required,
        metavar="FILE",
        help="encoder.safetensors, or a folder written by `stars export --format safetensors`",
    )
    parser.add_argument(
        "--like", metavar="NAME", help="data set description to use for the files [that of the encoder]"
    )
    add_sensor(parser)
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "quicker"],
        help="precision of matmuls; quicker: whichever is faster on this machine [that of the encoder's features]",
    )
    if form:
        kinds = parser.add_mutually_exclusive_group()
        for name in ("json", "csv"):
            kinds.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=f"print {name.upper()}")


def add_sensor(parser: argparse.ArgumentParser) -> None:
    """Options that describe the files: joint layout and frame rate."""
    parser.add_argument(
        "--skeleton",
        metavar="NAME|FILE",
        help=(
            "joint layout of .npy, .json and .csv files: kinect_v1, kinect_v2, mediapipe33, coco17, smpl24, or a .yaml"
            " file [detected]"
        ),
    )
    parser.add_argument("--fps", type=float, metavar="N", help="frames per second of the files [the encoder's]")


@contextmanager
def warned() -> Iterator[None]:
    """Print warnings as one line, like errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"stars: {message}", file=sys.stderr)
        yield


@warned()
def _predict(chosen: argparse.Namespace) -> None:
    if chosen.classifier is not None:
        _classify(chosen)
        return
    for name in ("false_alarms", "timeline", "window", "step"):
        if getattr(chosen, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} needs --classifier: make one from your labelled clips with `stars fit`"
            )
    if chosen.encoder is None:
        raise InputError(
            "predict needs --encoder, an encoder.safetensors, or --classifier, a folder written by `stars fit`"
        )
    found = _model(chosen).library(chosen.library).predict(chosen.files, chosen.k)
    if chosen.form == "json":
        _print_json([asdict(one) for one in found])
        return
    places = [f"{one.rank} of {one.among}" if one.rank else "" for one in found]
    rows = [
        [one.clip, one.label, f"{one.votes:.2f}", place, one.nearest] for one, place in zip(found, places, strict=True)
    ]
    head = ["clip", "action", "vote share", "rank", "nearest"]
    if chosen.form == "csv":  # other programs may read the similarity
        head.insert(3, "similarity")
        for row, one in zip(rows, found, strict=True):
            row.insert(3, f"{one.similarity:.3f}")
    _print_rows(chosen.form, head, rows)


def _classify(chosen: argparse.Namespace) -> None:
    from stars.inference.classifier import Classifier
    from stars.inference.evaluate import FALSE_ALARMS
    from stars.inference.files import existing

    for name in ("encoder", "library", "like", "precision", "k"):
        if getattr(chosen, name) is not None:
            raise InputError(
                f"--{name} cannot be combined with --classifier, which contains its own encoder: leave one of them out"
            )
    for path in chosen.files:
        existing(path)
    alarms = FALSE_ALARMS if chosen.false_alarms is None else chosen.false_alarms
    classifier = Classifier.load(chosen.classifier, device(chosen.device, chosen.threads), chosen.skeleton, chosen.fps)
    if chosen.timeline is not None:
        _timelines(chosen, classifier, alarms)
        return
    for name in ("window", "step"):
        if getattr(chosen, name) is not None:
            raise InputError(f"--{name} needs --timeline, the folder for the timelines of long recordings")
    found = classifier.predict(chosen.files, alarms)
    if chosen.form == "json":
        _print_json([asdict(one) for one in found])
        return
    rows = [
        (
            one.clip,
            one.label,
            f"{one.probability:.2f}",
            one.likeliest,
            ", ".join(f"{name} {share:.2f}" for name, share in one.others[:2]),
        )
        for one in found
    ]
    _print_rows(chosen.form, ("clip", "action", "probability", "likeliest", "next"), rows)


def _timelines(chosen: argparse.Namespace, classifier: Any, alarms: float) -> None:
    from stars.inference.files import files
    from stars.inference.layouts import Layouts
    from stars.inference.picture import stems
    from stars.inference.timeline import shown, timeline, write

    layouts = Layouts(classifier.model.preparation)
    found = [file for path in chosen.files for file in files(path, layouts.preparation.dataset)]
    with layouts.reporting():
        segments = [timeline(classifier, file, layouts, alarms, chosen.window, chosen.step) for file in found]
    for file, some, stem in zip(found, segments, stems([file.name for file in found]), strict=True):
        write(some, chosen.timeline / stem, file.name)
    if chosen.form == "json":
        _print_json(
            [{"clip": file.name, **one._asdict()} for file, some in zip(found, segments, strict=True) for one in some]
        )
        return
    rows = [
        (file.name, f"{one.start:.2f}", f"{one.end:.2f}", one.action, shown(one))
        for file, some in zip(found, segments, strict=True)
        for one in some
    ]
    _print_rows(chosen.form, ("recording", "start", "end", "action", "probability"), rows)


@warned()
def _search(chosen: argparse.Namespace) -> None:
    library = _model(chosen).library(chosen.library)
    if chosen.pictures:
        from stars.inference.picture import pictures

        found = pictures(library, chosen.files, chosen.pictures, chosen.k)
    else:
        found = library.search(chosen.files, chosen.k)
    if chosen.form == "json":
        _print_json([asdict(match) for matches in found for match in matches])
        return
    rows = [
        (match.clip, match.rank, match.label, f"{match.similarity:.3f}", match.name)
        for matches in found
        for match in matches
    ]
    _print_rows(chosen.form, ("clip", "rank", "action", "similarity", "nearest"), rows)


@warned()
def embed(chosen: argparse.Namespace) -> None:
    """`stars embed FILE …`: features as a .npz with --out, else printed."""
    if chosen.encoder is None:
        raise InputError("embed: files need --encoder, an encoder.safetensors")
    model = _model(chosen)
    if chosen.out:
        from stars.inference.library import keep

        if chosen.out.suffix != ".npz":
            raise InputError(
                f"--out {chosen.out}: features of files are written to one .npz file: give a name that ends in .npz"
            )
        print(f"{chosen.out}: {keep(model, [Path(file) for file in chosen.files], chosen.out)} clips", file=sys.stderr)
        return
    names, features = model.named_features(model.read(chosen.files))
    if chosen.form == "json":
        _print_json([{"clip": name, "features": row} for name, row in zip(names, features.tolist(), strict=True)])
    else:
        head = ("clip", *(f"f{number}" for number in range(model.width)))
        _print_rows("csv", head, [(name, *map(str, row)) for name, row in zip(names, features, strict=True)])


def _model(chosen: argparse.Namespace) -> Any:
    library = getattr(chosen, "library", None)
    return load(chosen, [*chosen.files, *([library] if library else [])])


def load(chosen: argparse.Namespace, paths: Sequence[Path | str]) -> Any:
    """Load the encoder, after checking that all input files exist: loading takes a second or two."""
    import stars
    from stars.inference.files import existing
    from stars.provenance.lineage import around

    if results := around(Path(chosen.encoder)):
        warn_of_run(results)
    for path in paths:
        existing(path)
    on = device(chosen.device, chosen.threads)
    return stars.load(chosen.encoder, chosen.like, on, chosen.precision, chosen.skeleton, chosen.fps)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _print_rows(form: str | None, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print CSV, or aligned columns."""
    if form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([[name.replace(" ", "_") for name in head], *rows])
        return
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
