"""SkeAttnCLR against numbers of its release's own modules: the fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import pytest
import torch
import yaml
from pydantic import ValidationError
from test_parity_st_gcn import PARENTS, clips, load, near
from tiny import ROOT
from torch import Tensor

from stars.backbones.body import body_parts
from stars.backbones.clips import clip_features
from stars.backbones.st_gcn import Network, StGcnOptions
from stars.errors import InputError
from stars.objectives import skeattnclr
from stars.objectives.base import Batch
from stars.objectives.teacher import momentum_at
from stars.released.st_gcn import to_ours

FIXTURE = "skeattnclr"
HEADS = {"mlp.0": "0", "mlp.1": "1", "mlp.3": "3"}  # convolutions of length 1: matrices
PREDICTORS = {"whole": "predictor", "salient": "predictor_s", "other": "predictor_ns"}
MASK = {"norm0": "norm", "Attn.qkv": "attention.qkv", "Attn.proj": "attention.out"}


def network(fixture: dict, stream: str = "joint") -> Network:
    call = fixture["call"]
    options = StGcnOptions(
        frames=fixture["x_q"].shape[2],
        channels=call["hidden_channels"],
        width=call["hidden_dim"],
        dropout=0.0,
        graph="parents",
        stream=stream,
    )
    return Network(options, 25, PARENTS, 2).train()


def options(fixture: dict, **changes: object) -> skeattnclr.SkeAttnClrOptions:
    call = fixture["call"]
    told = {
        "dimension": call["feature_dim"],
        "queue": call["queue_size"],
        "momentum": call["momentum"],
        "temperature": call["Temperature"],
        "hidden": call["hidden_dim"],
        "heads": call["heads"],
        "sharpness": call["Lambda"],
        "salient": fixture["mu"],
        "mixed_parts": (call["spa_l"], call["spa_u"]),
        "mixed_steps": (call["tem_l"], call["tem_u"]),
    }
    return skeattnclr.SkeAttnClrOptions(**(told | changes))


def part(named: dict, prefix: str, ours: dict[str, str]) -> dict:
    """Of the fixture's tensors or numbers after `prefix`, those of a module, under our names."""
    own = {name.removeprefix(f"{prefix}."): value for name, value in named.items() if name.startswith(f"{prefix}.")}
    return {
        f"{our}.{name.removeprefix(f'{their}.')}": (
            value.squeeze(-1) if isinstance(value, Tensor) and value.ndim == 3 else value
        )
        for their, our in ours.items()
        for name, value in own.items()
        if name.startswith(f"{their}.")
    }


def filled(fixture: dict, stream: str = "joint", **changes: object) -> tuple[skeattnclr.Loss, Network]:
    """The objective with a fixture's weights, and its network."""
    state, own = fixture["state_before"], network(fixture, stream)
    own.load_state_dict(to_ours(state, "encoder_q.backbone.")[0])
    loss = skeattnclr.Loss({"encoder": own}, options(fixture, **changes), torch.Generator()).train()
    loss.projector.load_state_dict(part(state, "encoder_q.neck.proj", HEADS))
    loss.mask.load_state_dict(part(state, "encoder_q.neck", MASK))
    for ours, theirs in PREDICTORS.items():
        loss.predictors[ours].load_state_dict(part(state, theirs, HEADS))
    loss.target.encoder.load_state_dict(to_ours(state, "encoder_k.backbone.")[0])
    loss.target.head.load_state_dict(part(state, "encoder_k.neck.proj", HEADS))
    loss.queue.entries.copy_(state["queue_z"].T)
    return loss, own


def step(fixture: dict, loss: skeattnclr.Loss, own: Network) -> tuple[Tensor, dict[str, Tensor]]:
    """The step that the release drew: its mask is of features, ours of frames."""
    views = {name: clips(fixture[f"x_{name[0]}"]) for name in ("query", "key")}
    taken_tv = fixture["mask_tv"].repeat_interleave(skeattnclr.STRIDE, 0)[: own.frames]
    batch = Batch(views, torch.arange(len(fixture["x_q"])), torch.zeros(len(fixture["x_q"])), torch.Generator())
    return loss.mixed(batch, own, fixture["shift"], taken_tv)


def test_the_graph_and_the_features():
    fixture = load(FIXTURE)
    own, state = network(fixture), fixture["state_before"]
    near(own.partition, state["encoder_q.backbone.A"])
    own.load_state_dict(to_ours(state, "encoder_q.backbone.")[0])
    near(clip_features(own.eval(), clips(fixture["x_q"]).x_bmtvc), fixture["features_eval"])


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_losses_of_each_stream(stream):
    """Parts are exchanged before a stream shows the clip: motion jumps where they begin."""
    fixture = load(FIXTURE)
    whole, salient, other = fixture["losses"][stream]
    total, facts = step(fixture, *filled(fixture, stream))
    near(facts["salient_loss"], salient)
    near(facts["other_loss"], other)
    near(total, whole + fixture["mu"] * salient + (1 - fixture["mu"]) * other)


