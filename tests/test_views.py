"""Augmentations of `train` against slow versions of the same draws, and what a list of them may be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_sampling import store

from stars.data.bodies import bodies_seen
from stars.errors import InputError
from stars.views.augmentations import KNOWN
from stars.views.crop import Clips, View
from stars.views.in_space import Rotate
from stars.views.in_time import Blur, PadCrop
from stars.views.on_joints import Corrupt, Noise
from stars.views.spec import ViewSpec, make_views

MIRROR = ((1, 2), (3, 4))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(frames: int = 12) -> torch.Tensor:
    x = torch.randn(6, 2, frames, 5, 3, generator=generator())
    x[1, 1], x[2, 1] = 0, x[2, 0]
    return x


def slow_pad_crop(clip, start):
    padded = torch.cat([clip[:, :2].flip(1), clip, clip[:, -2:].flip(1)], 1)  # 12 // 6 frames a side
    return padded[:, int(start) : int(start) + 12]


def slow_shear(clip, amounts):
    a, b, c, d, e, f = amounts.tolist()
    x, y, z = clip.unbind(-1)
    return torch.stack([x + a * y + b * z, c * x + y + d * z, e * x + f * y + z], -1)


def slow_turn(clip, angles):
    """About x, then y, then z, clockwise seen from an axis' tip."""
    for axis, angle in enumerate(angles.tolist()):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turned = clip.clone()
        turned[..., first] = math.cos(angle) * clip[..., first] + math.sin(angle) * clip[..., second]
        turned[..., second] = math.cos(angle) * clip[..., second] - math.sin(angle) * clip[..., first]
        clip = turned
    return clip


def slow_axis_mask(clip, chosen, axis):
    out = clip.clone()
    if chosen:
        out[..., int(axis)] = 0
    return out


def slow_swap(clip, chosen):
    return clip[:, :, [0, 2, 1, 4, 3]] if chosen else clip


def slow_blur(clip, weights):
    out = torch.zeros_like(clip)
    for t in range(12):
        for tap in range(15):
            if 0 <= t + tap - 7 < 12:
                out[:, t] += weights[tap] * clip[:, t + tap - 7]
    return out


def slow_stretch(clip, length):
    flat = clip.permute(0, 2, 3, 1).flatten(0, 2)[None]
    resized = (
        torch.nn.functional.interpolate(flat, size=int(length), mode="linear")[0]
        .T.view(int(length), 2, 5, 3)
        .transpose(0, 1)
    )
    return torch.cat([resized[:, :12], torch.zeros(2, max(0, 12 - int(length)), 5, 3)], 1)


def slow_scale(clip, factor):
    return clip * factor


def slow_offset(clip, offsets):
    return torch.stack([body + offsets if body.any() else body for body in clip])


def slow_between(clip, share):
    return torch.stack([clip[:, t] + share * (clip[:, min(t + 1, 11)] - clip[:, t]) for t in range(12)], 1)


def slow_trim(clip, kept, place):
    out = []
    for t in range(12):
        at = float(place * (1 - kept) * 11 + kept * t)
        before = min(int(at), 10)
        out.append(clip[:, before] * (before + 1 - at) + clip[:, before + 1] * (at - before))
    return torch.stack(out, 1)


def slow_corrupt(clip, chosen, matrix):
    out = clip.clone()
    for joint in chosen.nonzero().flatten().tolist():
        out[:, :, joint] = clip[:, :, joint] @ matrix.T
    return out


SLOW = {
    **{
        "pad_crop": slow_pad_crop,
        "shear": slow_shear,
        "turn": slow_turn,
        "rotate": slow_turn,
        "axis_mask": slow_axis_mask,
    },
    **{"swap": slow_swap, "noise": torch.add, "blur": slow_blur, "stretch": slow_stretch, "corrupt": slow_corrupt},
    **{"scale": slow_scale, "offset": slow_offset, "between": slow_between, "trim": slow_trim},
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_step_is_what_a_loop_over_clips_makes_of_its_draws(name):
    step, x = KNOWN[name](), some()
    draws = step.draw(x.shape, generator(3))
    expected = [SLOW[name](clip, *drawn) for clip, *drawn in zip(x, *draws, strict=True)]
    torch.testing.assert_close(step.apply(x, draws, MIRROR), torch.stack(expected))


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 9))
def test_mirrored_frames_are_those_of_the_clip_at_any_length(frames, ratio, seed):
    clip, step = torch.arange(frames).float().view(1, 1, frames, 1, 1).expand(1, 1, frames, 1, 3), PadCrop(ratio=ratio)
    (starts,) = draws = step.draw(clip.shape, generator(seed))
    side, times = frames // ratio, torch.arange(frames).float()
    padded = torch.cat([times[:side].flip(0), times, times[frames - side :].flip(0)])
    assert (
        0 <= starts <= 2 * side
        and step.apply(clip, draws, ()).flatten()[::3].tolist() == padded[starts : starts + frames].tolist()
    )


def test_blur_weighs_the_frame_itself_with_one_and_leaves_some_clips():
    (weights,) = Blur(taps=5).draw((400, 2, 12, 5, 3), generator())
    assert (weights[:, 2] == 1).all() and (weights[:, :2] == weights[:, 3:].flip(1)).all()
    assert 0.4 < (weights.sum(1) == 1).double().mean() < 0.6


def test_as_many_joints_are_corrupted_in_every_clip():
    chosen, matrices = Corrupt().draw((200, 2, 12, 25, 3), generator())
    assert (
        (chosen.sum(1) == 15).all() and 70 < (matrices == 0).flatten(1).all(1).sum() < 130 and matrices.abs().max() <= 1
    )


