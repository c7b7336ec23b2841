"""The untrained encoder from which stage 1 starts, as a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from stars import backbones
from stars.backbones.base import BackboneOptions, check_features
from stars.config import Settings
from stars.data.store import ClipStore
from stars.provenance import code
from stars.provenance.record import recording
from stars.training.curve import Curve
from stars.training.files import cost, sweep, write_settings
from stars.training.plan import seeded
from stars.training.weights import save_encoder

STAGE = "stars.training.scratch"
OUTPUTS = ("encoder.safetensors", "settings.yaml", "curve.csv")


class ScratchStage(Settings):
    """Settings that determine the initial weights."""

    seed: int
    model: dict[str, Any]
    parents: tuple[int, ...] = ()  # of the joints, for bones
    backbone: str = "transformer"

    @field_validator("model", mode="before")
    @classmethod
    def _plain(cls, model: Any) -> Any:
        return model.model_dump() if isinstance(model, BackboneOptions) else model


def scratch(clips: Path, out: Path, settings: ScratchStage) -> None:
    """Write the randomly initialised encoder from which `pretrain` with this seed and model starts.

    Args:
        clips: folder of the clip store, which defines the number of joints.
        out: folder for encoder.safetensors, settings.yaml, curve.csv (its header only), record.json.
    """
    store, backbone = ClipStore.open(clips), backbones.find(settings.backbone)
    inputs = {"clips": clips / "clips.csv", "frames": clips / "frames.npy"}
    with recording(
        out, code.of_backbone(STAGE, settings.backbone), settings.model_dump(mode="json"), inputs, OUTPUTS
    ) as notes:
        sweep(out, OUTPUTS)
        with seeded(settings.seed, "model"):  # as in pretrain, where the encoder is initialised first
            encoder = backbone(
                backbone.Options.model_validate(settings.model), store.joints, settings.parents, store.bodies
            )
        check_features(encoder)
        notes["encoder"] = cost(encoder, store.bodies)
        Curve().write(out / "curve.csv")
        write_settings(out / "settings.yaml", settings)
        save_encoder(out / "encoder.safetensors", encoder)
