"""STTFormer and the masked autoencoder on it against numbers of public code: sttformer*.pt and skeletonmae_tuples*.pt
in STARS_PARITY_DIR/baselines.

The masked autoencoder there is a third party's. Its masks, its way through encoder and decoder and its loss are ours;
its attention and its place for positions are not, and are put in for the test.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stars.backbones.clips import clip_features
from stars.backbones.sttformer import Block, Network, SttformerOptions, positions
from stars.data.bodies import bodies_seen
from stars.errors import InputError
from stars.objectives.base import Batch
from stars.objectives.skeleton_mae import Loss, SkeletonMaeOptions
from stars.released.sttformer import ours, to_ours
from stars.views.crop import View

FOLDER = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data" / "parity")) / "baselines"
TINY = 1e-6  # gradient norms below this are zero but for rounding
SMALL = SttformerOptions(frames=24, segment=6, stem=4, blocks=((4, 2), (6, 2)), heads=2)


def fixtures(pattern: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob(pattern))]


def test_there_are_fixtures():
    assert fixtures("sttformer*.pt") and fixtures("skeletonmae_tuples*.pt"), (
        f"no sttformer*.pt or skeletonmae_tuples*.pt in {FOLDER}"
    )


def near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)


def clips(x_bctvm: Tensor) -> View:
    x_bmtvc = x_bctvm.permute(0, 4, 2, 3, 1).contiguous()
    return View(x_bmtvc, bodies_seen(x_bmtvc))


class Supervised:
    """A fixture, and our network with its weights; its classifier, and what each stage makes of a pass over both
    bodies of each clip.
    """

    def __init__(self, path: Path) -> None:
        self.fixture = torch.load(path, weights_only=True)
        cfg = self.fixture["cfg"]
        options = SttformerOptions(
            frames=cfg["num_frames"],
            segment=cfg["len_parts"],
            stem=cfg["config"][0][0],
            blocks=tuple((width, narrow) for _, width, narrow in cfg["config"]),
            heads=cfg["num_heads"],
            kernel=tuple(cfg["kernel_size"]),
        )
        self.network = Network(options, cfg["num_joints"])
        state, classifier = to_ours(self.fixture["state_before"])
        self.network.load_state_dict(state)
        self.classifier = nn.Linear(self.network.width, cfg["num_classes"])
        self.classifier.load_state_dict(classifier)
        self.made: dict[str, Tensor] = {}
        for name, module in {
            "embed": self.network.stem,
            "block0": self.network.blocks[0],
            "last_block": self.network.blocks[-1],
        }.items():
            module.register_forward_hook(lambda _module, _given, made, name=name: self.made.update({name: made}))

    def assert_pass(self, expected: dict[str, Any]) -> Tensor:
        view = clips(self.fixture["x"])
        features = clip_features(self.network, view.x_bmtvc, "all", distinct=False, known=view.bodies)
        logits = self.classifier(features)
        for name, tensor in {**self.made, "features": features, "logits": logits}.items():
            if name in expected:
                near(tensor, expected[name])
        return logits


@pytest.mark.parametrize("path", fixtures("sttformer*.pt"))
def test_backbone_in_training(path):
    """Batch statistics: every stage, the supervised loss, gradients, and running statistics after the pass."""
    case = Supervised(path)
    expected = case.fixture["train"]
    near(case.network.blocks[0].positions, case.fixture["pe_block0_column"])
    case.network.train()
    loss = nn.functional.cross_entropy(case.assert_pass(expected), case.fixture["label"])
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
    loss.backward()
    norms, of_classifier = to_ours({name: torch.tensor(norm) for name, norm in expected["grad_norm"].items()})
    for module, named in ((case.network, norms), (case.classifier, of_classifier)):
        assert_norms(module, {name: norm.item() for name, norm in named.items()})
    state = case.network.state_dict()
    for name, tensor in to_ours(expected["running_after"])[0].items():
        near(state[name], tensor)


@pytest.mark.parametrize("path", fixtures("sttformer*.pt"))
def test_backbone_in_evaluation(path):
    case = Supervised(path)
    case.network.eval()
    case.assert_pass(case.fixture["eval"])
    rows = clips(case.fixture["x"]).x_bmtvc.flatten(0, 1)
    grid_rtvc = case.network.grid(rows)
    assert grid_rtvc.shape == (*rows.shape[:3], case.network.width)
    near(grid_rtvc[:, 7, 3], case.fixture["eval"]["last_block"][:, :, 7 // 6, 7 % 6 * 25 + 3])


def assert_norms(module: nn.Module, expected: dict[str, float]) -> None:
    """Of gradients; those of biases before a batch normalisation are rounding."""
    found = {name: parameter.grad.norm().item() for name, parameter in module.named_parameters()}
    assert found.keys() == expected.keys()
    told = {name: norm for name, norm in expected.items() if norm >= TINY}
    assert {name: found[name] for name in told} == pytest.approx(told, rel=1e-4)
    assert all(found[name] < 10 * TINY for name in expected.keys() - told.keys())


@pytest.mark.parametrize("path", fixtures("sttformer*.pt"))
def test_initialisation_has_the_reference_statistics(path):
    """Constants are equal; of drawn tensors, the spread over all of a kind, each by the fixture's own, is 1 to
    within its sampling error.
    """
    torch.manual_seed(0)
    case = Supervised(path)
    fresh = Network(case.network.options, case.network.joints).state_dict()
    expected = {
        name: values
        for name, values in case.fixture["init_stats"].items()
        if not name.startswith("fc.") and ".pes." not in name
    }
    assert {ours(name) for name in expected} == fresh.keys()
    for name, (mean, std, size) in expected.items():
        drawn = fresh[ours(name)]
        assert drawn.numel() == torch.Size(size).numel(), name
        if std == 0:
            assert drawn.float().unique().tolist() == pytest.approx([mean]), name
        elif name.endswith("weight"):
            assert drawn.std().item() == pytest.approx(std, rel=5 / drawn.numel() ** 0.5), name
            assert abs(drawn.mean().item() - mean) < 8 * std / drawn.numel() ** 0.5, name


class SoftBlock(Block):
    """The third party's attention; its learned bias is one number a head, which the softmax takes out again."""

    def attention(self, x_rctp: Tensor) -> Tensor:
        query, key = self.queries_keys(x_rctp).unflatten(1, (2, self.heads, self.narrow)).unbind(1)
        scores = torch.einsum("rhctp,rhctq->rhpq", query, key) / (self.narrow * x_rctp.shape[2])
        return (scores * self.gain).softmax(-1)


