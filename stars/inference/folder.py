"""An encoder as a self-contained folder (weights, preparation of clips, card) in the layout that model hubs expect.

    model.safetensors           the encoder, with its shape in the header
    config.json                 the same in readable form: backbone, sizes, joints and their parents
    preprocessor_config.json    from a file to a clip and from the clip to its feature (`Preparation`)
    README.md                   training data, numbers, terms

These files contain no path or host name; the record is beside the folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stars.backbones.base import Backbone
from stars.errors import InputError, given
from stars.inference.preparation import EXPORTED, RECORD, Preparation
from stars.provenance.files import atomic, json_text, read_json, write_text
from stars.provenance.record import recording
from stars.training.weights import load_encoder

STAGE = "stars.inference.folder"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = (WEIGHTS, CONFIG, EXPORTED, CARD)
PROTOCOLS = {"knn": "nearest neighbours", "linear": "linear probe", "finetune": "fine-tuning"}


def export(encoder: Path, out: Path, like: str | None = None, licence: str = "other") -> None:
    """Write the encoder of encoder.safetensors as the folder `out`, and {out}.record.json beside it.

    Args:
        like: description of the data set whose files it reads, without a record; a name or a path, as for `stars.load`.
        licence: of the weights, by its name on model hubs; "other": the card refers to the data set's owners.

    Raises:
        InputError: no encoder, unknown preparation, or other files in `out`.
    """
    given(encoder, "an encoder.safetensors")
    if out.is_file() or (out.is_dir() and (others := sorted({path.name for path in out.iterdir()} - {*FILES}))):
        raise InputError(
            f"{out} is {'a file' if out.is_file() else f'a folder with {others[0]} in it'}: name another folder for"
            " --out"
        )
    loaded = load_encoder(encoder)
    preparation = Preparation.of(encoder, loaded.joints, like)
    preparation = preparation.model_copy(
        update={"like": None, "ingest": preparation.ingest.model_copy(update={"missing_list": None})}
    )
    values = {"form": "safetensors", "licence": licence}
    outputs = [f"{out.name}/{name}" for name in FILES]
    with recording(out.parent, STAGE, values, {"encoder": encoder}, outputs, f"{out.name}.record.json"):
        out.mkdir(parents=True, exist_ok=True)
        with atomic(out / WEIGHTS) as temporary:
            shutil.copyfile(encoder, temporary)
        write_text(out / CONFIG, json_text(_described(loaded)))
        write_text(out / EXPORTED, json_text(preparation.model_dump(mode="json")))
        write_text(out / CARD, _card(encoder, loaded, preparation, licence))


def weights(path: Path) -> Path:
    """The weights at a path: a file, an exported folder, or a method's results folder.

    Raises:
        InputError: the path does not exist, or the folder has no encoder.
    """
    if not path.is_dir():
        return given(path, "an encoder.safetensors, or a folder of `stars export --format safetensors`")
    found = next((path / name for name in (WEIGHTS, "encoder.safetensors") if (path / name).is_file()), None)
    if found is None:
        raise InputError(f"{path} contains neither {WEIGHTS} nor encoder.safetensors: name an encoder.safetensors")
    return found


def _described(encoder: Backbone) -> dict[str, Any]:
    return {
        "model_type": "stars",
        "backbone": encoder.name,
        "model": encoder.options.model_dump(mode="json"),
        "joints": encoder.joints,
        "hidden_size": encoder.width,
    }


def _card(encoder: Path, loaded: Backbone, preparation: Preparation, licence: str) -> str:
    """README.md: metadata for hubs, then text and numbers."""
    layout, parameters = preparation.dataset, sum(tensor.numel() for tensor in loaded.state_dict().values())
    about = [
        (
            f"A {loaded.name} encoder of {parameters:,} parameters: a clip of {loaded.frames} frames of {loaded.joints}"
            f" joints to {loaded.width} numbers."
        ),
        *_training(encoder),
    ]
    numbers = list(_numbers(encoder.parent))
    table = (
        ["", "| protocol | data | top-1 accuracy | training clips | test clips |", "|---|---|---|---|---|", *numbers]
        if numbers
        else []
    )
    header = {"library_name": "stars", "pipeline_tag": "feature-extraction", "license": licence}
    lines = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in header.items()),
        *("tags:", "- skeleton-based-action-recognition", "- self-supervised-learning", f"- {loaded.name}"),
        "---",
        "",
        "# Encoder of skeleton clips",
        "",
        *about,
        *table,
        "",
        "## Use",
        "",
        "```python",
        "import stars",
        "",
        'model = stars.load("FOLDER")  # this one',
        (
            'features = model.embed("recordings")  # files, folders or zips; or arrays (frames, bodies, joints, 3) in'
            " metres"
        ),
        "```",
        "",
        (
            f"Joints, in this order: {', '.join(layout.joints)}. `{EXPORTED}` says how a file becomes a clip, and the"
            " clip a feature."
        ),
        "",
        "## Terms",
        "",
        (
            "Weights are bound to what the owners of the recordings allow: see their agreement before use"
            f" ({layout.home})."
            if licence == "other"
            else f"Licence of these weights: {licence}."
        ),
        "",
    ]
    return "\n".join(lines)


def _training(encoder: Path) -> Iterator[str]:
    """A sentence on the encoder's origin, from its record; empty without one."""
    record = encoder.with_name(RECORD)
    if not record.is_file():
        return
    content = read_json(record)
    clips = content.get("inputs", {}).get("clips", {}).get("path")
    stage = str(content.get("stage", "")).split("+")[0].removeprefix("stars.training.")
    rows = content.get("inputs", {}).get("train", {}).get("path")
    if clips:
        split = f", split {Path(rows).stem.removesuffix('_train')}" if rows else ""
        yield (
            f"Made by the stage `{stage}` on the data set `{Path(clips).parent.parent.name}`{split}, seed"
            f" {content.get('seed')}."
        )


def _numbers(method: Path) -> Iterator[str]:
    """One row per result of the method on its own data set."""
    for protocol, title in PROTOCOLS.items():
        path = method / protocol / "metrics.json"
        if path.is_file():
            found = read_json(path)
            yield (
                f"| {title} | {method.parent.name} | {found['top1']:.2f} % | {found['train_clips']} |"
                f" {found['test_clips']} |"
            )
