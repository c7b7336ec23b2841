"""Extracts one network of a training from its files, so that later stages see a single encoder."""

from __future__ import annotations

from pathlib import Path

from stars.config import Settings
from stars.errors import InputError
from stars.provenance import code
from stars.provenance.record import recording
from stars.training.curve import Curve
from stars.training.files import cost, write_settings
from stars.training.weights import load_encoder, load_network, save_encoder

STAGE = "stars.training.network"
OUTPUTS = ("encoder.safetensors", "settings.yaml", "curve.csv")


class NetworkStage(Settings):
    """The network's name; `first`: the training's first network, stored in encoder.safetensors."""

    network: str
    first: bool = False


def take(method: Path, out: Path, settings: NetworkStage) -> None:
    """Write a network of the method folder `method` as encoder.safetensors, with settings.yaml, curve.csv (its header
    only) and record.json.

    Raises InputError if the method has no network of that name.
    """
    file = Path(method) / ("encoder.safetensors" if settings.first else "heads.safetensors")
    if not file.is_file():
        raise InputError(f"{file} is missing: run the stage that makes it")
    network = load_encoder(file) if settings.first else load_network(file, settings.network)
    with recording(
        out, code.of_backbone(STAGE, network.name), settings.model_dump(mode="json"), {"parent": file}, OUTPUTS
    ) as notes:
        notes["encoder"] = cost(network, network.bodies)
        Curve().write(Path(out) / "curve.csv")
        write_settings(Path(out) / "settings.yaml", settings)
        save_encoder(Path(out) / "encoder.safetensors", network)
