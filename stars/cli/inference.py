"""Commands for clips of one's own: predict, search, and `embed` of files."""

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

from stars.cli.common import device
from stars.errors import InputError

FILES = "clips: .skeleton, .npy, .mat, .json or .csv files, or folders or zips of them (docs/use.md)"
LIBRARY = (
    "labelled clips: a folder library/ACTION/…, or one with a clips.csv; a file of `stars embed --out`; "
    "or a method's folder of results [the training clips of the encoder]"
)


def add(commands: Any) -> None:
    """predict and search."""
    text = "the action of clips of your own, by a vote of the nearest labelled clips"
    predict = commands.add_parser("predict", help=text, description=f"Print {text}. Vote share and cosine similarity are no probabilities.")
    predict.add_argument("-k", type=int, metavar="N", help="neighbours that vote [as many as the rarest action has clips, at most 10]")
    predict.set_defaults(handler=_predict)
    text = "the labelled clips that are nearest to clips of your own, with pictures"
    search = commands.add_parser("search", help=text, description=f"Print {text}.")
    search.add_argument("-k", type=int, default=5, metavar="N", help="clips found for each [5]")
    search.add_argument(
        "--pictures", type=Path, metavar="PATH", help="folder for a picture a clip: its poses, below them those of its nearest"
    )
    search.set_defaults(handler=_search)
    for parser in (predict, search):
        parser.add_argument("files", nargs="+", metavar="FILE", help=FILES)
        parser.add_argument("--library", type=Path, metavar="PATH", help=LIBRARY)
        add_model(parser, required=True)
        parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="where the arithmetic runs [auto]")
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")


def add_model(parser: argparse.ArgumentParser, required: bool) -> None:
    """Which encoder reads the clips, and in what form the answer is printed."""
    parser.add_argument(
        "--encoder",
        type=Path,
        required=required,
        metavar="FILE",
        help="encoder.safetensors, or a folder of `stars export --format safetensors`",
    )
    parser.add_argument("--like", metavar="NAME", help="description of the data set whose layout the files have [the encoder's own]")
    parser.add_argument(
        "--precision", choices=["fp32", "bf16", "quicker"], help="of matrix products; quicker: whichever is, here [that of the features]"
    )
    form = parser.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=f"print {name.upper()}")


@contextmanager
def _warned() -> Iterator[None]:
    """A warning is one line, as an error is."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"stars: {message}", file=sys.stderr)
        yield


@_warned()
def _predict(chosen: argparse.Namespace) -> None:
    found = _model(chosen).library(chosen.library).predict(chosen.files, chosen.k)
    if chosen.form == "json":
        _print_json([asdict(one) for one in found])
        return
    head = ("clip", "action", "vote share", "similarity", "nearest")
    _print_rows(chosen.form, head, [(one.clip, one.label, f"{one.votes:.2f}", f"{one.similarity:.3f}", one.nearest) for one in found])


@_warned()
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
    rows = [(match.clip, match.rank, match.label, f"{match.similarity:.3f}", match.name) for matches in found for match in matches]
    _print_rows(chosen.form, ("clip", "rank", "action", "similarity", "nearest"), rows)


@_warned()
def embed(chosen: argparse.Namespace) -> None:
    """`stars embed FILE …`: features as a .npz with --out, else printed."""
    if chosen.encoder is None:
        raise InputError("embed: files need --encoder, an encoder.safetensors")
    model = _model(chosen)
    if chosen.out:
        from stars.inference.library import keep

        if chosen.out.suffix != ".npz":
            raise InputError(f"--out {chosen.out}: of files, features are written to one file: give a name that ends in .npz")
        print(f"{chosen.out}: {keep(model, [Path(file) for file in chosen.files], chosen.out)} clips", file=sys.stderr)
        return
    names, features = model.named_features(model.read(chosen.files))
    if chosen.form == "json":
        _print_json([{"clip": name, "features": row} for name, row in zip(names, features.tolist(), strict=True)])
    else:
        head = ("clip", *(f"f{number}" for number in range(model.width)))
        _print_rows("csv", head, [(name, *map(str, row)) for name, row in zip(names, features, strict=True)])


def _model(chosen: argparse.Namespace) -> Any:
    """The encoder, after a look whether what is asked for is there: loading it takes a second or two."""
    import stars
    from stars.inference.files import existing

    library = getattr(chosen, "library", None)
    for path in (*chosen.files, *([library] if library else [])):
        existing(path)
    return stars.load(chosen.encoder, chosen.like, device(chosen.device, chosen.threads), chosen.precision)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _print_rows(form: str | None, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """CSV, or columns as wide as they must be."""
    if form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([[name.replace(" ", "_") for name in head], *rows])
        return
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
