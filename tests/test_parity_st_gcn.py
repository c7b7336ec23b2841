"""ST-GCN and the objectives that were made for it, against numbers of the releases' own modules: every fixture of
them in STARS_PARITY_DIR.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stars.backbones.clips import clip_features
from stars.backbones.graph import spatial_partition
from stars.backbones.st_gcn import Network, StGcnOptions
from stars.data.bodies import unknown
from stars.objectives import aimclr, crossclr, hiclr
from stars.objectives.base import Batch
from stars.objectives.contrast import Contrast, MiningOptions
from stars.released.st_gcn import to_ours
from stars.views.crop import View

FOLDER = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data" / "parity")) / "baselines"
# of the releases' graph
PARENTS = (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11)
STREAMS = {"joint": "", "motion": "_motion", "bone": "_bone"}  # in this order


def load(name: str) -> dict:
    path = FOLDER / f"{name}.pt"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return torch.load(path, weights_only=True)


def network(call: dict, frames: int, stream: str = "joint") -> Network:
    options = StGcnOptions(
        frames=frames,
        channels=call["hidden_channels"],
        width=call["hidden_dim"],
        dropout=call["dropout"],
        centre=20,
        stream=stream,
    )
    return Network(options, 25, PARENTS, 2).train()


def clips(x: Tensor) -> View:
    """(N, 3, T, V, M) → (N, M, T, V, 3)."""
    x_bmtvc = x.permute(0, 4, 2, 3, 1).contiguous()
    return View(x_bmtvc, unknown(x_bmtvc))


def options(call: dict, fixture: dict) -> MiningOptions:
    return MiningOptions(
        dimension=call["feature_dim"],
        queue=call["queue_size"],
        momentum=call["momentum"],
        temperature=call["Temperature"],
        topk=fixture["topk"],
    )


def fill(contrast: Contrast, own: Network, state: dict, suffix: str = "") -> None:
    """Query and key side, and the queue, of a fixture."""
    for side, backbone, projector in (
        ("q", own, contrast.projector),
        ("k", contrast.key_network, contrast.key_projector),
    ):
        of_network, of_projector = to_ours(state, f"encoder_{side}{suffix}.")
        backbone.load_state_dict(of_network)
        projector.load_state_dict(of_projector)
    contrast.queue.entries.copy_(state[f"queue{suffix}"].T)


def assert_gradients(
    norms: dict[str, float],
    modules: dict[str, tuple[torch.nn.Module, torch.nn.Module]],
    names=to_ours,
    at_least: int = 60,
) -> None:
    """Every gradient norm of the fixture; those that are zero but for rounding apart."""
    compared = 0
    for prefix, (backbone, projector) in modules.items():
        of_network, of_projector = names(norms, prefix)
        for module, expected in ((backbone, of_network), (projector, of_projector)):
            for name, norm in expected.items():
                if norm > 1e-5:
                    assert module.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-7), (
                        prefix + name
                    )
                    compared += 1
    assert compared > at_least


def near(found: Tensor | float, expected: Tensor | float) -> None:
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-5)


def test_the_partition_is_the_distance_from_the_centre():
    parents, centre = (0, 0, 1, 1, 3), 1
    far = [1, 0, 1, 1, 2]  # joint 4 is beyond the reach, and so further than the rest
    bones = {(0, 1), (1, 2), (1, 3), (3, 4)}
    weights = spatial_partition(parents, centre)
    for v in range(5):
        for w in range(5):
            joined = v == w or (min(v, w), max(v, w)) in bones
            share = joined / sum(other == w or (min(other, w), max(other, w)) in bones for other in range(5))
            subset = 0 if v == w else 1 if far[v] >= far[w] else 2
            assert weights[:, v, w].tolist() == pytest.approx([share * (k == subset) for k in range(3)])


def test_the_graph_and_the_features():
    fixture = load("aimclr")
    own, state = network(fixture["call"], fixture["x_q"].shape[2]), fixture["state_before"]
    near(own.partition, state["encoder_q.A"])
    own.load_state_dict(to_ours(state, "encoder_q.")[0])
    near(clip_features(own.eval(), clips(fixture["x_q"]).x_bmtvc), fixture["features_eval"])


@pytest.mark.parametrize("step", ["first", "mining"])
def test_a_step_of_aimclr(step):
    fixture = load("aimclr")
    call, expected = fixture["call"], fixture[step]
    own = network(call, fixture["x_q"].shape[2])
    loss = aimclr.Loss({"encoder": own}, options(call, fixture), torch.Generator()).train()
    fill(loss.contrast, own, fixture["state_before"])
    loss.mining = step == "mining"
    views = {"extreme": clips(fixture["x_extreme"]), "query": clips(fixture["x_q"]), "key": clips(fixture["x_k"])}
    total, _ = loss(Batch(views, torch.arange(4), torch.zeros(4), torch.Generator()), {"encoder": own})
    near(total, expected["loss"])
    total.backward()
    assert_gradients(expected["grad_norm"], {"encoder_q.": (own, loss.contrast.projector)})
    near(loss.contrast.queue.entries.T, expected["queue_after"])


@pytest.mark.parametrize("step", ["first", "mining"])
def test_a_step_of_hiclr(step):
    fixture = load("hiclr")
    call, expected, state = fixture["call"], fixture[step], fixture["state_before"]
    own = network(call, fixture["x_q"].shape[2])
    told = hiclr.HiClrOptions(**options(call, fixture).model_dump())
    loss = hiclr.Loss({"encoder": own}, told, torch.Generator()).train()
    fill(loss.contrast, own, state)
    loss.mask.value.data.copy_(state["mask_param"])
    loss.mining = step == "mining"
    views = {
        "query": clips(fixture["x_q"]),
        "key": clips(fixture["x_k"]),
        "extreme": clips(fixture["x_1"]),
        "masked": clips(fixture["x_2"]),
    }
    batch = Batch(views, torch.arange(4), torch.zeros(4), torch.Generator())
    total, _ = loss.with_mask(batch, own, fixture["mask_tv"] == 0)
    near(total, expected["loss"])
    total.backward()
    assert_gradients(expected["grad_norm"], {"encoder_q.": (own, loss.contrast.projector)})
    assert loss.mask.value.grad.norm().item() == pytest.approx(expected["grad_norm"]["mask_param"], rel=1e-4, abs=1e-7)
    near(loss.contrast.queue.entries.T, expected["queue_after"])


@pytest.mark.parametrize("step", ["first", "cross"])
def test_a_step_of_crossclr(step):
    fixture = load("crossclr")
    call, expected, state = fixture["call"], fixture[step], fixture["state_before"]
    networks = {name: network(call, fixture["x_q"].shape[2], name) for name in STREAMS}
    told = crossclr.CrosSclrOptions(as_released=True, **options(call, fixture).model_dump())
    loss = crossclr.Loss(networks, told, torch.Generator()).train()
    for name, suffix in STREAMS.items():
        fill(loss.contrasts[name], networks[name], state, suffix)
    loss.mining = step == "cross"
    views = {"query": clips(fixture["x_q"]), "key": clips(fixture["x_k"])}
    total, _ = loss(Batch(views, torch.arange(4), torch.zeros(4), torch.Generator()), networks)
    near(total, expected["loss"])
    total.backward()
    modules = {
        f"encoder_q{suffix}.": (networks[name], loss.contrasts[name].projector) for name, suffix in STREAMS.items()
    }
    if "grad_norm" in expected:
        assert_gradients(expected["grad_norm"], modules)
    for name, suffix in STREAMS.items() if "queue_after" in expected else ():
        near(loss.contrasts[name].queue.entries.T, expected["queue_after"][f"queue{suffix}"])


def test_dropout_spares_the_first_block():
    """As in the released code, whose fixtures have no dropout at all."""
    network = Network(StGcnOptions(channels=4, width=8, frames=8, dropout=0.3), 5, (0, 0, 1, 1, 3))
    assert [block.dropout.p for block in network.blocks] == [0.0] + [0.3] * 9
