"""HiCo's backbone and objective against numbers of the release's own modules: every hico*.pt in
STARS_PARITY_DIR/baselines.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stars.backbones.hico import Dropout, HicoBackboneOptions, Network
from stars.data.bodies import bodies_seen
from stars.objectives.base import Batch
from stars.objectives.hico import HicoOptions, Loss
from stars.released.hico import QUEUES, queues, to_ours
from stars.views.crop import View

FOLDER = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data" / "parity")) / "baselines"
FIXTURES = [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob("hico*.pt"))]
TINY = 1e-6  # gradient norms below this are zero but for rounding


def test_there_are_fixtures():
    assert FIXTURES, f"no hico*.pt in {FOLDER}"


class Case:
    """A fixture, and our network and objective with its weights; each parity test has its own."""

    def __init__(self, path: Path, dropout: float = 0.0) -> None:
        self.fixture = torch.load(path, weights_only=True)
        cfg, call, state = self.fixture["cfg"], self.fixture["call"], self.fixture["state_before"]
        self.views = {"query": view(self.fixture["x_q"]), "key": view(self.fixture["x_k"])}
        _, bodies, frames, joints, _ = self.views["query"].x_bmtvc.shape
        options = HicoBackboneOptions(
            frames=frames,
            hidden=cfg["hidden_size"],
            heads=cfg["num_head"],
            depth=cfg["num_layer"],
            granularities=cfg["granularity"],
            kernel=cfg["kernel_size"],
            dropout=dropout,
        )
        self.network = Network(options, joints, bodies=bodies)
        told = HicoOptions(dimension=call["dim"], queue=call["K"], momentum=call["m"], temperature=call["T"])
        self.loss = Loss({"encoder": self.network}, told, torch.Generator()).train()
        of_network, of_projectors = to_ours(state, "encoder_q.")
        self.network.load_state_dict(of_network)
        self.loss.projectors.load_state_dict(of_projectors)
        of_network, of_projectors = to_ours(state, "encoder_k.")
        self.loss.key_network.load_state_dict(of_network)
        self.loss.key_projectors.load_state_dict(of_projectors)
        assert not self.loss.queues.load_state_dict(queues(state), strict=False).unexpected_keys

    def step(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and facts, gradients added."""
        clips = torch.arange(len(self.views["query"].x_bmtvc))
        total, facts = self.loss(
            Batch(self.views, clips, torch.zeros_like(clips), torch.Generator()), {"encoder": self.network.train()}
        )
        total.backward()
        return total, dict(facts)


def view(x_bctvm: Tensor) -> View:
    x_bmtvc = x_bctvm.permute(0, 4, 2, 3, 1).contiguous()
    return View(x_bmtvc, bodies_seen(x_bmtvc))


@pytest.mark.parametrize("path", FIXTURES)
def test_sequences_and_features(path):
    case = Case(path)
    seen = {}
    for name in ("time", "space"):
        case.network.get_submodule(name).register_forward_pre_hook(
            lambda _, given, name=name: seen.update({name: given[0]})
        )
    features = case.network.eval()(case.views["query"].x_bmtvc)
    torch.testing.assert_close(features, case.fixture["features_eval"], rtol=1e-5, atol=2e-6)
    assert all(torch.equal(seen[name].transpose(0, 1), case.fixture[f"q_{name}"]) for name in ("time", "space"))
    clips_bgc, parts_bgc = case.network.levels(features)
    assert torch.equal(torch.cat([clips_bgc.flatten(1), parts_bgc.flatten(1)], 1), features)


@pytest.mark.parametrize("dropout", [0.0, 1e-9])  # the second drops nothing, but goes the way of those that do
@pytest.mark.parametrize("path", FIXTURES)
def test_a_step(path, dropout):
    """Each loss, their sum, gradients, queues, and the key side, which moved before it was asked."""
    case = Case(path, dropout)
    fixture, before = case.fixture, copy.deepcopy(case.loss.key_network.state_dict())
    total, facts = case.step()
    assert {name: facts[f"{name}_loss"].item() for name in QUEUES.values()} == pytest.approx(
        fixture["losses"], rel=1e-5
    )
    assert total.item() == pytest.approx(fixture["loss"], rel=1e-5)
    norms = fixture["grad_norm"]
    for module, expected in zip((case.network, case.loss.projectors), to_ours(norms, "encoder_q."), strict=True):
        found = {name: parameter.grad.norm().item() for name, parameter in module.named_parameters()}
        assert found == pytest.approx(expected, rel=1e-4, abs=TINY)
    for name, entries_qd in queues(fixture["queue_after"]).items():
        torch.testing.assert_close(case.loss.queues.state_dict()[name], entries_qd, rtol=1e-5, atol=2e-6)
    momentum = case.loss.options.momentum
    for name, tensor in case.loss.key_network.state_dict().items():
        moved = momentum * before[name] + (1 - momentum) * case.network.state_dict()[name]
        torch.testing.assert_close(tensor, moved, rtol=1e-6, atol=1e-7)


def test_the_released_queue_renews_its_first_places_alone():
    case = Case(FIXTURES[0].values[0])
    queue, clips = case.loss.options.queue, len(case.views["query"].x_bmtvc)
    before = case.loss.queues["clip"].entries.clone()
    for _ in range(queue // clips):
        case.step()
    changed = (case.loss.queues["clip"].entries != before).any(1)
    assert changed[:queue].all() and not changed[queue:].any()
    case.loss.options = case.loss.options.model_copy(update={"renewed": "all"})
    for _ in range(queue // clips):
        case.step()
    assert (case.loss.queues["clip"].entries != before).any(1).all()


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = torch.ones(401, 499)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = Dropout(0.1)(x)
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(0.1, abs=4 * (0.09 / x.numel()) ** 0.5)
    assert dropped[dropped > 0].unique().item() == pytest.approx(1 / 0.9, rel=1e-4)
    assert torch.equal(Dropout(0.1).eval()(x), x)


def test_layers_hold_every_parameter_once():
    network = Case(FIXTURES[0].values[0]).network
    parts = [part for several in network.layers() for part in several]
    assert sorted(id(parameter) for part in parts for parameter in part.parameters()) == sorted(
        map(id, network.parameters())
    )


def test_operations_are_those_of_its_matrix_products_and_convolutions():
    options = HicoBackboneOptions(frames=8, hidden=4, heads=2, granularities=2, kernel=3)
    network, lengths = Network(options, 3, bodies=2), {"time": (8, 4), "space": (6, 3)}
    by_hand = 0
    for name, several in lengths.items():
        numbers = {"time": 6 * 3, "space": 8 * 3}[name]
        by_hand += several[0] * (numbers * 4 + 4 * 4 + 3 * 4)  # embedding and, at the finer length, convolution
        by_hand += sum(length * 6 * 4 * 4 + 2 * length**2 * 4 for length in several)  # layer, attention
    assert network.flops() == 2 * by_hand


def test_unknown_names_are_refused():
    for name in (
        "encoder_q.hi_encoder.t_decoder.weight",
        "encoder_q.fc.weight",
        "encoder_q.hi_encoder.t_encoder.layers.0.norm3.bias",
    ):
        with pytest.raises(KeyError):
            to_ours({name: torch.zeros(1)}, "encoder_q.")
