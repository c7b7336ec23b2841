"""Augmentations by what they must do: to the skeleton, to its bones, and clip by clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stars.config import Augment
from stars.pipeline import configuration
from stars.views.crop import mapped
from stars.views.spatial import augment, shear

NTU = configuration.dataset(configuration.load({"data": {"ntu60": {"dataset": "ntu60", "raw": "a"}}}), "ntu60")


def clips(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 2, 4, 25, 3, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bone_lengths(x_bmtvc: torch.Tensor) -> torch.Tensor:
    return (x_bmtvc - x_bmtvc[..., list(NTU.parents), :]).norm(dim=-1)


def flip(x_bmtvc: torch.Tensor, axis: str | None) -> torch.Tensor:
    return augment(x_bmtvc, Augment(flip=1.0, flip_axis=axis), NTU.mirror, generator())


@pytest.mark.parametrize("axis", ["x", "y", "z", None])
def test_a_flip_swaps_the_mirror_pairs_and_twice_gives_the_clip_back(axis):
    x = clips()
    flipped = flip(x, axis)
    assert torch.equal(flip(flipped, axis), x)
    names = {name: i for i, name in enumerate(NTU.joints)}
    signs = torch.tensor([-1.0 if name == axis else 1.0 for name in "xyz"])
    for name, joint in names.items():
        other = name.replace("left", "right") if "left" in name else name.replace("right", "left")
        assert torch.equal(flipped[..., joint, :], x[..., names[other], :] * signs), name


def test_a_mirror_image_keeps_what_a_mirror_keeps():
    """Bone lengths, side by side; and a skeleton that is its own mirror image stays as it is."""
    x = clips()
    order = torch.arange(25)
    for left, right in NTU.mirror:
        order[left], order[right] = right, left
    torch.testing.assert_close(bone_lengths(flip(x, "x")), bone_lengths(x)[..., order])
    symmetric = x + flip(x, "x")
    torch.testing.assert_close(flip(symmetric, "x"), symmetric)


def test_shear_is_each_clips_own_matrix():
    x, amounts = clips(3), torch.tensor([[0.0] * 6, [0.5, 0, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    sheared = mapped(x, shear(amounts))
    torch.testing.assert_close(sheared[0], x[0])
    torch.testing.assert_close(sheared[1, ..., 0], x[1, ..., 0] + 0.5 * x[1, ..., 1])
    matrix = torch.tensor([[1.0, 0.1, 0.2], [0.3, 1.0, 0.4], [0.5, 0.6, 1.0]])
    torch.testing.assert_close(sheared[2, 1, 2, 3], matrix @ x[2, 1, 2, 3])


def test_axis_mask_zeroes_one_axis_and_nothing_else():
    x = clips(60)
    masked = augment(x, Augment(axis_mask=1.0), NTU.mirror, generator())
    axes = (masked == 0).flatten(1, 3).all(1)
    assert (axes.sum(1) == 1).all() and axes.any(0).all()
    assert torch.equal(masked, x * ~axes[:, None, None, None])


def test_together_they_come_one_after_the_other():
    """Flip, then shear, then mask, as drawn in that order."""
    x, source = clips(40), generator(3)
    together = augment(x, Augment(flip=0.5, shear=0.3, axis_mask=0.5), NTU.mirror, generator(3))
    for settings in (Augment(flip=0.5), Augment(shear=0.3), Augment(axis_mask=0.5)):
        x = augment(x, settings, NTU.mirror, source)
    torch.testing.assert_close(together, x)


@pytest.mark.parametrize(
    "settings", [Augment(flip=0.5), Augment(shear=0.5), Augment(axis_mask=0.5), Augment(flip=0.5, shear=0.2)]
)
def test_draws_are_each_clips_own_repeat_with_the_seed_and_leave_absent_bodies_absent(settings):
    x = clips(64)
    x[:, 1] = 0
    first, again, other = (augment(x, settings, NTU.mirror, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (first[:, 1] == 0).all()
    changed = (first != x).flatten(1).any(1)
    assert changed.any() and (settings.shear > 0 or not changed.all())


def test_probability_and_strength_are_as_set():
    x, count = clips(1).expand(4000, -1, -1, -1, -1), 4000
    flipped = (augment(x, Augment(flip=0.3), NTU.mirror, generator()) != x).flatten(1).any(1)
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=4 * (0.21 / count) ** 0.5)
    masked = (augment(x, Augment(axis_mask=0.6), (), generator()) == 0).flatten(1, 3).all(1)
    np.testing.assert_allclose(masked.float().mean(0), 0.2, atol=4 * (0.16 / count) ** 0.5)
    amounts = augment(torch.eye(3).expand(count, 1, 1, 3, 3), Augment(shear=0.4), (), generator())[:, 0, 0].mT
    assert (amounts.diagonal(dim1=1, dim2=2) == 1).all()
    rest = amounts[:, ~torch.eye(3, dtype=torch.bool)]
    assert 0.39 < rest.abs().max() <= 0.4 and rest.mean().item() == pytest.approx(0, abs=0.01)


def test_without_augmentation_nothing_is_drawn_or_changed():
    source, x = generator(), clips()
    assert augment(x, Augment(), NTU.mirror, source) is x
    assert torch.equal(source.get_state(), generator().get_state())
