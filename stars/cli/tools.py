"""Commands beside the pipeline: configuration, weights, results at a glance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from stars.cli.common import add_config


def add(commands: Any) -> None:
    """results, import-weights, export, export-clips and config."""
    results = commands.add_parser(
        "results",
        help="this run's rows of each table, and where tables and figures lie",
        description="Print this run's rows of each table, and where tables and figures lie.",
    )
    results.add_argument("folder", nargs="?", type=Path, default=Path("results"), help="folder that the workflow wrote [results]")
    results.set_defaults(handler=_results)
    weights = commands.add_parser(
        "import-weights",
        help="a released checkpoint, or an exported encoder, to encoder.safetensors",
        description="Convert a released checkpoint of MAMP, of STARS's stage 2, of SkeletonCLR, CrosSCLR, AimCLR, HiCLR, ActCLR, ISC, CMD, HiCo, P&C or"
        " MS²L, or what `stars export --format torch` wrote, without running anything in it.",
    )
    weights.add_argument(
        "checkpoint", type=Path, help="torch file with a dict of tensors, by itself or as `model` or `state_dict`; a classifier is left out"
    )
    weights.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="encoder.safetensors to write, beside it a stage 2's heads.safetensors"
    )
    weights.add_argument("--heads", type=int, metavar="N", help="attention heads [as an exported file says; 8 for one that does not]")
    weights.add_argument(
        "--network", metavar="NAME", help="of several networks in it, joint, motion or bone, of ISC's first or second [the first]"
    )
    weights.add_argument("--frames", type=int, metavar="N", help="frames of a clip, where the tensors do not tell [as released]")
    weights.set_defaults(handler=_import_weights)
    export = commands.add_parser(
        "export",
        help="an encoder as a folder that stands alone, as a torch file in MAMP's names, or as an ONNX graph",
        description="Write a trained encoder for use elsewhere.",
    )
    export.add_argument("encoder", type=Path, help="encoder.safetensors")
    export.add_argument(
        "--format",
        choices=["safetensors", "torch", "onnx"],
        required=True,
        help="safetensors: a folder that stands alone, for `stars.load` and hubs of models: weights, preprocessing, a card;"
        " torch: a `model` dict in the released MAMP's names, as import-weights reads, its heads beside it;"
        " onnx: clips (B, M, T, V, 3) in metres, T the model's frames, to features (B, C), compared with torch (extra `onnx`)",
    )
    export.add_argument("--out", type=Path, required=True, metavar="PATH", help="file, or of safetensors folder, to write")
    export.add_argument("--bodies", choices=["all", "present"], default="all", help="onnx: bodies averaged, as in embed.bodies [all]")
    export.add_argument("--like", metavar="NAME", help="safetensors: description of the data set whose clips it reads [the encoder's own]")
    export.add_argument(
        "--licence",
        default="other",
        metavar="NAME",
        help="safetensors: of the weights, e.g. cc-by-nc-4.0 [other: as the data's owners say]",
    )
    export.set_defaults(handler=_export)
    clips = commands.add_parser(
        "export-clips",
        help="clips as other code reads them: CTR-GCN's and MAMP's npz, pyskl's pkl, ST-GCN's arrays",
        description="Write the clips of a store, and its splits, in a layout that other code reads.",
    )
    clips.add_argument("clips", type=Path, help="folder of the clip store")
    clips.add_argument(
        "--format",
        choices=["npz", "pyskl", "npy"],
        required=True,
        help="npz: DATA_SPLIT.npz with x_train, y_train, x_test, y_test; pyskl: DATA.pkl with split and annotations;"
        " npy: SPLIT/train_data_joint.npy with train_label.pkl, and the same of val",
    )
    clips.add_argument("--out", type=Path, metavar="PATH", default=Path("export"), help="folder to write [export]")
    clips.add_argument("--splits", type=Path, metavar="PATH", help="folder of the splits' files [splits, beside the clip store]")
    clips.add_argument("--split", action="append", default=[], metavar="NAME", help="write this split alone; may be given again [all]")
    clips.set_defaults(handler=_export_clips)
    config = commands.add_parser(
        "config",
        help="check or explain a configuration",
        description="Check a configuration, or write what is generated from its definition.",
    )
    config.add_argument(
        "what",
        choices=["check", "show", "reference", "schema"],
        help="check: is the file right; show: with all defaults; reference: page for docs; schema: for editors",
    )
    add_config(config)
    config.set_defaults(handler=_config)


def _results(chosen: argparse.Namespace) -> None:
    from stars.paper.summary import summary

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
        raise InputError(f"{out}: the heads get this name: give --out another, for the encoder")
    files = [out.name, *([beside.name] if heads else [])]
    told = {"backbone": encoder.name, "model": encoder.options.model_dump(mode="json")}
    with recording(out.parent, "stars.released.checkpoint", told, {"checkpoint": chosen.checkpoint}, files, f"{out.name}.record.json"):
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
    sources.report(config)  # so that its mistakes, and those of a claims file, are told here, too
    sources.claims_if_any(config)
    for line in fits.lines(config):
        print(f"stars: {line}", file=sys.stderr)
    print(
        reference.as_yaml(config)
        if chosen.what == "show"
        else f"{chosen.config}: good ({len(config.data)} data sets, {len(config.methods)} methods)"
    )