def test_gradients_of_a_step_and_its_queue(monkeypatch):
    """Ours in float64, so that the fixture's rounding alone is left: in float32 it depends on the processor (5e-4
    without AVX).
    """
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # features of bodies become float32 in any arithmetic
    fixture = load(FIXTURE)
    loss, own = filled(fixture)
    loss, own = loss.double(), own.double()
    fixture |= {name: fixture[name].double() for name in ("x_q", "x_k")}
    total, _ = step(fixture, loss, own)
    near(total.detach().to(torch.float32), fixture["loss"])
    total.backward()
    norms, compared = fixture["grad_norm"], 0
    largest = max(norms.values())
    of_network = {name: norm for name, norm in norms.items() if name.startswith("encoder_q.backbone.")}
    pairs = [
        (own, to_ours(of_network, "encoder_q.backbone.")[0]),
        (loss.projector, part(norms, "encoder_q.neck.proj", HEADS)),
    ]
    pairs += [(loss.mask, part(norms, "encoder_q.neck", MASK))]
    pairs += [(loss.predictors[ours], part(norms, theirs, HEADS)) for ours, theirs in PREDICTORS.items()]
    assert sum(len(expected) for _, expected in pairs) == len(norms)
    for module, expected in pairs:
        for name, norm in expected.items():
            if norm > 1e-4 * largest:  # the others are zero but for rounding: biases before a norm
                assert module.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-4), name
                compared += 1
    assert compared > 80
    near(loss.queue.entries.T.to(torch.float32), fixture["queue_after"])


def test_the_key_network_follows_after_a_step():
    """Half a cosine from the momentum to 1, once the query side has its new weights."""
    fixture = load(FIXTURE)
    told, after = fixture["momentum"], fixture["key_after"]
    for done, expected in zip(told["current"], told["values"], strict=True):
        assert momentum_at(done + 1, told["steps"], fixture["call"]["momentum"], 1.0) == pytest.approx(expected)
    loss, own = filled(fixture)
    loss.after({"encoder": own}, told["current"][1] + 1, told["steps"])
    expected = to_ours(after, "backbone.")[0]
    compared = [(loss.target.encoder, expected), (loss.target.head, part(after, "neck.proj", HEADS))]
    for module, tensors in compared:
        parameters = dict(module.named_parameters())
        assert tensors
        for name, tensor in tensors.items():
            if name in parameters:  # running statistics are of no use to a key network
                near(parameters[name], tensor)


def test_what_is_drawn_is_some_parts_for_one_stretch():
    loss, own = filled(load(FIXTURE), mixed_parts=(2, 4), mixed_steps=(1, 3))
    generator, lengths, parts = torch.Generator().manual_seed(0), set(), set()
    for _ in range(60):
        taken_tv = loss.place(own, generator)
        frames = taken_tv.any(1).nonzero().flatten()
        joints = set(taken_tv.any(0).nonzero().flatten().tolist())
        chosen = [part for part in loss.parts if joints >= set(part)]
        assert joints == {joint for part in chosen for joint in part} and taken_tv.sum() == len(frames) * len(joints)
        assert frames[0] % skeattnclr.STRIDE == 0 and frames[-1] - frames[0] + 1 == len(frames)
        lengths.add(-(-len(frames) // skeattnclr.STRIDE))
        parts.add(len(chosen))
    assert lengths == {1, 2, 3} and parts == {2, 3, 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, r"heads \(3\) must divide the backbone's width \(16\)"),
        ({"mixed_steps": (1, 6)}, r"mixed_steps \(6, of 4 frames each\) do not fit into clips of 18 frames"),
        ({"mixed_parts": (3, 6)}, r"mixed_parts \(6\) must not be more than the 5 body parts"),
        ({"parts": ((0, 1), (2, 25), (3,))}, r"parts contain joint 25, but clips have joints 0 to 24"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        filled(load(FIXTURE), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixed_parts": (4, 3)}, "mixed_parts must be"),
        (
            {"mixed_parts": (3, 6), "parts": tuple((joint,) for joint in range(5))},
            r"\(6\) must not be more than the 5 parts",
        ),
    ],
)
def test_ranges_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        skeattnclr.SkeAttnClrOptions(**changes)


@pytest.mark.parametrize(
    ("skeleton", "parts"),
    [
        (
            "kinect_v2",
            [[0, 1, 2, 3, 20], [4, 5, 6, 7, 21, 22], [8, 9, 10, 11, 23, 24], [12, 13, 14, 15], [16, 17, 18, 19]],
        ),
        ("kinect_v1", [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19]]),
    ],
)
def test_body_parts_are_those_of_the_release_and_of_other_skeletons(skeleton, parts):
    parents = yaml.safe_load((ROOT / f"config/skeletons/{skeleton}.yaml").read_text())["parents"]
    assert sorted(sorted(part) for part in body_parts(tuple(parents))) == parts
