"""Model: sizes, settings, features of distinct bodies, weights as files."""

from __future__ import annotations

import argparse
import pickle
import runpy

import pytest
import torch
from masked import MaskedMotion

from stars.backbones import attention
from stars.backbones import clips as clips_module
from stars.backbones.clips import clip_features
from stars.backbones.transformer import Network
from stars.config import Model, Motion
from stars.errors import InputError
from stars.objectives.heads import Predictor, Projector
from stars.objectives.mamp import choose_mask, mask_score, motion_target
from stars.released.checkpoint import import_released
from stars.released.mamp import ours, released, to_ours, to_released
from stars.training.weights import load_encoder, load_heads, save_encoder, save_heads

SMALL = Model(
    frames=16, segment=4, width=16, depth=3, heads=2, hidden=24, decoder_width=8, decoder_depth=1, decoder_hidden=20
)
JOINTS = 5


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("depth", "decoder"), [(5, 4_032_524), (3, 2_453_004)])
def test_parameters_at_the_papers_size(depth, decoder):
    model = MaskedMotion(Model(decoder_depth=depth), Motion(), joints=25)
    assert (size(model.encoder), size(model.decoder)) == (6_336_000, decoder)
    assert size(model) == 6_336_000 + decoder


@pytest.mark.parametrize(("stride", "m"), [(None, 4), (1, 1), (3, 3), (8, 8)])
def test_motion_of_equation_1_and_of_the_release(stride, m):
    x = torch.randn(2, 16, JOINTS, 3)
    paper, release = torch.zeros_like(x), torch.zeros_like(x)
    for t in range(16):
        later = max(t, t % m + m)  # the first m frames repeat the m after them
        paper[:, t] = x[:, later] - x[:, later - m]
        if t + m < 16:
            release[:, t] = x[:, t + m] - x[:, t]
    for target, motion in (("paper", paper), ("release", release)):
        tokens = motion_target(x, Motion(target=target, stride=stride, normalise=False), 4)
        for t in range(4):
            for v in range(JOINTS):
                assert torch.equal(tokens[:, t * JOINTS + v], motion[:, 4 * t : 4 * t + 4, v].flatten(1))


def test_mask_score_of_equation_2():
    x = torch.randn(2, 16, JOINTS, 3)
    x[1] = 0
    score = mask_score(x, Motion(temperature=2.0), 4)
    intensity = motion_target(x, Motion(normalise=False), 4).abs().sum(-1)
    torch.testing.assert_close(score, torch.log_softmax(intensity / 2.0, 1))
    assert torch.equal(score[1], torch.full_like(score[1], 1 / 20).log())
    assert mask_score(x, Motion(temperature=0.0), 4) is None


def test_stage_1_equals_equations_1_to_4_written_out():
    """Body by body, token by token: motion, its intensity, the top K of log π + Gumbel noise, the decoder's input,
    the error over what is hidden.
    """
    model, x, noise = (
        MaskedMotion(SMALL, Motion(ratio=0.7, temperature=0.5), JOINTS),
        torch.randn(3, 16, JOINTS, 3),
        torch.rand(3, 20),
    )
    x[2] = 0
    errors = []
    for body, eps in zip(x, noise, strict=True):
        moves = [body[max(t, t % 4 + 4)] - body[max(t, t % 4 + 4) - 4] for t in range(16)]
        tokens = [
            torch.stack([moves[4 * t + f][v] for f in range(4)]).flatten() for t in range(4) for v in range(JOINTS)
        ]
        pi = torch.stack([token.abs().sum() / 0.5 for token in tokens]).softmax(0)
        score = pi.log() - torch.log(-torch.log(eps))
        masked = set(score.topk(20 - int(20 * (1 - 0.7))).indices.tolist())
        seen = torch.tensor(sorted(set(range(20)) - masked))
        latent = dict(
            zip(seen.tolist(), model.decoder.embed(model.encoder.tokens(body[None], seen[None])[0]), strict=True)
        )
        places = model.decoder.positions()
        filled = torch.stack([latent.get(token, model.decoder.mask_token[0]) + places[token] for token in range(20)])[
            None
        ]
        for block in model.decoder.blocks:
            filled = block(filled)
        predicted = model.decoder.predict(model.decoder.norm(filled))[0]
        for token in masked:
            target = (tokens[token] - tokens[token].mean()) / (tokens[token].var() + 1e-6).sqrt()
            errors.append((predicted[token] - target).square().mean())
    slow, fast = torch.stack(errors).mean(), model(x, noise)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)
    ours, theirs = (torch.autograd.grad(total, list(model.parameters())) for total in (fast, slow))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_mask_hides_what_moves_and_its_order_can_be_undone():
    tokens, rows = 40, 400
    score = torch.zeros(rows, tokens)
    score[:, :10] = 5.0
    keep, restore, hidden = choose_mask(score, torch.rand(rows, tokens), 0.5)
    assert keep.shape == (rows, 20) and torch.equal(hidden.sum(1), torch.full((rows,), 20.0))
    assert hidden[:, :10].mean() > 0.95 > 0.5 > hidden[:, 10:].mean()
    assert not hidden.gather(1, keep).any()
    assert torch.equal(restore.gather(1, keep), torch.arange(20).expand(rows, -1))
    assert choose_mask(None, torch.rand(1, 750), 0.9)[0].shape[1] == 74


