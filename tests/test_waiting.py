"""What is known of bodies without looking at them, and that nothing in a training step waits for the device."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from test_strategies import STRATEGIES
from test_training import CLIPS, MIRROR, MODEL, NNCLR, PRETRAIN, SAMPLING, TUNE, data
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stars.backbones.transformer import Network
from stars.config import Augment, Embed, Finetune, Linear, Sampling
from stars.data import bodies as bodies_module
from stars.data.bodies import bodies_seen
from stars.data.store import ClipStore
from stars.evaluation import finetune, linear
from stars.evaluation.classifier import Tally, Training
from stars.training import online_knn, pretrain, tune
from stars.training.plan import Plan
from stars.training.run import Step
from stars.views.crop import Clips, centre_view, random_crop, random_view
from stars.views.spatial import augment

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
    """Clips of three bodies: copies, and ones that are there in some of the frames, or one joint of them in one
    frame.
    """
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
def test_bodies_seen_crops_are_known_without_a_look_at_them(monkeypatch, at_once):
    monkeypatch.setattr(bodies_module, "AT_ONCE", at_once)
    clips, seen = comings_and_goings(), [set() for _ in range(5)]
    for number in range(40):
        rows, draw = (
            torch.randperm(5, generator=torch.Generator().manual_seed(number)),
            torch.Generator().manual_seed(number),
        )
        view = random_view(
            clips, rows, (7, 16, 60)[number % 3], Sampling(min_frames=4, crop=(0.1, 1.0), rotation=0.3), draw
        )
        x_bmtvc = augment(view.x_bmtvc, Augment(flip=0.5, shear=0.3), MIRROR, draw)
        for known, found in zip(view.bodies, bodies_seen(x_bmtvc), strict=True):
            assert torch.equal(known, found)
        for row, *flags in zip(rows.tolist(), *(flags_bm.tolist() for flags_bm in view.bodies), strict=True):
            seen[row].add(str(flags))
    # in some clips bodies come and go with the crop
    assert [len(kinds) > 1 for kinds in seen] == [False, True, False, True, True]


def test_bodies_of_test_views_are_known_too():
    clips = comings_and_goings()
    for crop in (0.2, 0.9, 1.0):
        view = centre_view(clips, torch.arange(5), 16, crop)
        assert all(
            torch.equal(known, found) for known, found in zip(view.bodies, bodies_seen(view.x_bmtvc), strict=True)
        )


def test_nobody_looks_at_clips_all_of_whose_bodies_are_wanted(data, monkeypatch):
    clips = Clips.of(ClipStore.open(data / "clips"), np.arange(CLIPS))
    stage = pretrain.PretrainStage(seed=0, model=MODEL, pretrain=PRETRAIN.model_copy(update={"bodies": "all"}))
    Step(pretrain.untrained(stage, 5), clips, pretrain.step_settings(stage))(torch.arange(4), torch.Generator())
    assert "looked_at" not in vars(clips)


def test_a_view_is_the_crop_of_the_same_draws():
    clips, rows = comings_and_goings(), torch.tensor([4, 0, 3])
    view, crop = (
        draw(clips, rows, 16, TURNED, torch.Generator().manual_seed(1)) for draw in (random_view, random_crop)
    )
    assert torch.equal(view.x_bmtvc, crop) and torch.equal(view.of(slice(1, 3)).x_bmtvc, crop[1:])
    assert torch.equal(view.of(slice(1, 3)).bodies.absent_bm, view.bodies.absent_bm[1:])


def crossing(function, arguments, options) -> tuple[torch.Tensor, torch.device, bool] | None:
    """A tensor that this call brings to another device, which one, and whether the call waits for it."""
    first, aten = arguments[0], torch.ops.aten
    if function is aten._to_copy.default and options.get("device", first.device) != first.device:
        return first, options["device"], not options.get("non_blocking")
    if function is aten.copy_.default and arguments[1].device != first.device:
        return arguments[1], first.device, not (arguments[2] if len(arguments) > 2 else options.get("non_blocking"))
    if "index" in function.__name__:  # a kernel of these fetches what is elsewhere, and never lets that run beside it
        others = [
            one
            for one in tree_leaves((arguments[1:], options))
            if isinstance(one, torch.Tensor) and one.device != first.device
        ]
        return (others[0], first.device, True) if others else None
    return None


class Sent(TorchDispatchMode):
    """Fails where a copy between main memory and the device would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        found = crossing(function, arguments, options) if arguments and isinstance(arguments[0], torch.Tensor) else None
        if found:
            tensor, device, waits = found
            assert not waits, f"{tuple(tensor.shape)} is sent to {device} by {function.__name__}, and waited for"
            self.copies += 1
        return function(*arguments, **options)


