"""PSTL against numbers of its release's own modules: the fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import PARENTS, clips, load, near, network

from stars.errors import InputError
from stars.objectives import pstl
from stars.objectives.base import Batch
from stars.released.st_gcn import to_ours

FIXTURE = "pstl"


def test_a_step():
    """Which frames are calm, features of every view, losses and gradients."""
    fixture = load(FIXTURE)
    cfg, state = fixture["cfg"], fixture["state_before"]
    own = network({**cfg, "dropout": 0.0}, cfg["frames"])
    own.load_state_dict(to_ours(state, "encoder.")[0])
    loss = pstl.Loss(
        {"encoder": own}, pstl.PstlOptions(frames=cfg["mask_frame"], hidden=cfg["hidden"]), torch.Generator()
    )
    loss.projector.load_state_dict(
        {
            name.removeprefix("head.projector."): value
            for name, value in state.items()
            if name.startswith("head.projector.")
        }
    )
    views = {name: clips(fixture[f"x_{name}"]) for name in ("whole", "calm", "central")}
    near(
        pstl.calm_frames(views["calm"].x_bmtvc, cfg["frames"] - cfg["mask_frame"], fixture["chosen"]),
        clips(fixture["x_masked"]).x_bmtvc,
    )
    joints_j = torch.tensor([joint for joint in range(25) if joint not in fixture["ignored"]])
    batch = Batch(views, torch.arange(12), torch.zeros(12), torch.Generator())
    total, facts = loss.masked(batch, own, fixture["chosen"], joints_j)
    near(torch.stack(list(facts.values())), torch.tensor(fixture["losses"]))
    near(total, fixture["loss"])
    total.backward()
    of_network, _ = to_ours(
        {name: norm for name, norm in fixture["grad_norm"].items() if name.startswith("encoder.")}, "encoder."
    )
    compared = 0
    for name, norm in of_network.items():
        if norm > 1e-3:  # the others are zero but for rounding: biases before a norm
            assert own.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-4), name
            compared += 1
    for name, norm in fixture["grad_norm"].items():
        if name.startswith("head.projector."):
            assert loss.projector.get_parameter(
                name.removeprefix("head.projector.")
            ).grad.norm().item() == pytest.approx(norm, rel=1e-4)
    assert compared > 60


def test_joints_are_drawn_as_often_as_they_have_bones():
    assert pstl.degrees(PARENTS) == [3, 2, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 1, 4, 1, 2, 1, 2]


def test_a_mask_that_leaves_nothing_is_refused():
    own = network({"hidden_channels": 2, "hidden_dim": 8, "dropout": 0.0}, 16)
    with pytest.raises(
        InputError, match=r"frames \(2 × 8\) and joints \(8\) must leave some of 16 frames and 25 joints"
    ):
        pstl.Loss({"encoder": own}, pstl.PstlOptions(frames=8), torch.Generator())
