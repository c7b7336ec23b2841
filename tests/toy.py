"""A store of sixty short clips in six classes, written here, with a split and an untrained encoder: what protocols
are tested on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import ModuleDict

from stars.backbones.transformer import Network
from stars.config import Embed, Model
from stars.data.store import ClipStore
from stars.evaluation import features
from stars.objectives.heads import Predictor, Projector
from stars.training.weights import save_encoder, save_heads

SHAPE = Model(
    frames=16, segment=4, width=16, depth=2, heads=2, hidden=32, decoder_width=16, decoder_depth=1, decoder_hidden=32
)
OUTPUTS = ("encoder", "projector", "predictor")
CLASSES, CLIPS, JOINTS = 6, 60, 5


def make(root: Path) -> Path:
    """A store whose classes move differently, a split, an untrained encoder with heads, and their features."""
    rng = np.random.default_rng(0)

    def clip(number: int):
        label = number % CLASSES
        time = np.linspace(0, 1, rng.integers(20, 40))[:, None, None, None]
        x_tmvc = np.sin((label + 1) * 3 * time) * rng.normal(1, 0.1, (1, 2, JOINTS, 3)) + rng.normal(
            0, 0.02, (len(time), 2, JOINTS, 3)
        )
        x_tmvc[:, 1] *= number % 2
        numbers = dict.fromkeys(("subject", "camera", "setup", "replication"), 1)
        row = {"name": f"clip{number:03}", "action": label + 1, **numbers, "bodies": 2, "label": label}
        return {**row, "action_name": f"action {label}", "source": "", "sha256": ""}, x_tmvc.astype(np.float32)

    ClipStore.write(root / "clips", (clip(number) for number in range(CLIPS)), 2, JOINTS)
    np.save(root / "train.npy", np.arange(CLIPS)[np.arange(CLIPS) % 10 < 6])
    np.save(root / "test.npy", np.arange(CLIPS)[np.arange(CLIPS) % 10 >= 6])
    torch.manual_seed(0)
    (root / "method").mkdir()
    save_encoder(root / "method" / "encoder.safetensors", Network(SHAPE, JOINTS))
    save_heads(
        root / "method" / "heads.safetensors", ModuleDict({"projector": Projector(16), "predictor": Predictor(16, 24)})
    )
    embed(root, root / "features")
    return root


def embed(root: Path, out: Path, **changes) -> None:
    settings = features.EmbedStage(embed=Embed(**changes), outputs=OUTPUTS)
    features.embed(root / "clips", root / "train.npy", root / "test.npy", root / "method", out, "toy", settings)
