"""What is known of bodies without looking at them, and that nothing in a training step waits for the device."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_strategies import STRATEGIES
from test_training import CLIPS, MIRROR, MODEL, NNCLR, PRETRAIN, SAMPLING, TUNE, data
from torch.utils._python_dispatch import TorchDispatchMode

from stars.config import Augment, Sampling
from stars.data import bodies as bodies_module
from stars.data.augment import augment
from stars.data.bodies import bodies_of
from stars.data.sampling import Clips, random_crop, random_view
from stars.data.store import ClipStore
from stars.model.encoder import Encoder
from stars.model.masked_motion import MaskedMotion
from stars.training import pretrain, tune
from stars.training.losses import strategy

__all__ = ["data"]  # a fixture

META = torch.device("meta")  # a device that every machine has, and that holds no numbers: whoever asks for one fails
TURNED, EVERY = Sampling(min_frames=8, rotation=0.3), Augment(flip=0.5, shear=0.3, axis_mask=0.3)
LOSSES = {
    "nnclr": {},
    "nnclr_present": {"bodies": "present", "nnclr": NNCLR.model_copy(update={"views": 2, "exclude_self": True})},
    "augmented": {"augment": EVERY, "sampling": TURNED},
    **STRATEGIES,
}


def comings_and_goings() -> Clips:
    """Clips of three bodies: copies, and ones that are there in some of the frames, or one joint of them in one frame."""
    lengths = torch.tensor([30, 41, 12, 25, 33])
    frames = torch.randn(int(lengths.sum()), 3, 5, 3, generator=torch.Generator().manual_seed(0))
    first, second, third, fourth, fifth = frames.split(lengths.tolist())
    first[:, 1], first[:, 2] = first[:, 0], 0
    second[:, 1], second[10:, 2] = 0, second[10:, 0]
    third[:] = 0
    fourth[:13, 1], fourth[:, 2] = 0, 0
    fourth[24, 2, 4, 1] = 1e-3
    fifth[:, 0], fifth[:20, 1:] = 0, 0
    return Clips(frames, lengths.cumsum(0) - lengths, lengths, torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize("at_once", [7, 1 << 16])
def test_bodies_of_crops_are_known_without_a_look_at_them(monkeypatch, at_once):
    monkeypatch.setattr(bodies_module, "AT_ONCE", at_once)
    clips, seen = comings_and_goings(), [set() for _ in range(5)]
    for number in range(40):
        rows, draw = torch.randperm(5, generator=torch.Generator().manual_seed(number)), torch.Generator().manual_seed(number)
        view = random_view(clips, rows, (7, 16, 60)[number % 3], Sampling(min_frames=4, crop=(0.1, 1.0), rotation=0.3), draw)
        x_bmtvc = augment(view.x_bmtvc, Augment(flip=0.5, shear=0.3), MIRROR, draw)
        for known, found in zip(view.bodies, bodies_of(x_bmtvc), strict=True):
            assert torch.equal(known, found)
        for row, *flags in zip(rows.tolist(), *(flags_bm.tolist() for flags_bm in view.bodies), strict=True):
            seen[row].add(str(flags))
    assert [len(kinds) > 1 for kinds in seen] == [False, True, False, True, True]  # in some clips bodies come and go with the crop


def test_a_view_is_the_crop_of_the_same_draws():
    clips, rows = comings_and_goings(), torch.tensor([4, 0, 3])
    view, crop = (draw(clips, rows, 16, TURNED, torch.Generator().manual_seed(1)) for draw in (random_view, random_crop))
    assert torch.equal(view.x_bmtvc, crop) and torch.equal(view.of(slice(1, 3)).x_bmtvc, crop[1:])
    assert torch.equal(view.of(slice(1, 3)).bodies.absent_bm, view.bodies.absent_bm[1:])


class Sent(TorchDispatchMode):
    """Fails where a copy between main memory and the device would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        tensor = arguments[0] if arguments else None
        if function is torch.ops.aten._to_copy.default and options.get("device", tensor.device) != tensor.device:
            assert options.get("non_blocking"), f"{tuple(tensor.shape)} is sent to {options['device']}, and waited for"
            self.copies += 1
        return function(*arguments, **options)


@pytest.fixture(params=["held", "streamed"])
def clips(request, data, monkeypatch) -> Clips:
    """Training clips whose frames are on the device or in main memory; where they are held, they have been looked at before."""
    held = Clips.of(ClipStore.open(data / "clips"), np.arange(CLIPS))
    for module in (pretrain, strategy):
        monkeypatch.setattr(module, "arithmetic", lambda device, precision: nullcontext())  # there is no autocast on this device
    known, sent = held.looked_at, replace(held, labels=held.labels.to(META))
    if request.param == "held":
        sent = replace(sent, frames=held.frames.to(META))
    vars(sent)["looked_at"] = known
    return sent


def take(step, count: int) -> None:
    """Loss and gradients of `count` clips, nothing waiting."""
    with Sent() as mode:
        step(torch.arange(count), torch.Generator().manual_seed(0)).backward()
    assert mode.copies > 2


@pytest.mark.parametrize("bodies", ["all", "present"])
def test_a_step_of_stage_1_waits_for_nothing(clips, bodies):
    told = pretrain.PretrainStage(seed=0, model=MODEL, pretrain=PRETRAIN.model_copy(update={"bodies": bodies, "sampling": TURNED}))
    model = MaskedMotion(MODEL, PRETRAIN.motion, 5).to(META)
    take(pretrain.Step(model, clips, told), 4)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_stage_2_waits_for_nothing(clips, name):
    told = tune.TuneStage(seed=0, tune=TUNE.model_copy(update={"sampling": SAMPLING} | LOSSES[name]), mirror=MIRROR)
    encoder = Encoder(MODEL, 5)
    model = tune.Tuning(encoder, told).to(META).train()
    take(tune.Step(model, clips, told), 4)
    model.strategy.after(encoder, 1, 8)


def test_whoever_waits_is_found():
    with pytest.raises(AssertionError, match=r"\(3,\) is sent to meta, and waited for"), Sent():
        torch.zeros(3).to(META)
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.zeros(3, device=META)[torch.zeros(3, dtype=torch.bool, device=META)]
    with pytest.raises((NotImplementedError, RuntimeError)):
        bool(torch.zeros(3, device=META).any())
