"""Commands besides the pipeline: results at a glance, weights, clips, configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from stars.cli.common import add_config, warn_of_run


def add(commands: Any) -> None:
    """results, import-weights, export, export-clips and config."""
    for add_one in (_add_results, _add_import_weights, _add_export, _add_export_clips, _add_config):
        add_one(commands)


def _add_results(commands: Any) -> None:
    parser = commands.add_parser(
        "results",
        help="show your table rows, and where tables, figures and report are",
        description="Print the rows of this run in each table, and the paths of tables, figures and the report.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results"), help="results folder [results]")
    parser.set_defaults(handler=_results)


def _add_import_weights(commands: Any) -> None:
    parser = commands.add_parser(
        "import-weights",
        help="convert a released checkpoint to encoder.safetensors",
        description=(
            "Convert a released checkpoint (MAMP, STARS stage 2, SkeletonCLR, CrosSCLR, AimCLR, HiCLR, ActCLR, ISC,"
            " CMD, HiCo, P&C, MS²L) or a file written by `stars export --format torch`. No code in the file is"
            " executed."
        ),
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help=(
            "PyTorch file that contains a dict of tensors, directly or under `model` or `state_dict`; a classifier in"
            " it is ignored"
        ),
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="encoder.safetensors to write; heads of stage 2 go to heads.safetensors in the same folder",
    )
    parser.add_argument(
        "--heads", type=int, metavar="N", help="number of attention heads [from an exported file; otherwise 8]"
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="which network, if the file contains several: joint, motion or bone; for ISC, first or second [the first]",
    )
    parser.add_argument(
        "--frames", type=int, metavar="N", help="frames per clip, if the tensors do not determine them [as released]"
    )
    parser.set_defaults(handler=_import_weights)


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="export an encoder: safetensors folder, MAMP checkpoint, ONNX",
        description="Export a trained encoder for use in other programs.",
    )
    parser.add_argument("encoder", type=Path, help="encoder.safetensors")
    parser.add_argument(
        "--format",
        choices=["safetensors", "torch", "onnx"],
        required=True,
        help=(
            "safetensors: a self-contained folder for `stars.load` and model hubs: weights, preprocessing, model card;"
            " torch: a `model` dict with the parameter names of the released MAMP, for `stars import-weights`, and the"
            " heads next to it; onnx: maps clips (B, M, T, V, 3) in metres, T the model's frames, to features (B, C);"
            " checked against PyTorch (extra `onnx`)"
        ),
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="file to write; for safetensors a folder"
    )
    parser.add_argument(
        "--bodies", choices=["all", "present"], default="all", help="onnx: bodies to average, like embed.bodies [all]"
    )
    parser.add_argument(
        "--like", metavar="NAME", help="safetensors: data set description of the clips to read [that of the encoder]"
    )
    parser.add_argument(
        "--licence",
        default="other",
        metavar="NAME",
        help=(
            "safetensors: licence of the weights, e.g. cc-by-nc-4.0 [other: as determined by the owners of the training"
            " data]"
        ),
    )
    parser.set_defaults(handler=_export)


def _add_export_clips(commands: Any) -> None:
    parser = commands.add_parser(
        "export-clips",
        help="export clips for other code: CTR-GCN, MAMP, pyskl, ST-GCN",
        description=(
            "Write the clips and splits of a clip store in a format of other code: .npz of CTR-GCN and MAMP, .pkl of"
            " pyskl, arrays of ST-GCN."
        ),
    )
    parser.add_argument("clips", type=Path, help="folder of the clip store")
    parser.add_argument(
        "--format",
        choices=["npz", "pyskl", "npy"],
        required=True,
        help=(
            "npz: DATA_SPLIT.npz with x_train, y_train, x_test, y_test; pyskl: DATA.pkl with split and annotations;"
            " npy: SPLIT/train_data_joint.npy and train_label.pkl, and val_data_joint.npy and val_label.pkl"
        ),
    )
    parser.add_argument("--out", type=Path, metavar="PATH", default=Path("export"), help="folder to write to [export]")
    parser.add_argument(
        "--splits", type=Path, metavar="PATH", help="folder of the splits' files [splits, next to the clip store]"
    )
    parser.add_argument(
        "--split", action="append", default=[], metavar="NAME", help="write only this split; may be repeated [all]"
    )
    parser.set_defaults(handler=_export_clips)


def _add_config(commands: Any) -> None:
    parser = commands.add_parser(
        "config",
        help="check or show a configuration",
        description=(
            "Check or print a configuration; or print the manual page or JSON schema generated from its definition."
        ),
    )
    parser.add_argument(
        "what",
        choices=["check", "show", "reference", "schema"],
        help=(
            "check: whether the file is valid; show: the file with all defaults; reference: the manual page; schema: a"
            " JSON schema for editors"
        ),
    )
    add_config(parser)
    parser.set_defaults(handler=_config)


def _results(chosen: argparse.Namespace) -> None:
    from stars.paper.summary import summary

    warn_of_run(chosen.folder)
    print(summary(chosen.folder), end="")


def _import_weights(chosen: argparse.Namespace) -> None:
    from stars.errors import InputError
    from stars.provenance.record import recording
    from stars.released.checkpoint import import_any
    from stars.training.weights import save_encoder, save_heads

    encoder, heads = import_any(chosen.checkpoint, chosen.heads, chosen.network, chosen.frames)
    out = chosen.out
    beside = out.with_name("heads.safetensors")
    if heads and out == beside:
        raise InputError(f"{out}: this name is used for the heads: give --out another name for the encoder")
    files = [out.name, *([beside.name] if heads else [])]
    told = {"backbone": encoder.name, "model": encoder.options.model_dump(mode="json")}
    with recording(
        out.parent,
        "stars.released.checkpoint",
        told,
        {"checkpoint": chosen.checkpoint},
        files,
        f"{out.name}.record.json",
    ):
        save_encoder(out, encoder)
        if heads:
            save_heads(beside, heads)
    print(f"wrote {' and '.join(str(path) for path in ([out, beside] if heads else [out]))}")


def _export(chosen: argparse.Namespace) -> None:
    if chosen.format == "safetensors":
        from stars.inference import folder

        folder.export(chosen.encoder, chosen.out, chosen.like, chosen.licence)
        return
    from stars.evaluation.export import export

    export(chosen.encoder, chosen.out, chosen.format, chosen.bodies)


def _export_clips(chosen: argparse.Namespace) -> None:
    from stars.data.preprocessed.export import export_clips

    splits = chosen.splits or chosen.clips.parent / "splits"
    for name in export_clips(chosen.clips, splits, chosen.out, chosen.format, chosen.split):
        print(chosen.out / name)


def _config(chosen: argparse.Namespace) -> None:
    from stars.paper import sources
    from stars.pipeline import configuration, reference
    from stars.plan import fits

    if chosen.what in ("reference", "schema"):
        print(reference.page() if chosen.what == "reference" else reference.schema(), end="")
        return
    config = configuration.load_file(chosen.config, chosen.set)
    sources.report(config)  # also reports mistakes in it and in a claims file
    sources.claims_if_any(config)
    for line in fits.lines(config):
        print(f"stars: {line}", file=sys.stderr)
    print(
        reference.as_yaml(config)
        if chosen.what == "show"
        else f"{chosen.config}: valid ({len(config.data)} data sets, {len(config.methods)} methods)"
    )
