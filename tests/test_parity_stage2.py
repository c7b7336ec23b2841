"""Stage 2 against numbers that the released modules made: every stars_stage2*.pt and stars_nnclr*.pt in
STARS_PARITY_DIR/baselines.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stars.backbones.clips import clip_features
from stars.backbones.transformer import Network
from stars.config import Model, Nnclr, Tune, TuneOptimiser
from stars.data.bodies import bodies_seen
from stars.objectives.base import Batch
from stars.objectives.nnclr import Loss, nnclr_loss
from stars.objectives.queue import Queue
from stars.released.mamp import to_ours
from stars.training.optimiser import clip_gradients, optimiser_of
from stars.training.trained import Trained
from stars.training.tune import TuneStage, tuning
from stars.views.crop import View

FOLDER = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data" / "parity")) / "baselines"
STUDENT = "encoder_student."
# a BatchNorm behind them takes shifts and scales out again: their gradients are rounding, their steps not to be
# compared
FREE = {
    *("encoder.norm.weight", "encoder.norm.bias", "projector.bias", "projector.running_mean", "predictor.widen.bias"),
    "predictor.norm.running_mean",
}
# Of the encoder and the heads: a BatchNorm behind them takes them out again
SHIFTS = {"norm.bias", "projector.bias", "predictor.widen.bias"}
PARTS = {"head.projector.0": "projector", "projector": "projector"} | {
    f"{head}predictor.{number}": f"predictor.{part}"
    for head in ("head.", "")
    for number, part in enumerate(("widen", "norm", "", "narrow"))
    if part
}


def fixtures(pattern: str) -> list:
    return [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob(pattern))]


def test_there_are_fixtures():
    assert fixtures("stars_stage2*.pt") and fixtures("stars_nnclr*.pt"), (
        f"no stars_stage2*.pt or stars_nnclr*.pt in {FOLDER}"
    )


def head_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The heads' tensors by our names."""
    found = {}
    for name, tensor in state.items():
        module, _, kind = name.removeprefix(STUDENT).rpartition(".")
        if module in PARTS:
            found[f"{PARTS[module]}.{kind}"] = tensor
    return found