class Masked:
    """A fixture of the third party's masked autoencoder, in our modules; its rows are first bodies, then second
    ones.
    """

    def __init__(self, path: Path) -> None:
        self.fixture = torch.load(path, weights_only=True)
        cfg = self.fixture["cfg"]
        encoder, decoder = (tuple((width, narrow) for _, width, narrow in cfg[side]) for side in ("enc", "dec"))
        options = SttformerOptions(
            frames=cfg["nf"],
            segment=cfg["lp"],
            stem=cfg["enc"][0][0],
            blocks=encoder,
            heads=cfg["nh"],
            kernel=tuple(cfg["ks"]),
        )
        self.network = Network(options, cfg["nj"]).train()
        told = SkeletonMaeOptions(tuple_ratio=cfg["ratio"], joint_ratio=0, decoder=decoder)
        self.loss = Loss({"encoder": self.network}, told, torch.Generator()).train()
        x_mbtvc = clips(self.fixture["x"]).x_bmtvc.transpose(0, 1)
        self.rows = torch.cat([x_mbtvc[0], x_mbtvc[1, self.fixture["two"]]])
        self.no_joint_rv = torch.zeros(len(self.rows), self.network.joints, dtype=torch.bool)
        for blocks in (self.network.blocks, self.loss.decoder):
            for block in blocks:
                if isinstance(block, Block):
                    block.__class__ = SoftBlock
            table = positions(*blocks[0].positions.shape)[:, None]  # seen by all, values as well, and once
            blocks[0].register_forward_pre_hook(lambda _, given, table=table: (given[0] + table.to(given[0].dtype),))

    def parameters(self) -> dict[str, nn.Parameter]:
        """Those that the third party has too."""
        named = {f"network.{name}": one for name, one in self.network.named_parameters()}
        named |= {f"decoder.{name}": one for name, one in self.loss.decoder.named_parameters()}
        named["token"] = self.loss.tokens["tuple"]
        return {name: one for name, one in named.items() if not name.endswith(".always")}

    def ours(self, name: str) -> str:
        """Our name of one of the third party's tensors, as `parameters` has it; "" for those that are no part of
        this.
        """
        if name == "mask_tokens":
            return "token"
        if name.startswith("output_map."):
            return name.replace("output_map", f"decoder.{len(self.loss.decoder) - 1}")
        if name in ("skel_token", "classifier.weight", "classifier.bias") or name.endswith(
            (".att_bias", "running_mean", "running_var", "tracked")
        ):
            return ""
        plain = ours(name.replace(".values", ".alphas").replace("decoder.", "blocks."))
        return plain.replace("blocks", "decoder", 1) if name.startswith("decoder.") else f"network.{plain}"

    def load(self) -> None:
        state = {self.ours(name): tensor for name, tensor in self.fixture["state_before"].items() if self.ours(name)}
        assert state.keys() == self.parameters().keys()
        for name, parameter in self.parameters().items():
            parameter.data.copy_(state[name].reshape(parameter.shape))

    def by_clip(self, made: Tensor) -> Tensor:
        """Rows as (B, M, …), what is not there zeros."""
        first, second = made.float().split([len(self.fixture["x"]), int(self.fixture["two"].sum())])
        found = torch.zeros(len(first), 2, *made.shape[1:])
        found[:, 0], found[self.fixture["two"], 1] = first, second
        return found


