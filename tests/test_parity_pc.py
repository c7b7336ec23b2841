"""P&C against numbers of its release's own modules: its fixture in STARS_PARITY_DIR. The release pads clips; here
each is one of its own length.
"""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import load, near

from stars.backbones.axes import in_own_axes, in_unit_box
from stars.backbones.bi_gru import BiGruOptions, Network
from stars.data.bodies import unknown
from stars.errors import InputError
from stars.objectives import predict_cluster
from stars.objectives.base import Batch
from stars.views.crop import View

FIXTURE, JOINTS = "pc", 6


def network(fixture: dict, case: str, **more: object) -> Network:
    cfg = fixture["cfg"]
    options = BiGruOptions(
        frames=12, hidden=cfg["encoder_hidden"], depth=cfg["encoder_layers"], input_norm=False, **more
    )
    own = Network(options, JOINTS)
    own.load_state_dict({name.removeprefix("encoder."): value for name, value in parts(fixture[case], "encoder.")})
    return own


def parts(case: dict, prefix: str) -> list[tuple[str, torch.Tensor]]:
    return [(name, value) for name, value in case["state_before"].items() if name.startswith(prefix)]


def objective(fixture: dict, case: str, own: Network, **options: object) -> predict_cluster.Loss:
    loss = predict_cluster.Loss({"encoder": own}, predict_cluster.PredictClusterOptions(**options), torch.Generator())
    loss.decoder.load_state_dict(
        {name.removeprefix("decoder."): value for name, value in parts(fixture[case], "decoder.")}
    )
    return loss


def clips(x_btn: torch.Tensor) -> torch.Tensor:
    """(B, T, 3 V) → (B, 1, T, V, 3)."""
    return x_btn.unflatten(2, (JOINTS, 3))[:, None]


def test_a_state_is_that_of_a_true_bidirectional_network():
    fixture = load(FIXTURE)
    own = network(fixture, "zero_input")
    for x_tn, length, expected in zip(
        fixture["x"], fixture["lengths"], fixture["encoder_true_bidirectional"]["hidden"], strict=True
    ):
        near(own(clips(x_tn[None, :length]))[0], expected)


@pytest.mark.parametrize(("case", "kind"), [("zero_input", "learned"), ("fixed_state", "fixed_state")])
def test_a_step_as_released(case, kind):
    """Both directions forward, an output against its own frame."""
    fixture = load(FIXTURE)
    own = network(fixture, case, backward=False)
    loss = objective(fixture, case, own, decoder=kind, target="same")
    told, x_btn = fixture[case], fixture["x"]
    states, made, losses = [], [], []
    for x_tn, length in zip(x_btn, fixture["lengths"], strict=True):
        # The release decodes the padding too and adds its errors up, but divides by the length.
        state_bc = own(clips(x_tn[None, :length]))
        made_btn = loss.predicted(state_bc, x_tn[None])
        states.append(state_bc)
        made.append(made_btn)
        losses.append(loss.distance(made_btn, x_tn[None]) * len(x_tn) / length)
    near(torch.cat(states), told["hidden"])
    near(torch.cat(made), told["output"])
    total = torch.stack(losses).mean()
    near(total, told["loss_release"])
    total.backward()
    compared = 0
    for name, norm in told["grad_norm"].items():
        module = own if name.startswith("encoder.") else loss.decoder
        assert module.get_parameter(name.partition(".")[2]).grad.norm().item() == pytest.approx(
            norm, rel=1e-4, abs=1e-6
        ), name
        compared += 1
    assert compared == 30


@pytest.mark.parametrize("case", ["zero_input", "fixed_state"])
def test_the_next_frame_is_the_target_of_the_tensorflow_code(case):
    fixture = load(FIXTURE)
    kind = {"zero_input": "learned"}.get(case, case)
    loss = objective(fixture, case, network(fixture, case), decoder=kind, target="next")
    told = fixture[case]
    losses = [
        loss.distance(made_tn[None, :length], x_tn[None, :length])
        for made_tn, x_tn, length in zip(told["output"], fixture["x"], fixture["lengths"], strict=True)
    ]
    near(torch.stack(losses).mean(), told["loss_next_frame_masked"])


def test_fixed_weights_are_not_trained_but_the_encoder_is():
    fixture = load(FIXTURE)
    own = network(fixture, "zero_input")
    loss = objective(fixture, "zero_input", own, decoder="fixed_weights")
    x_bmtvc = clips(fixture["x"])
    batch = Batch({"only": View(x_bmtvc, unknown(x_bmtvc))}, torch.arange(4), torch.zeros(4), torch.Generator())
    loss(batch, {"encoder": own})[0].backward()
    assert not loss.heads() and all(parameter.grad is None for parameter in loss.decoder.parameters())
    assert own.gru.weight_ih_l0.grad.abs().sum() > 0


def test_a_clip_in_its_own_axes_is_the_same_however_the_camera_stands():
    generator = torch.Generator().manual_seed(0)
    x_bmtvc = torch.randn(3, 2, 5, 8, 3, generator=generator)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    turn *= torch.det(turn).sign()
    moved_bmtvc = x_bmtvc @ turn + torch.tensor([1.0, -2.0, 3.0])
    seen_bmtvc = in_own_axes(x_bmtvc, 0, 1, 2, 3)
    near(in_own_axes(moved_bmtvc, 0, 1, 2, 3), seen_bmtvc)
    first_bvc = seen_bmtvc[:, 0, 0]
    near(first_bvc[:, 0], torch.zeros(3, 3))
    near(first_bvc[:, 1, :2], torch.zeros(3, 2))
    assert (first_bvc[:, 1, 2] > 0).all() and (first_bvc[:, 2, 0] > first_bvc[:, 3, 0]).all()
    boxed_bmtvc = in_unit_box(seen_bmtvc)
    near(boxed_bmtvc.amax((1, 2, 3)), torch.ones(3, 3))
    near(boxed_bmtvc.amin((1, 2, 3)), -torch.ones(3, 3))


def test_what_does_not_fit_is_said_in_one_line():
    with pytest.raises(InputError, match=r"axes contains joint 16, but the skeleton has 6"):
        Network(BiGruOptions(hidden=4, axes=(0, 1, 12, 16)), JOINTS)
    with pytest.raises(InputError, match="set its pool to last"):
        own = Network(BiGruOptions(hidden=4, pool="mean"), JOINTS)
        predict_cluster.Loss({"encoder": own}, predict_cluster.PredictClusterOptions(), torch.Generator())