def encoder_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors by our names."""
    own = {
        name.removeprefix(STUDENT): tensor
        for name, tensor in state.items()
        if name.startswith(STUDENT) and ".head." not in name
    }
    return {name.removeprefix("encoder."): tensor for name, tensor in to_ours(own).items()}


def fill_queue(queue: Queue, entries_cq: Tensor, owners: Tensor, pointer: Tensor | int) -> None:
    queue.entries.copy_(entries_cq.T)
    queue.owners.copy_(owners)
    queue.pointer.fill_(int(pointer))


def assert_queue(queue: Queue, entries_cq: Tensor, owners: Tensor, pointer: int) -> None:
    torch.testing.assert_close(queue.entries, entries_cq.T, atol=2e-5, rtol=0)
    assert torch.equal(queue.owners, owners) and int(queue.pointer) == pointer


def assert_norms(module: nn.Module, expected: dict[str, float]) -> None:
    """L2 norms of gradients by our names.

    Biases and scales before a BatchNorm have gradients that are zero but for rounding: hence a tolerance by the largest
    norm.
    """
    norms = {
        name: parameter.grad.norm().item()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    compared = {name: norm for name, norm in expected.items() if name in norms}
    assert compared and {name: norms[name] for name in compared} == pytest.approx(
        compared, rel=1e-4, abs=1e-5 * max(compared.values())
    )


def without_rounding(module: nn.Module) -> None:
    """Gradients that are zero but for rounding, set to zero: divided by their own size, Adam's steps would be
    another processor's.
    """
    for name, parameter in module.named_parameters():
        if name in SHIFTS:
            parameter.grad.zero_()


def assert_state(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Weights after five steps, but for FREE."""
    for name in theirs.keys() - FREE:
        torch.testing.assert_close(
            ours[name], theirs[name], atol=2e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def heads_loss(width: int, options: Nnclr, state: dict[str, Tensor]) -> Loss:
    """The strategy with a fixture's heads and queue; it looks at an encoder's width alone."""
    encoder = Network(
        Model(frames=4, segment=4, width=width, depth=1, heads=1, hidden=4, decoder_width=4, decoder_depth=1), 2
    )
    loss = Loss({"encoder": encoder}, options, torch.Generator())
    loss.heads().load_state_dict(head_state(state))
    fill_queue(loss.queue, state["queue"], state["queue_id"], state["queue_ptr"])
    return loss.train()


@pytest.mark.parametrize("path", fixtures("stars_nnclr*.pt"))
def test_loss_queue_and_clipping_of_two_views(path):
    """Five steps of heads and queue: neighbours, losses, gradients before and after clipping, and weights at the
    end.
    """
    fixture = torch.load(path, weights_only=True)
    cfg, state = fixture["cfg"], fixture["state_before"]
    bias = f"{STUDENT}predictor.0.bias" in state
    loss = heads_loss(
        cfg["dim"],
        Nnclr(
            queue=cfg["queue"],
            temperature=cfg["temperature"],
            views=2,
            predictor_hidden=cfg["hidden"],
            predictor_bias=bias,
        ),
        state,
    )
    told = TuneOptimiser(
        lr=cfg["lr"],
        betas=cfg["betas"],
        weight_decay=cfg["weight_decay"],
        clip_norm=cfg["clip_each"],
        min_lr=0,
        warmup_epochs=0,
    )
    optimiser = optimiser_of([(loss.heads(), 1.0)], told)
    for group in optimiser.param_groups:
        group["eps"] = cfg["eps"]
    for step in fixture["steps"]:
        batch = GivenFeatures([step["y_0"], step["y_1"]], step["ids"])
        total, _ = loss(batch, {"encoder": None})
        for view, other in ((0, 1), (1, 0)):
            term = nnclr_loss(step[f"neighbour_{other}"].T, step[f"predict_{view}"], cfg["temperature"]).item()
            assert term == pytest.approx(step[f"loss_{view}"], rel=1e-5)
        assert total.item() == pytest.approx(step["loss"], rel=1e-5)
        optimiser.zero_grad()
        total.backward()
        assert_norms(loss, head_norms(step["grad_norm"]))
        without_rounding(loss)
        clip_gradients(loss, told)
        assert_norms(loss, head_norms(step["grad_norm_clipped"]))
        optimiser.step()
        assert_queue(loss.queue, step["queue_after"], step["queue_id_after"], step["pointer_after"])
    assert_state(loss.heads().state_dict(), head_state(fixture["state_after"]))
    placed = Queue(cfg["queue"], cfg["dim"], "random", torch.Generator())
    fill_queue(placed, state["queue"], state["queue_id"], state["queue_ptr"])
    for step in fixture["steps"]:  # the queue alone, given the released projections
        for view in (0, 1):
            found, _ = placed.nearest(step[f"project_{view}"], step["ids"], exclude_self=True)
            torch.testing.assert_close(found, step[f"neighbour_{view}"].T, atol=1e-6, rtol=0)
        placed.update(step["project_0"], step["ids"])
        torch.testing.assert_close(placed.entries, step["queue_after"].T, atol=1e-6, rtol=0)


class GivenFeatures:
    """A step whose pooled features are given."""

    generator = None

    def __init__(self, y_views: list[Tensor], clips: Tensor) -> None:
        self.y_views, self.clips, self.views = y_views, clips, ("first", "second")

    def features(self, network: None, *names: str) -> list[Tensor]:
        return self.y_views

    def agreement(self, others: Tensor) -> Tensor:
        return torch.zeros(())


def head_norms(norms: dict[str, float]) -> dict[str, float]:
    return {name: norm.item() if isinstance(norm, Tensor) else norm for name, norm in head_state(norms).items()}


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("path", fixtures("stars_stage2*.pt"))
def test_five_steps_of_stage_2(path, views):
    """Encoder, heads, queue, rates by layer, weight decay and clipping as released. Its two views are identical, so
    one gives the same.
    """
    fixture = torch.load(path, weights_only=True)
    cfg, state = fixture["cfg"], fixture["state_before"]
    shape = Model(
        frames=cfg["num_frames"],
        segment=cfg["t_patch_size"],
        width=cfg["dim_feat"],
        depth=cfg["depth"],
        heads=cfg["num_heads"],
        hidden=cfg["dim_feat"] * cfg["mlp_ratio"],
        decoder_width=cfg["dim_feat"],
    )
    encoder = Network(shape, cfg["num_joints"])
    encoder.load_state_dict(encoder_state(state))
    queue = len(state["queue_id"])
    told = Tune(
        layer_decay=fixture["alpha"],
        nnclr=Nnclr(
            queue=queue, temperature=fixture["temperature"], predictor_hidden=cfg["predictor_hidden_dim"], views=views
        ),
        optimiser=TuneOptimiser(
            lr=fixture["base_lr"],
            betas=fixture["betas"],
            weight_decay=fixture["weight_decay"],
            clip_norm=fixture["clip_each"],
            min_lr=0,
            warmup_epochs=0,
        ),
    )
    model = tuning(encoder, TuneStage(seed=0, tune=told)).train()
    loss = model.objective
    loss.heads().load_state_dict(head_state(state))
    fill_queue(loss.queue, state["queue"], state["queue_id"], state["queue_ptr"])
    optimiser = optimiser_of(model.parts(), told.optimiser)
    for group in optimiser.param_groups:
        group |= {"eps": fixture["eps"], "lr": fixture["base_lr"] * group["scale"]}
    assert_rates(model, optimiser, fixture["learning_rates"])
    x_bmtvc = fixture["pool"].permute(0, 4, 2, 3, 1).contiguous()
    for step in fixture["steps"]:
        view = whole(x_bmtvc[step["ids"]])
        given = dict.fromkeys(("first", "second")[:views], view)
        batch = Batch(given, step["ids"], torch.zeros(len(x_bmtvc), dtype=torch.long), torch.Generator())
        total, _ = loss(batch, model.by_name)
        assert total.item() == pytest.approx(step["loss"], rel=1e-5)
        optimiser.zero_grad()
        total.backward()
        assert_norms(encoder, encoder_norms(step["grad_norm"]))
        assert_norms(loss, head_norms(step["grad_norm"]))
        without_rounding(encoder)
        without_rounding(loss)
        clip_gradients(model, told.optimiser)
        optimiser.step()
        assert_queue(loss.queue, step["queue"], step["queue_id"], int(step["pointer"]))
    after = fixture["state_after"]
    ours = {**{f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}, **loss.heads().state_dict()}
    theirs = {**to_ours(encoder_names(after)), **head_state(after)}
    statistics = ("running_mean", "running_var", "num_batches_tracked")  # with one view counted once, with two twice
    assert_state(ours, {name: tensor for name, tensor in theirs.items() if views == 2 or not name.endswith(statistics)})
    y_bc = clip_features(encoder.eval(), x_bmtvc, "all", known=whole(x_bmtvc).bodies)
    shifts = encoder.norm.bias, after[f"{STUDENT}norm.bias"]
    torch.testing.assert_close(y_bc - shifts[0], fixture["features_after_eval"] - shifts[1], atol=2e-4, rtol=1e-4)


def encoder_names(state: dict) -> dict:
    return {
        name.removeprefix(STUDENT): value
        for name, value in state.items()
        if name.startswith(STUDENT) and ".head." not in name
    }


def encoder_norms(norms: dict[str, float]) -> dict[str, float]:
    """Norms do not change with a layout."""
    renamed = to_ours({name: torch.zeros(1, 1, 1, 1) for name in norms if "head" not in name})
    given = [norm for name, norm in norms.items() if "head" not in name]
    return {name.removeprefix("encoder."): norm for name, norm in zip(renamed, given, strict=True)}


def assert_rates(model: Trained, optimiser: torch.optim.Optimizer, expected: dict[str, float]) -> None:
    """The learning rate of every tuned tensor, and that no other is tuned."""
    rates = {id(parameter): group["lr"] for group in optimiser.param_groups for parameter in group["params"]}
    released = {name: torch.tensor(rate) for name, rate in expected.items()}
    heads = head_state(released)
    encoders = to_ours({name: rate for name, rate in released.items() if not name.startswith("head.")})
    names = {**{name.removeprefix("encoder."): rate for name, rate in encoders.items()}}
    ours = {name: rates[id(one)] for name, one in model.by_name["encoder"].named_parameters() if id(one) in rates}
    assert ours == pytest.approx({name: rate.item() for name, rate in names.items()})
    assert {name: rates[id(one)] for name, one in model.objective.heads().named_parameters()} == pytest.approx(
        {name: rate.item() for name, rate in heads.items()}
    )


def whole(x_bmtvc: Tensor) -> View:
    """Clips as views of themselves."""
    return View(x_bmtvc, bodies_seen(x_bmtvc))