@pytest.mark.parametrize(("changes", "word"), [({"stride": 9}, "stride"), ({"ratio": 0.96}, "ratio")])
def test_motion_settings_that_leave_nothing_are_refused(changes, word):
    with pytest.raises(InputError, match=word):
        MaskedMotion(SMALL, Motion(**changes), JOINTS)


def some_bodies() -> torch.Tensor:
    """Clips of two different bodies, body and copy, body and none, none and body, none at all; and of three."""
    x = torch.randn(5, 3, 16, JOINTS, 3)
    x[1, 1], x[1, 2], x[2, 1:], x[3, 0], x[3, 2], x[4] = x[1, 0], 0, 0, 0, x[3, 1], 0
    return x


def slow_features(encoder: Network, x_bmtvc: torch.Tensor, bodies: str) -> torch.Tensor:
    features = []
    for clip in x_bmtvc:
        present = [body for body in clip if body.any()] or [clip[0]]
        chosen = list(clip) if bodies == "all" else present
        features.append(torch.stack([encoder.tokens(body[None])[0].mean(0) for body in chosen]).mean(0))
    return torch.stack(features)


@pytest.mark.parametrize("bodies", ["all", "present"])
@pytest.mark.parametrize("clips", [slice(None), slice(0, 2), slice(4, 5)])
def test_distinct_bodies_give_the_features_and_gradients_of_all(bodies, clips):
    encoder, x = Network(SMALL, JOINTS), some_bodies()[clips]
    weights, results = torch.randn(len(x), SMALL.width), []
    for features in (clip_features(encoder, x, bodies), slow_features(encoder, x, bodies)):
        gradients = torch.autograd.grad((features * weights).sum(), list(encoder.parameters()))
        results.append((features.detach(), gradients))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_each_distinct_body_is_encoded_once():
    encoder, rows = Network(SMALL, JOINTS), []
    encoder.register_forward_pre_hook(lambda _, arguments: rows.append(len(arguments[0])))
    clip_features(encoder, some_bodies(), "all")  # 3 + 1 + 1 + 2 present and no copy of body 1, and the empty one
    clip_features(encoder, some_bodies()[:4], "present")
    assert rows == [8, 7]


@pytest.mark.parametrize(("cached", "parts"), [(1, [1] * 8), (3 * 20 * 24, [3, 3, 2]), (1 << 20, [8])])
@torch.no_grad()
def test_a_cpu_encodes_few_bodies_at_a_time_with_the_same_result(monkeypatch, cached, parts):
    encoder, x, rows = Network(SMALL, JOINTS), some_bodies(), []
    whole = clip_features(encoder, x)
    monkeypatch.setattr(clips_module, "CACHED", cached)
    encoder.register_forward_pre_hook(lambda _, arguments: rows.append(len(arguments[0])))
    torch.testing.assert_close(clip_features(encoder, x), whole, rtol=1e-5, atol=1e-6)
    assert rows == parts
    with torch.enable_grad():
        clip_features(encoder, x)
    assert rows == [*parts, 8]  # for a backward pass all is kept anyway


def test_attention_of_bf16_is_computed_in_float32_where_there_are_no_matrix_units(monkeypatch):
    query, key, value = (torch.randn(2, 2, 9, 8).bfloat16() for _ in range(3))
    exact, outs = (query.float() @ key.float().mT / 8**0.5).softmax(-1) @ value.float(), {}
    with torch.autocast("cpu", torch.bfloat16):
        for units in (True, False):
            monkeypatch.setattr(attention, "MATRIX_UNITS", units)
            outs[units] = attention.attend(query, key, value)
    assert [outs[units].dtype for units in (True, False)] == [torch.bfloat16, torch.float32]
    torch.testing.assert_close(outs[False], exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outs[True].float(), exact, rtol=0.05, atol=0.02)


