"""An encoder leaves as the released MAMP's file and comes back the same; as ONNX it gives what torch gives."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from stars import cli
from stars.backbones.clips import clip_features
from stars.backbones.transformer import Network
from stars.config import Model
from stars.evaluation.export import ClipEncoder
from stars.training.weights import load_encoder, save_encoder

SMALL = Model(
    frames=16, segment=4, width=16, depth=2, heads=2, hidden=24, decoder_width=16, decoder_depth=2, decoder_hidden=24
)
JOINTS = 5


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    save_encoder(tmp_path / "encoder.safetensors", Network(SMALL, JOINTS))
    return tmp_path / "encoder.safetensors"


def clips(count: int, bodies: int) -> torch.Tensor:
    """Random clips; the last body of the first is absent, and all bodies of the last."""
    x = torch.randn(count, bodies, SMALL.frames, JOINTS, 3)
    x[0, -1] = x[-1] = 0
    return x


@pytest.mark.parametrize("bodies", ["all", "present"])
@torch.no_grad()
def test_what_is_traced_is_what_clips_are_embedded_with(encoder, bodies):
    loaded, x = load_encoder(encoder), clips(4, 3)
    torch.testing.assert_close(ClipEncoder(loaded, bodies)(x), clip_features(loaded, x, bodies))


def test_a_released_file_and_back(encoder, tmp_path, capsys):
    there, back = tmp_path / "mamp.pth", tmp_path / "back.safetensors"
    assert cli.main(["export", str(encoder), "--format", "torch", "--out", str(there)]) == 0
    state = torch.load(there, weights_only=True)["model"]
    assert {
        "joints_embed.proj.weight",
        "temp_embed",
        "pos_embed",
        "blocks.1.attn.qkv.weight",
        "norm.bias",
    } <= state.keys()
    assert cli.main(["import-weights", str(there), "--out", str(back)]) == 0 and not capsys.readouterr().err
    assert back.read_bytes() == encoder.read_bytes()
    assert json.loads((tmp_path / "mamp.pth.record.json").read_text())["settings"]["form"] == "torch"


CLASSIFIERS = {  # what MAMP's own protocols leave beside the encoder, by its module's names
    "a linear probe": (
        "head.fc.0.running_mean",
        "head.fc.0.running_var",
        "head.fc.0.num_batches_tracked",
        "head.fc.1.weight",
        "head.fc.1.bias",
    ),
    "fine-tuning": (
        "head.bn.weight",
        "head.bn.running_mean",
        "head.fc1.weight",
        "head.fc1.bias",
        "head.fc2.weight",
        "head.fc2.bias",
    ),
}


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "backbone.", "module.model.encoder."])
@pytest.mark.parametrize("protocol", CLASSIFIERS)
@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_an_encoder_is_found_under_other_code_s_names_and_without_its_classifier(
    encoder, tmp_path, capsys, prefix, protocol, key
):
    there, back = tmp_path / "theirs.pth", tmp_path / "back.safetensors"
    assert cli.main(["export", str(encoder), "--format", "torch", "--out", str(there)]) == 0
    state = torch.load(there, weights_only=True)["model"] | {name: torch.zeros(3) for name in CLASSIFIERS[protocol]}
    state = {prefix + name: tensor for name, tensor in state.items()} | (
        {"criterion.weight": torch.zeros(2)} if prefix else {}
    )
    torch.save({key: state, "epoch": 3} if key else state, there)
    assert cli.main(["import-weights", str(there), "--out", str(back), "--heads", "2"]) == 0
    assert back.read_bytes() == encoder.read_bytes()
    others = ", tensors outside the encoder" if prefix else ""
    left = len(CLASSIFIERS[protocol]) + bool(prefix)
    assert capsys.readouterr().err == f"stars: {there}: omitted: classifier{others} ({left} tensors)\n"


def test_heads_that_a_file_does_not_tell_are_assumed_aloud_and_those_it_tells_are_kept(encoder, tmp_path, capsys):
    there, out = tmp_path / "mamp.pth", tmp_path / "back.safetensors"
    assert cli.main(["export", str(encoder), "--format", "torch", "--out", str(there)]) == 0
    assert cli.main(["import-weights", str(there), "--out", str(out), "--heads", "4"]) == 2
    assert "has 2 heads, not 4: remove --heads" in capsys.readouterr().err and not out.exists()
    there, state = tmp_path / "bare.pth", torch.load(there, weights_only=True)["model"]
    torch.save({"model": state}, there)
    assert cli.main(["import-weights", str(there), "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert (
        said
        == f"stars: {there} does not state its number of heads: 8 are assumed, as in the released MAMP; otherwise set"
        " --heads N\n"
    )
    assert (
        load_encoder(out).shape.heads
        == json.loads((tmp_path / "back.safetensors.record.json").read_text())["settings"]["model"]["heads"]
        == 8
    )
    assert (
        cli.main(["import-weights", str(there), "--out", str(out), "--heads", "2"]) == 0 and not capsys.readouterr().err
    )
    assert out.read_bytes() == encoder.read_bytes()


def test_weights_that_are_not_there_are_no_stage_s(tmp_path, capsys):
    nowhere = str(tmp_path / "nosuch.pth")
    for command in (
        ["import-weights", nowhere, "--out", str(tmp_path / "o")],
        ["predict", str(tmp_path), "--encoder", nowhere],
    ):
        assert cli.main(command) == 2
        assert capsys.readouterr().err.startswith(f"stars: {nowhere}: no such file: name a")


def test_what_cannot_be_exported_is_said_in_a_line(encoder, tmp_path, monkeypatch, capsys):
    save_encoder(tmp_path / "motion.safetensors", Network(SMALL.model_copy(update={"stream": "motion"}), JOINTS))
    monkeypatch.setitem(sys.modules, "onnx.reference", None)
    for source, form, expected in (
        (
            tmp_path / "motion.safetensors",
            "torch",
            "uses the stream motion, which a released checkpoint cannot describe",
        ),
        (
            encoder,
            "onnx",
            "in the project's folder, .venv/bin/pip install --constraint envs/constraints.txt -e '.[onnx]'",
        ),
        (tmp_path / "none", "torch", "none: no such file: name an encoder.safetensors"),
    ):
        assert cli.main(["export", str(source), "--format", form, "--out", str(tmp_path / "out")]) == 2
        shown = capsys.readouterr().err
        assert expected in shown and shown.count("\n") == 1 and not (tmp_path / "out").exists()


@torch.no_grad()
def test_onnx_gives_what_torch_gives_for_any_number_of_clips_and_bodies(tmp_path):
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed: pip install -e '.[onnx]'")
    evaluator = pytest.importorskip("onnx.reference", reason="the extra `onnx` is not installed").ReferenceEvaluator
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, Network(SMALL.model_copy(update={"stream": "bone"}), JOINTS, (0, 0, 1, 1, 3)))
    assert (
        cli.main(
            ["export", str(path), "--format", "onnx", "--bodies", "present", "--out", str(tmp_path / "encoder.onnx")]
        )
        == 0
    )
    graph = evaluator(str(tmp_path / "encoder.onnx"))
    for x in (clips(5, 2), clips(2, 1)):
        (found,) = graph.run(None, {"clips": x.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(found), clip_features(load_encoder(path), x, "present"), atol=1e-4, rtol=1e-4
        )