@pytest.fixture(params=fixtures("skeletonmae_tuples*.pt"))
def masked(request) -> Masked:
    case = Masked(request.param)
    case.load()
    return case


@torch.no_grad()
def test_masked_autoencoders_way(masked):
    """What enters the first block, latent, reconstruction and what is hidden; ours in float64, so that one side's
    rounding alone is left.
    """
    fixture, loss, network, keep_rk = (
        masked.fixture,
        masked.loss.double(),
        masked.network.double(),
        masked.fixture["ids_keep"],
    )
    rows = masked.rows.double()
    embedded = network.stem(network.tuples(rows))[0] + positions(*network.blocks[0].positions.shape)[:, None]
    near(embedded.float(), fixture["embed_row0"])
    latent = loss.encoded(network, rows, keep_rk, masked.no_joint_rv)
    near(latent.float(), fixture["latent"])
    made = masked.by_clip(network.frames_of(loss.decoded(latent, keep_rk)))
    there_bm = torch.stack([torch.ones_like(fixture["two"]), fixture["two"]], 1)
    near(made[there_bm], clips(fixture["reconstruction"]).x_bmtvc[there_bm])
    hidden = masked.by_clip(loss.hidden(keep_rk, masked.no_joint_rv, network.segment).all(-1).float())
    assert torch.equal(hidden, fixture["mask_frames"].transpose(1, 2))


def test_masked_autoencoders_loss_and_gradients(masked, monkeypatch):
    """Ours in float64, so that one side's rounding alone is left: that of the release's float32 gradients is 9e-4, and
    ours in float32 has the same only with the same kernels.
    """
    fixture, loss, network = masked.fixture, masked.loss.double(), masked.network.double()
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    noise, no_joint_rv = fixture["noise"].double(), masked.no_joint_rv.double()
    error_r, seen_rc = loss.errors(network, masked.rows.double(), noise, no_joint_rv)
    assert error_r.mean().item() == pytest.approx(fixture["loss_masked"], rel=1e-5)
    near(seen_rc.to(torch.float32), fixture["latent"].mean((2, 3)))
    error_r.mean().backward()
    expected = {masked.ours(name): norm for name, norm in fixture["grad_norm"].items() if masked.ours(name)}
    assert expected.keys() == masked.parameters().keys()
    told = {name: norm for name, norm in expected.items() if norm >= TINY}
    found = {name: masked.parameters()[name].grad.norm().item() for name in told}
    assert found == pytest.approx(told, rel=2e-3)