def test_attention_with_matrix_units_has_the_gradients_of_float32(monkeypatch):
    """Forward in bf16, backward in float32: within the rounding of the output that the backward pass reads."""
    inputs = [torch.randn(2, 2, 9, 8).bfloat16() for _ in range(3)]
    gradients = {}
    for units in (True, False):
        monkeypatch.setattr(attention, "MATRIX_UNITS", units)
        trained = [tensor.clone().requires_grad_() for tensor in inputs]
        with torch.autocast("cpu", torch.bfloat16):
            attention.attend(*trained).float().square().sum().backward()
        gradients[units] = torch.stack([tensor.grad.float() for tensor in trained])
    assert not gradients[True].equal(gradients[False])  # another path was taken
    torch.testing.assert_close(
        gradients[True], gradients[False], rtol=0.02, atol=0.02 * float(gradients[False].abs().max())
    )


def test_a_torch_without_the_question_for_matrix_units_is_taken_to_have_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert runpy.run_path(attention.__file__)["MATRIX_UNITS"] is False


def test_frozen_lower_blocks_get_no_gradient_and_change_no_other():
    encoder, x = Network(SMALL, JOINTS), some_bodies()
    clip_features(encoder, x).square().sum().backward()
    upper = [parameter.grad.clone() for parameter in encoder.blocks[2].parameters()]
    encoder.zero_grad()
    for part in (encoder.embed, encoder.positions, *encoder.blocks[:2]):
        part.requires_grad_(False)
    clip_features(encoder, x).square().sum().backward()
    assert {name.split(".")[1] for name, parameter in encoder.named_parameters() if parameter.grad is not None} == {
        "2",
        "weight",
        "bias",
    }
    torch.testing.assert_close(upper, [parameter.grad for parameter in encoder.blocks[2].parameters()])


@pytest.mark.parametrize("kind", ["joint", "bone", "motion"])
def test_a_stream_is_what_the_joints_say_and_all_that_the_model_sees(kind, tmp_path):
    """Frame by frame and joint by joint; an encoder of a stream is the plain one on converted poses, stage 1 and its
    file included.
    """
    parents, shape = (0, 0, 1, 1, 3), SMALL.model_copy(update={"stream": kind})
    x = torch.randn(4, 16, JOINTS, 3)
    x[3] = 0
    expected = torch.zeros_like(x)
    for t in range(16):
        for v, parent in enumerate(parents):
            later = x[:, t + 1, v] if t < 15 else x[:, t, v]
            expected[:, t, v] = {
                "joint": x[:, t, v],
                "bone": x[:, t, v] - x[:, t, parent],
                "motion": later - x[:, t, v],
            }[kind]
    model, plain = (
        MaskedMotion(shape, Motion(), JOINTS, parents if kind == "bone" else ()),
        MaskedMotion(SMALL, Motion(), JOINTS),
    )
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.encoder.stream(x), expected) and (expected[3] == 0).all()
    assert torch.equal(model.encoder(x), plain.encoder(expected))
    noise = torch.rand(4, 4 * JOINTS)
    assert torch.equal(model(x, noise), plain(expected, noise))
    save_encoder(tmp_path / "a.safetensors", model.encoder)
    assert torch.equal(load_encoder(tmp_path / "a.safetensors")(x), model.encoder(x))
    if kind == "bone":
        with pytest.raises(InputError, match=r"model\.stream: bone needs a parent among 5 joints"):
            Network(shape, JOINTS, (0, 0, 1, 1, 5))


def test_bf16_loss_is_float32_and_near():
    model, x, noise = MaskedMotion(SMALL, Motion(ratio=0.5), JOINTS), torch.randn(4, 16, JOINTS, 3), torch.rand(4, 20)
    exact = model(x, noise)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x, noise)
    rough.backward()
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.02) and rough.item() != exact.item()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_weights_survive_a_file(tmp_path):
    encoder, projector, predictor = Network(SMALL, JOINTS), Projector(16), Predictor(16, 12)
    predictor(projector(torch.randn(8, 16)))
    save_encoder(tmp_path / "e.safetensors", encoder)
    save_heads(tmp_path / "h.safetensors", torch.nn.ModuleDict({"projector": projector, "predictor": predictor}))
    found = load_encoder(tmp_path / "e.safetensors")
    assert (found.shape, found.joints) == (SMALL, JOINTS)
    found_projector, found_predictor = load_heads(tmp_path / "h.safetensors", encoder).values()
    for kept, read in ((encoder, found), (projector, found_projector), (predictor, found_predictor)):
        torch.testing.assert_close(read.state_dict(), kept.state_dict(), rtol=0, atol=0)


