"""HYSP against numbers of its release's own modules: the fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import clips, load, near, network

from stars.objectives import hysp
from stars.objectives.base import Batch
from stars.released.st_gcn import to_ours

FIXTURE = "hysp"


def head(state: dict, prefix: str) -> dict:
    return {
        name.removeprefix(f"{prefix}.net."): value for name, value in state.items() if name.startswith(f"{prefix}.net.")
    }


@pytest.mark.parametrize("curvature", [0.0, 0.4, 1.0])
def test_a_step(curvature):
    """Loss and gradients by the share of the hyperbolic distance, and the target after it moved."""
    fixture = load(FIXTURE)
    cfg, state, told = fixture["cfg"], fixture["state_before"], fixture[f"lambda_{curvature}"]
    own = network({**cfg, "dropout": 0.0}, cfg["frames"])
    own.load_state_dict(to_ours(state, "online_encoder.")[0])
    options = hysp.HyspOptions(hidden=cfg["hidden"], dimension=cfg["dimension"], momentum=cfg["momentum"])
    loss = hysp.Loss({"encoder": own}, options, torch.Generator()).train()
    loss.projector.load_state_dict(head(state, "online_projector"))
    loss.predictor.load_state_dict(head(state, "online_predictor"))
    loss.target.encoder.load_state_dict(to_ours(state, "target_encoder.")[0])
    loss.target.head.load_state_dict(head(state, "target_projector"))
    loss.curvature = curvature
    views = {name: clips(fixture[f"x_{name}"]) for name in ("one", "two")}
    total, _ = loss(Batch(views, torch.arange(12), torch.zeros(12), torch.Generator()), {"encoder": own})
    near(total, told["loss"])
    total.backward()
    norms, compared = told["grad_norm"], 0
    largest = max(norms.values())
    for prefix, module, ours in (
        ("online_encoder", own, to_ours(norms, "online_encoder.")[0]),
        ("online_projector", loss.projector, head(norms, "online_projector")),
        ("online_predictor", loss.predictor, head(norms, "online_predictor")),
    ):
        for name, norm in ours.items():
            if norm > 1e-3 * largest:  # the others are zero but for rounding: biases before a norm
                assert module.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-4), (
                    f"{prefix}.{name}"
                )
                compared += 1
    assert compared > 60
    after = to_ours(fixture["target_after"], "target_encoder.")[0]
    for name, tensor in loss.target.encoder.named_parameters():
        near(tensor, after[name])


def test_distances_in_the_ball():
    """Between two points on one diameter they add up, and grow without bound towards the rim."""
    line_bd = hysp.in_ball(torch.tensor([[0.3, 0.0], [0.8, 0.0], [40.0, 0.0]]))
    centre = torch.zeros(1, 2, dtype=torch.float64)
    near(hysp.poincare(line_bd[:2], centre).float(), torch.tensor([0.6, 1.6]))
    near(hysp.poincare(line_bd[:1], line_bd[1:2]).float(), torch.tensor([1.0]))
    assert hysp.poincare(line_bd[2:], centre).item() > 10 and line_bd[2, 0] < 1


def test_the_hyperbolic_distance_comes_in_by_and_by():
    own = network({"hidden_channels": 2, "hidden_dim": 8, "dropout": 0.0}, 16)
    loss = hysp.Loss({"encoder": own}, hysp.HyspOptions(hidden=4, dimension=4), torch.Generator())
    shares = []
    for epoch in (0, 49, 74, 99, 300):
        loss.before({}, 0, epoch)
        shares.append(loss.curvature)
    assert shares == [0.0, 0.0, 0.5, 1.0, 1.0]