def test_a_rotation_is_mostly_about_one_axis():
    (angles,) = Rotate().draw((300, 2, 4, 5, 3), generator())
    degrees = angles * 180 / math.pi
    assert ((degrees > 1).sum(1) <= 1).all() and 25 < degrees.max() <= 30 and degrees.min() >= 0


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_step_says_of_bodies_is_true_and_draws_decide_it_alone(name):
    step, x = KNOWN[name](), some()
    before = torch.get_rng_state()
    draws = step.draw(x.shape, generator(3))
    assert all(len(tensor) == len(x) for tensor in draws)
    found = step.apply(x, draws, MIRROR)
    assert torch.equal(torch.get_rng_state(), before) and found.shape == x.shape
    alone = torch.cat(
        [step.apply(x[i : i + 1], tuple(tensor[i : i + 1] for tensor in draws), MIRROR) for i in range(len(x))]
    )
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
    spec, x = (
        ViewSpec.of([{"either": [["axis_mask"], [{"noise": {"p": 1}}]]}], "here"),
        some().expand(40, -1, -1, -1, -1, -1).flatten(0, 1),
    )
    found = spec.augmented(View(x, bodies_seen(x)), MIRROR, generator())
    moved = (found.x_bmtvc != x).flatten(1).double().mean(1)
    assert ((moved > 0.9) | (moved < 0.4)).all() and 0.3 < (moved > 0.9).double().mean() < 0.7
    assert not found.bodies.absent_bm.any()  # noise makes absent bodies present


def test_of_two_ways_each_clip_goes_one_also_where_ways_have_ways():
    inner = {"either": ["swap", ["shear", {"turn": {"angle": 1}}]]}
    spec, x = ViewSpec.of([{"either": [[inner, "axis_mask"], "corrupt"]}], "here"), some()
    (draws,) = spec.draw(x.shape, generator(5))
    found = spec.augmented(View(x, bodies_seen(x)), MIRROR, generator(5))
    first, ((inner_first, (swap,), (sheared, turned)), masked), (corrupted,) = draws
    for n, clip in enumerate(x):
        if first[n] == 0:
            clip = (
                slow_swap(clip, swap[0][n])
                if inner_first[n] == 0
                else slow_turn(slow_shear(clip, sheared[0][n]), turned[0][n])
            )
            clip = slow_axis_mask(clip, *(tensor[n] for tensor in masked))
        else:
            clip = slow_corrupt(clip, *(tensor[n] for tensor in corrupted))
        torch.testing.assert_close(found.x_bmtvc[n], clip)
    assert all(map(torch.equal, found.bodies, bodies_seen(x)))
    assert spec.needs_mirror


def test_of_three_ways_each_is_as_probable():
    spec, x = (
        ViewSpec.of([{"either": [[], ["scale"], [{"scale": {"factor": [2, 2]}}]]}], "here"),
        torch.ones(600, 1, 1, 2, 3),
    )
    found = spec.augmented(View(x, bodies_seen(x)), MIRROR, generator()).x_bmtvc[:, 0, 0, 0, 0]
    assert all(
        150 < chosen.sum() < 250 for chosen in (found == 1, found == 2, (found != 1) & (found > 0.8) & (found < 1.2))
    )


def test_as_many_joints_are_displaced_in_every_clip():
    (offsets,) = KNOWN["offset"]().draw((200, 2, 12, 25, 3), generator())
    assert ((offsets != 0).any(2).sum(1) == 5).all() and 0.19 < offsets.abs().max() <= 0.2


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
        (["shear", "crop"], r"here\[1\]: crop is only allowed as the first item of a view: move it"),
        ([{"shear": {"amplitud": 1}}], r"here\[0\]: unknown key shear\.amplitud: did you mean amplitude\?"),
        ([{"noise": {"std": -1}}], r"here\[0\]: noise\.std: expected a number of at least 0, found -1"),
        ([["shear"]], r"here\[0\]: expected the name of an augmentation"),
        ("shear", r"here: expected a list of augmentations, e\.g\. \[crop, shear\], found 'shear'"),
        ([{"shear": 1}], r"here\[0\]: shear takes settings by name \(amplitude\), found 1"),
        ([{"crop": [0.5, 1]}], r"here\[0\]: crop takes settings by name \(share, min_frames\), found \[0\.5, 1\]"),
        (
            [{"crop": {"share": [1, 0.5]}}],
            r"here\[0\]: crop: share must be \[smallest, largest\], found \[1\.0, 0\.5\]",
        ),
        (
            [{"scale": {"factor": [2, 1]}}],
            r"here\[0\]: scale: factor must be \[smallest, largest\], found \[2\.0, 1\.0\]",
        ),
        ([{"blur": {"taps": 4}}], r"here\[0\]: blur: taps must be odd"),
        (["crop", {"either": [["shear"]]}], r"here\[1\]\.either: expected two lists of augmentations, or more"),
        (
            [{"either": [["shear", "crop"], []]}],
            r"here\[0\]\.either\[0\]\[1\]: crop is only allowed as the first item of a view: move it",
        ),
        ([{"either": ["shear", "sheer"]}], r"here\[0\]\.either\[1\]\[0\]: no augmentation sheer: did you mean shear\?"),
    ],
)
def test_a_list_that_is_not_right_is_named(items, message):
    with pytest.raises(InputError, match=message):
        ViewSpec.of(items, "here")


def test_noise_is_drawn_for_the_chosen_clips_alone():
    (noise,) = Noise(std=0.5, p=0.5).draw((400, 1, 2, 3, 3), generator())
    moved = (noise != 0).flatten(1).any(1)
    assert 0.4 < moved.double().mean() < 0.6 and noise[moved].std().item() == pytest.approx(0.5, rel=0.05)
