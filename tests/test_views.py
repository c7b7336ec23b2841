"""Augmentations of `train` against slow versions of the same draws, and what a list of them may be."""

from __future__ import annotations

import math

import pytest
import torch
from test_sampling import store

from stars.data.bodies import bodies_seen
from stars.errors import InputError
from stars.views.augmentations import KNOWN, Blur, Corrupt, Noise, PadCrop, Rotate
from stars.views.crop import Clips, View
from stars.views.spec import ViewSpec, make_views

MIRROR = ((1, 2), (3, 4))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(frames: int = 12) -> torch.Tensor:
    x = torch.randn(6, 2, frames, 5, 3, generator=generator())
    x[1, 1], x[2, 1] = 0, x[2, 0]
    return x


def test_frames_are_mirrored_at_both_ends():
    x, step = some(), PadCrop(ratio=4)
    (starts,) = draws = step.draw(x.shape, generator())
    found = step.apply(x, draws, MIRROR)
    for clip, start, out in zip(x, starts.tolist(), found, strict=True):
        padded = torch.cat([clip[:, :3].flip(1), clip, clip[:, -3:].flip(1)], 1)
        assert torch.equal(out, padded[:, start : start + 12])
    assert set(starts.tolist()) <= set(range(7))


def test_blur_is_a_sum_over_frames_whose_weights_do_not_sum_to_one():
    x, step = some(), Blur(taps=5, p=1.0)
    (weights,) = draws = step.draw(x.shape, generator())
    found = step.apply(x, draws, MIRROR)
    for clip, weight, out in zip(x, weights, found, strict=True):
        expected = torch.zeros_like(clip)
        for t in range(12):
            for tap in range(5):
                if 0 <= t + tap - 2 < 12:
                    expected[:, t] += weight[tap] * clip[:, t + tap - 2]
        torch.testing.assert_close(out, expected)
    assert (weights[:, 2] == 1).all() and (weights.sum(1) > 1).all()
    never = Blur(p=0.0)
    torch.testing.assert_close(never.apply(x, never.draw(x.shape, generator()), MIRROR), x)


def test_joints_are_corrupted_together():
    x, step = some(), Corrupt(share=0.6)
    chosen, matrices = draws = step.draw((200, *x.shape[1:]), generator())
    assert (chosen.sum(1) == 3).all() and 60 < (matrices == 0).all(2).all(1).sum() < 140
    found = step.apply(x, tuple(tensor[:6] for tensor in draws), MIRROR)
    for clip, joints, matrix, out in zip(x, chosen, matrices, found, strict=False):
        expected = clip.clone()
        expected[:, :, joints] = clip[:, :, joints] @ matrix.T
        torch.testing.assert_close(out, expected)


def test_a_rotation_is_mostly_about_one_axis():
    (angles,) = Rotate().draw((300, 2, 4, 5, 3), generator())
    degrees = angles * 180 / math.pi
    assert ((degrees > 1).sum(1) <= 1).all() and 25 < degrees.max() <= 30 and degrees.min() >= 0


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_step_says_of_bodies_is_true_and_draws_decide_it_alone(name):
    step, x = KNOWN[name](), some()
    before = torch.get_rng_state()
    draws = step.draw(x.shape, generator(3))
    assert len(draws) == step.drawn and all(len(tensor) == len(x) for tensor in draws)
    found = step.apply(x, draws, MIRROR)
    assert torch.equal(torch.get_rng_state(), before) and found.shape == x.shape
    alone = torch.cat([step.apply(x[i : i + 1], tuple(tensor[i : i + 1] for tensor in draws), MIRROR) for i in range(len(x))])
    torch.testing.assert_close(alone, found)
    if step.keeps_bodies:
        known, kept = bodies_seen(x), bodies_seen(found)
        assert (kept.absent_bm | ~known.absent_bm).all() and (kept.copied_bm | kept.absent_bm | ~known.copied_bm).all()


def test_matrices_that_follow_one_another_are_one_product():
    spec, x = ViewSpec.of(["shear", {"turn": {"angle": 1}}, "axis_mask"], "here"), some()
    draw, expected = generator(4), x
    for step in spec.steps:
        expected = step.apply(expected, step.draw(x.shape, draw), MIRROR)
    torch.testing.assert_close(spec.augmented(View(x, bodies_seen(x)), MIRROR, generator(4)).x_bmtvc, expected)


def test_one_of_two_is_one_of_two():
    spec, x = ViewSpec.of([{"either": [["axis_mask"], [{"noise": {"p": 1}}]]}], "here"), some().expand(40, -1, -1, -1, -1, -1).flatten(0, 1)
    found = spec.augmented(View(x, bodies_seen(x)), MIRROR, generator())
    moved = (found.x_bmtvc != x).flatten(1).double().mean(1)
    assert ((moved > 0.9) | (moved < 0.4)).all() and 0.3 < (moved > 0.9).double().mean() < 0.7
    assert not found.bodies.absent_bm.any()  # noise makes absent bodies present


def test_views_are_named_and_a_shared_crop_is_one():
    clips = Clips.of(store(), torch.arange(6).numpy())
    specs = {name: ViewSpec.of([{"crop": {"min_frames": 2}}], name) for name in ("query", "key")}
    rows = torch.tensor([2, 5, 1, 3])
    apart, together = (make_views(clips, rows, 16, specs, MIRROR, generator(), shared) for shared in (False, True))
    assert list(apart) == ["query", "key"] and not torch.equal(apart["query"].x_bmtvc, apart["key"].x_bmtvc)
    assert torch.equal(together["query"].x_bmtvc, together["key"].x_bmtvc)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["sheer"], r"here\[0\]: no augmentation sheer: did you mean shear\?"),
        (["shear", "crop"], r"here\[1\]: crop comes first, and once: move it"),
        ([{"shear": {"amplitud": 1}}], r"here\[0\]: unknown key shear\.amplitud: did you mean amplitude\?"),
        ([{"noise": {"std": -1}}], r"here\[0\]: noise\.std: input should be greater than or equal to 0, found -1"),
        ([["shear"]], r"here\[0\]: expected the name of an augmentation"),
    ],
)
def test_a_list_that_is_not_right_is_named(items, message):
    with pytest.raises(InputError, match=message):
        ViewSpec.of(items, "here")


def test_noise_is_drawn_for_the_chosen_clips_alone():
    (noise,) = Noise(std=0.5, p=0.5).draw((400, 1, 2, 3, 3), generator())
    moved = (noise != 0).flatten(1).any(1)
    assert 0.4 < moved.double().mean() < 0.6 and noise[moved].std().item() == pytest.approx(0.5, rel=0.05)