@pytest.fixture(params=["held", "streamed"])
def clips(request, data, monkeypatch) -> Clips:
    """Training clips whose frames are on the device or in main memory; where they are held, they have been looked at
    before.
    """
    held = Clips.of(ClipStore.open(data / "clips"), np.arange(CLIPS))
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: nullcontext())  # there is none on this device
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
    stage = pretrain.PretrainStage(
        seed=0, model=MODEL, pretrain=PRETRAIN.model_copy(update={"bodies": bodies, "sampling": TURNED})
    )
    model = pretrain.untrained(stage, 5).to(META)
    take(Step(model, clips, pretrain.step_settings(stage)), 4)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_stage_2_waits_for_nothing(clips, name):
    stage = tune.TuneStage(seed=0, tune=TUNE.model_copy(update={"sampling": SAMPLING} | LOSSES[name]), mirror=MIRROR)
    model = tune.tuning(Network(MODEL, 5), stage).to(META).train()
    take(Step(model, clips, tune.step_settings(model, stage)), 4)
    model.objective.after(model.by_name, 1, 8)


def take_with_labels(training: Training, count: int) -> None:
    """Such a step of a classifier, its right answers counted."""
    training.model.train()
    take(partial(training.loss, tally=Tally()), count)


@pytest.mark.parametrize("bodies", ["all", "present"])
def test_a_step_of_fine_tuning_waits_for_nothing(clips, bodies):
    """Of transfer and the semi-supervised protocol too, which fine-tune on other clips, and fewer."""
    options = Finetune(hidden=24, layer_decay=0.8, optimiser=PRETRAIN.optimiser, sampling=TURNED)
    stage = finetune.FinetuneStage(seed=0, finetune=options, test_crop=0.9, bodies=bodies)
    training = finetune.finetuning(Network(MODEL, 5), clips, clips, 6, Plan(0, "finetune", CLIPS, 4, 1), stage)
    take_with_labels(training, 4)
    assert all(parameter.grad is not None for parameter in training.model.parameters())
    with Sent(), torch.no_grad():
        assert training.test_scores().shape == (CLIPS, 6)


@pytest.mark.parametrize("cached_views", [0, 2])
def test_a_step_of_the_linear_protocol_waits_for_nothing(clips, cached_views):
    stage = linear.LinearStage(seed=0, linear=Linear(cached_views=cached_views), embed=Embed(bodies="present"))
    encoder = Network(MODEL, 5).to(META).eval().requires_grad_(False)
    with Sent():
        views = linear.training_views(encoder, clips, stage)
    test_nc = torch.empty(3, MODEL.width, device=META)
    take_with_labels(linear.probing(views, clips.labels, test_nc, 6, Plan(0, "linear", CLIPS, 4, 1), stage), 4)


def test_a_look_at_the_neighbours_waits_for_its_result_alone(clips):
    encoder = Network(MODEL, 5).to(META)
    with pytest.raises(RuntimeError, match=r"\bitem\(\)"), Sent():
        online_knn.agreement(encoder, clips)


def there() -> torch.Tensor:
    return torch.zeros(3, device=META)


PLACES = torch.tensor([2, 0])  # in main memory
WAITING = {
    "to": lambda: torch.zeros(3).to(META),
    "copy_": lambda: there().copy_(torch.zeros(3)),
    "copy_ of a number": lambda: there().copy_(torch.tensor(1.0)),
    "index": lambda: there()[PLACES],
    "index beside one that is there": lambda: there().expand(3, 3)[PLACES.to(META, non_blocking=True), PLACES],
    "index_put_": lambda: there().__setitem__(PLACES, 1.0),
    "index_put": lambda: there().index_put((PLACES,), there()[:2]),
    "values": lambda: there().index_put_((PLACES.to(META, non_blocking=True),), torch.zeros(2)),
}


@pytest.mark.parametrize("call", WAITING)
def test_whoever_sends_and_waits_is_found(call):
    with pytest.raises(AssertionError, match=r"\((2,|3,|)\) is sent to meta by \S+, and waited for"), Sent():
        WAITING[call]()


def test_whoever_sends_and_does_not_wait_is_counted():
    with Sent() as mode:
        there().copy_(torch.zeros(3), non_blocking=True)
        places = PLACES.to(META, non_blocking=True)
        there()[places] = there()[places]
        torch.zeros(3)[PLACES] = 1.0
    assert mode.copies == 2


def test_whoever_asks_for_numbers_is_found():
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.zeros(3, device=META)[torch.zeros(3, dtype=torch.bool, device=META)]
    with pytest.raises((NotImplementedError, RuntimeError)):
        bool(torch.zeros(3, device=META).any())