def small(generator: torch.Generator, **changes: float) -> tuple[Network, Loss, Tensor]:
    """A network, its objective and three clips of two bodies, one of them absent."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(SMALL, 5).train()
        loss = Loss({"encoder": network}, SkeletonMaeOptions(decoder=((4, 2), (2, 1)), **changes), generator).train()
    x_bmtvc = torch.randn(3, 2, SMALL.frames, 5, 3, generator=torch.Generator().manual_seed(1))
    x_bmtvc[0, 1] = 0
    return network, loss, x_bmtvc


def test_what_is_hidden_and_that_nothing_of_it_is_seen_by_the_blocks():
    """Two of four tuples, and two of five joints in the rest. Batch normalisation apart, hidden coordinates change
    nothing but the target.
    """
    network, loss, x_bmtvc = small(torch.Generator())
    rows = x_bmtvc.flatten(0, 1)
    noise_rt, noise_rv = torch.rand(len(rows), 4), torch.rand(len(rows), 5)
    keep_rk, joint_rv = noise_rt.argsort(1)[:, :2].sort(1).values, noise_rv >= noise_rv.sort(1).values[:, 3:4]
    hidden = loss.hidden(keep_rk, joint_rv, SMALL.segment)
    assert torch.equal(hidden.sum((1, 2)), torch.full((len(rows),), 12 * 5 + 12 * 2))
    network.eval()
    latent = loss.encoded(network, rows, keep_rk, joint_rv)
    assert torch.equal(
        loss.encoded(network, torch.where(hidden[..., None], torch.randn_like(rows), rows), keep_rk, joint_rv), latent
    )
    error_r, _ = loss.errors(network, rows, noise_rt, noise_rv)
    made = network.frames_of(loss.decoded(latent, keep_rk))
    torch.testing.assert_close(
        error_r, torch.stack([(made - rows)[row][hidden[row]].square().mean() for row in range(len(rows))])
    )


def test_a_step_of_masked_autoencoding_draws_from_its_generator_alone_and_repeats():
    """Its loss is the mean over present bodies."""
    losses = []
    for _ in range(2):
        network, loss, x_bmtvc = small(torch.Generator())
        clips_b, known = torch.arange(3), torch.get_rng_state()
        batch = Batch(
            {"only": View(x_bmtvc, bodies_seen(x_bmtvc))}, clips_b, torch.zeros(3), torch.Generator().manual_seed(2)
        )
        total, _ = loss(batch, {"encoder": network})
        total.backward()
        assert torch.equal(torch.get_rng_state(), known) and batch.seen.shape == (5, network.width)
        losses.append((total, next(network.parameters()).grad))
    assert torch.equal(losses[0][0], losses[1][0]) and torch.equal(losses[0][1], losses[1][1])
    generator = torch.Generator().manual_seed(2)
    noise_rt, noise_rv = (torch.rand(3, 2, size, generator=generator).flatten(0, 1)[[0, 2, 3, 4, 5]] for size in (4, 5))
    network, loss, x_bmtvc = small(torch.Generator())
    error_r, _ = loss.errors(network, x_bmtvc.flatten(0, 1)[[0, 2, 3, 4, 5]], noise_rt, noise_rv)
    torch.testing.assert_close(losses[0][0], error_r.mean())


def test_ratios_that_hide_nothing_or_everything_are_refused():
    for changes in ({"tuple_ratio": 0.9}, {"tuple_ratio": 0, "joint_ratio": 0}):
        with pytest.raises(InputError, match="must hide some but not all"):
            small(torch.Generator(), **changes)


def test_layers_hold_every_parameter_once_and_unknown_names_are_refused():
    network = Network(SMALL, 5)
    parts = [part for several in network.layers() for part in several]
    assert sorted(id(parameter) for part in parts for parameter in part.parameters()) == sorted(
        map(id, network.parameters())
    )
    for name in ("blocks.0.gamma", "blocks.0.in_net.0.weight", "input_map.3.weight", "head.weight"):
        with pytest.raises(KeyError):
            to_ours({name: torch.zeros(1)})