def test_equal_weights_are_equal_bytes(tmp_path):
    """safetensors alone fails this: it orders metadata anew for every file."""
    encoder, content = Network(SMALL, JOINTS), set()
    for name in map(str, range(20)):
        save_encoder(tmp_path / name, encoder)
        encoder = load_encoder(tmp_path / name)
        content.add((tmp_path / name).read_bytes())
    assert len(content) == 1


@pytest.mark.parametrize("load", [load_encoder, load_heads, import_released])
def test_files_of_another_kind_are_refused_in_a_line(tmp_path, load):
    save_heads(tmp_path / "heads", torch.nn.ModuleDict({"projector": Projector(4), "predictor": Predictor(4, 4)}))
    save_heads(tmp_path / "moco", torch.nn.ModuleDict({"projector": torch.nn.Linear(4, 4)}))
    save_encoder(tmp_path / "encoder", Network(SMALL, JOINTS))
    (tmp_path / "garbled").write_bytes(b"\x80\x02garbled")
    (tmp_path / "cut").write_bytes((tmp_path / "encoder").read_bytes()[:500])
    torch.save({"model": {"weight": torch.zeros(2)}}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    own, given = {load_encoder: ("encoder", ()), load_heads: ("heads", (Network(SMALL, JOINTS),))}.get(load, (None, ()))
    for name in {"heads", "moco", "encoder", "garbled", "cut", "other.pth", "list.pth", "missing"} - {own}:
        with pytest.raises(InputError, match=name) as caught:
            load(tmp_path / name, *given)
        assert "\n" not in str(caught.value)


def mamp_checkpoint(model: MaskedMotion) -> dict:
    return {"model": to_released(model.state_dict()), "epoch": 399, "args": argparse.Namespace(lr=1e-3)}


def test_mamp_names_go_both_ways():
    state = MaskedMotion(SMALL, Motion(ratio=0.5), JOINTS).state_dict()
    torch.testing.assert_close(to_ours(to_released(state)), dict(state), rtol=0, atol=0)
    assert {ours(released(name)) for name in state} == set(state)
    for rename in (ours, released):
        with pytest.raises(KeyError):
            rename("head.fc.weight")


@pytest.mark.parametrize("decoder", [True, False])
def test_released_checkpoint_is_imported(tmp_path, decoder):
    model = MaskedMotion(SMALL, Motion(ratio=0.5), JOINTS)
    checkpoint = mamp_checkpoint(model)
    if not decoder:
        checkpoint = {
            name: tensor for name, tensor in checkpoint["model"].items() if not name.startswith(("decoder", "mask"))
        }
    torch.save(checkpoint, tmp_path / "mamp.pth")
    encoder, tuned = import_released(tmp_path / "mamp.pth", heads=2)
    decoder_of_encoder = {"decoder_width": 16, "decoder_depth": 3, "decoder_hidden": 24}
    assert not tuned and encoder.shape == (SMALL if decoder else SMALL.model_copy(update=decoder_of_encoder))
    x = some_bodies()
    torch.testing.assert_close(clip_features(encoder, x), clip_features(model.encoder, x), rtol=0, atol=0)


def test_unfit_checkpoints_name_their_tensor(tmp_path):
    def refused(match: str, heads: int = 2, drop: str = "", **changes: torch.Tensor) -> None:
        checkpoint = mamp_checkpoint(MaskedMotion(SMALL, Motion(ratio=0.5), JOINTS))
        checkpoint["model"].update({name.replace("__", "."): tensor for name, tensor in changes.items()})
        checkpoint["model"].pop(drop, None)
        torch.save(checkpoint, tmp_path / "mamp.pth")
        with pytest.raises(InputError, match=match):
            import_released(tmp_path / "mamp.pth", heads=heads)

    refused("temp_embed.*missing", drop="temp_embed")
    refused(r"norm\.bias is missing", drop="norm.bias")
    refused(r"unexpected tensor tail\.weight", tail__weight=torch.zeros(3, 3))
    refused(r"blocks\.1\.attn\.qkv\.weight is \(3, 3\)", blocks__1__attn__qkv__weight=torch.zeros(3, 3))
    refused("dimensions", temp_embed=torch.zeros(3))
    refused("heads", heads=3)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_checkpoint_is_never_executed(tmp_path, capsys):
    for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        save({"model": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(InputError, match="evil"):
            import_released(tmp_path / "evil.pth")
    assert "executed" not in capsys.readouterr().out
