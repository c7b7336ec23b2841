"""Sampling: crops are what the paper says, batches equal single clips, the same numbers on every run."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stars.config import Sampling
from stars.views.crop import Clips, centre_view, crop_length, random_crop, resized_view, rotate, rotation_matrix

LENGTHS = np.array([1, 2, 37, 64, 65, 103, 300])
PLAIN = Sampling(rotation=0.0)


def store() -> SimpleNamespace:
    """Clips whose frames count up: clip i's frame t holds 1000 i + t everywhere."""
    values = np.concatenate([1000 * i + np.arange(n) for i, n in enumerate(LENGTHS)])
    frames = np.broadcast_to(values[:, None, None, None], (len(values), 2, 5, 3)).astype(np.float32)
    clips = np.split(frames, np.cumsum(LENGTHS)[:-1])
    return SimpleNamespace(
        gather=lambda rows: np.concatenate([clips[row] for row in rows]),
        lengths=LENGTHS,
        labels=np.arange(len(LENGTHS)) % 3,
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_only_the_clips_of_an_index_are_held_in_its_order():
    clips = Clips.of(store(), np.array([5, 2, 3]))
    assert len(clips) == 3 and clips.lengths.tolist() == [103, 37, 64] and clips.labels.tolist() == [2, 2, 0]
    assert len(clips.frames) == 204 and clips.frames.dtype == torch.float32
    assert [clips.frames[start, 1, 4, 2].item() for start in clips.starts] == [5000, 2000, 3000]


def test_resize_by_hand():
    """Half-pixel centres, straight from the definition, for clips shorter and longer than the view."""
    clips = Clips.of(store(), np.arange(len(LENGTHS)))
    for frames in (8, 50):
        x = centre_view(clips, torch.arange(len(clips)), frames, 1.0).x_bmtvc
        assert x.shape == (7, 2, frames, 5, 3)
        for i, length in enumerate(LENGTHS):
            expected = [1000 * i + min(max((t + 0.5) * length / frames - 0.5, 0), length - 1) for t in range(frames)]
            torch.testing.assert_close(x[i, 1, :, 3, 2], torch.tensor(expected, dtype=torch.float32), rtol=0, atol=2e-3)


def test_a_batch_equals_its_clips_one_by_one():
    clips = Clips.of(store(), np.arange(len(LENGTHS)))
    rows = torch.tensor([6, 2, 2, 0])
    start, length = torch.tensor([10, 0, 5, 0]), torch.tensor([200, 37, 30, 1])
    together = resized_view(clips, rows, start, length, 16).x_bmtvc
    alone = [resized_view(clips, rows[i : i + 1], start[i : i + 1], length[i : i + 1], 16).x_bmtvc for i in range(4)]
    assert torch.equal(together, torch.cat(alone))


def test_random_crops_keep_to_their_limits_and_reach_them():
    """At as many frames as the clip has, a crop's first and last value tell where it began and ended."""
    clips, rows = Clips.of(store(), np.array([5])), torch.zeros(4000, dtype=torch.int64)
    x = random_crop(clips, rows, 1000, PLAIN, generator())[:, 0, :, 0, 0] - 5000
    first, length = x[:, 0].round(), (x[:, -1] - x[:, 0]).round() + 1
    assert first.min() == 0 and (first + length).max() == 103
    assert length.min() == 64 and length.max() == 102  # floor(103 p), p < 1
    # p uniform on [.5, 1): the share with floor(103 p) < 64 is (64/103 − .5) / .5, and all of those are lifted to 64
    lifted = (65 / 103 - 0.5) / 0.5
    assert (length == 64).float().mean().item() == pytest.approx(
        lifted, abs=4 * math.sqrt(lifted * (1 - lifted) / 4000)
    )
    shortest = first[length == 64]
    assert set(shortest.int().tolist()) == set(range(40))  # every start, first and last included
    assert shortest.mean().item() == pytest.approx(19.5, abs=4 * 11.5 / math.sqrt(len(shortest)))


def test_short_clips_are_kept_whole():
    assert crop_length(torch.tensor([1, 37, 64, 65]), torch.full((4,), 0.5, dtype=torch.float64), 64).tolist() == [
        1,
        37,
        64,
        64,
    ]
    clips = Clips.of(store(), np.array([2]))
    row = torch.tensor([0])
    assert torch.equal(random_crop(clips, row, 20, PLAIN, generator()), centre_view(clips, row, 20, 1.0).x_bmtvc)


def test_random_crops_repeat_with_their_seed():
    clips, rows = Clips.of(store(), np.arange(len(LENGTHS))), torch.arange(len(LENGTHS))
    draws = [random_crop(clips, rows, 12, Sampling(), generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_rotation_is_one_turn_a_clip_about_the_origin():
    angles = torch.tensor([[0.3, -0.2, 0.1], [0.0, 0.0, math.pi / 2]])
    matrices = rotation_matrix(angles)
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(2))
    single = [rotation_matrix(torch.diag(angles[0])[axis][None])[0] for axis in range(3)]
    torch.testing.assert_close(matrices[0], single[2] @ single[1] @ single[0])
    x = torch.randn(2, 2, 4, 5, 3)
    turned = rotate(x, angles)
    torch.testing.assert_close(turned[0, 1, 2, 3], matrices[0] @ x[0, 1, 2, 3])
    torch.testing.assert_close(turned[1], torch.stack([x[1, ..., 1], -x[1, ..., 0], x[1, ..., 2]], -1))


def test_rotation_angles_are_within_their_limit():
    frames = torch.eye(3).expand(1, 1, 3, 3).contiguous()
    one = torch.ones(1, dtype=torch.int64)
    clips, rows = Clips(frames, one * 0, one, one), torch.zeros(3000, dtype=torch.int64)
    matrices = random_crop(clips, rows, 1, Sampling(rotation=0.3), generator())[:, 0, 0].mT
    pitch = torch.asin(matrices[:, 2, 0])
    assert 0.29 < pitch.abs().max() <= 0.3001
    assert pitch.std().item() == pytest.approx(0.6 / math.sqrt(12), rel=0.05)
