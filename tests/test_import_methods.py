"""A released checkpoint of another method becomes an encoder of ours: the fixtures hold the states, and the features that the releases computed."""

from __future__ import annotations

import json

import pytest
import torch
from test_parity_st_gcn import clips, load, near

from stars import cli
from stars.backbones.clips import clip_features
from stars.training.weights import load_encoder

CASES = {  # fixture: networks, and their features in it
    "aimclr": {"joint": None},
    "actclr": {"joint": None},
    "crossclr": {"joint": None, "motion": None, "bone": None},
    "skeattnclr": {"joint": None},
    "cmd": {"joint": "joint", "motion": "motion", "bone": "bone"},
    "isc": {"first": "sequence"},
}


def imported(path, out, *options: str) -> int:
    return cli.main(["import-weights", str(path), "--out", str(out), *options])


@pytest.mark.parametrize(
    ("name", "network"), [(name, network) for name in ("aimclr", "actclr", "skeattnclr", "cmd", "isc") for network in CASES[name]]
)
def test_features_are_those_of_the_release(name, network, tmp_path, capsys):
    fixture = load(name)
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in fixture["state_before"].items()}}, tmp_path / "theirs.pt")
    x_bmtvc = clips(fixture["x_q" if "x_q" in fixture else "x_key"]).x_bmtvc
    frames = ["--frames", str(x_bmtvc.shape[2])]
    assert imported(tmp_path / "theirs.pt", tmp_path / "encoder.safetensors", "--network", network, *frames) == 0
    assert "left out" in capsys.readouterr().err
    encoder = load_encoder(tmp_path / "encoder.safetensors")
    features = fixture["features_eval"]
    near(clip_features(encoder, x_bmtvc), features if CASES[name][network] is None else features[CASES[name][network]])


def test_the_sizes_of_hico_are_those_of_its_tensors(tmp_path, capsys):
    """But for its attention heads, of which the release has four."""
    fixture = load("hico")
    torch.save(fixture["state_before"], tmp_path / "theirs.pt")
    assert imported(tmp_path / "theirs.pt", tmp_path / "encoder.safetensors") == 0
    options, cfg = load_encoder(tmp_path / "encoder.safetensors").options, fixture["cfg"]
    assert (options.hidden, options.depth, options.granularities) == (cfg["hidden_size"], cfg["num_layer"], cfg["granularity"])
    assert options.frames == fixture["x_q"].shape[2] and options.heads == 4
    assert imported(tmp_path / "theirs.pt", tmp_path / "other.safetensors", "--frames", "9") == 2
    assert "leave out --frames" in capsys.readouterr().err


def test_every_network_of_a_checkpoint_can_be_taken_out(tmp_path):
    torch.save(load("crossclr")["state_before"], tmp_path / "theirs.pt")
    for network in CASES["crossclr"]:
        assert imported(tmp_path / "theirs.pt", tmp_path / f"{network}.safetensors", "--network", network) == 0
    record = json.loads((tmp_path / "bone.safetensors.record.json").read_text())
    assert record["settings"]["backbone"] == "st_gcn" and record["settings"]["model"]["frames"] == 50


def test_recurrent_encoders_of_p_c_and_ms2l(tmp_path, capsys):
    torch.save(load("pc")["zero_input"]["state_before"], tmp_path / "pc.pt")
    torch.save(load("ms2l")["state_before"]["encoder"], tmp_path / "ms2l.pt")
    for name, joints, pool in (("pc", 6, "last"), ("ms2l", 25, "mean")):
        assert imported(tmp_path / f"{name}.pt", tmp_path / f"{name}.safetensors") == 0
        encoder = load_encoder(tmp_path / f"{name}.safetensors")
        assert encoder.joints == joints and encoder.pooled == pool


def test_the_sizes_of_hi_trs_are_those_of_its_tensors(tmp_path, capsys):
    """But for its attention heads, of which the release has eight."""
    fixture = load("hitrs")
    torch.save({f"module.{name}": tensor for name, tensor in fixture["state_before"].items()}, tmp_path / "theirs.pt")
    assert imported(tmp_path / "theirs.pt", tmp_path / "encoder.safetensors", "--frames", "50") == 0
    assert "left out" in capsys.readouterr().err
    options, cfg = load_encoder(tmp_path / "encoder.safetensors").options, fixture["cfg"]
    assert (options.window, options.width, options.depth) == (cfg["w_size"], cfg["d_model"], cfg["layer_num"])
    assert options.heads * options.head_width == cfg["nhead"] * cfg["d_att"] and (options.frames, options.places) == (50, 200)


def test_what_is_not_right_is_said_in_one_line(tmp_path, capsys):
    state = load("cmd")["state_before"]
    torch.save(state, tmp_path / "theirs.pt")
    one = {name: tensor for name, tensor in state.items() if not name.startswith("encoder_q_bone.")}
    torch.save(one, tmp_path / "one.pt")
    torch.save({**state, "encoder_q.more.weight": torch.zeros(1)}, tmp_path / "more.pt")
    for path, options, words in (
        ("one.pt", ("--network", "bone"), "with no network bone: give --network joint or motion"),
        ("theirs.pt", ("--heads", "4"), "--heads is for MAMP and STARS"),
        ("more.pt", (), "more.weight"),
        ("theirs.pt", ("--frames", "0"), "--frames 0: "),
    ):
        assert imported(tmp_path / path, tmp_path / "out.safetensors", *options) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()
