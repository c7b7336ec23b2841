"""A released checkpoint of another method becomes an encoder of ours: the fixtures hold the states, and the features
that the releases computed.
"""

from __future__ import annotations

import json

import pytest
import torch
from test_parity_st_gcn import clips, load, near

from stars import cli
from stars.backbones.clips import clip_features
from stars.released import methods
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
    ("name", "network"),
    [(name, network) for name in ("aimclr", "actclr", "skeattnclr", "cmd", "isc") for network in CASES[name]],
)
def test_features_are_those_of_the_release(name, network, tmp_path, capsys):
    fixture = load(name)
    torch.save(
        {"state_dict": {f"module.{key}": tensor for key, tensor in fixture["state_before"].items()}},
        tmp_path / "theirs.pt",
    )
    x_bmtvc = clips(fixture["x_q" if "x_q" in fixture else "x_key"]).x_bmtvc
    frames = ["--frames", str(x_bmtvc.shape[2])]
    assert imported(tmp_path / "theirs.pt", tmp_path / "encoder.safetensors", "--network", network, *frames) == 0
    assert "omitted" in capsys.readouterr().err
    encoder = load_encoder(tmp_path / "encoder.safetensors")
    features = fixture["features_eval"]
    near(clip_features(encoder, x_bmtvc), features if CASES[name][network] is None else features[CASES[name][network]])


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
@pytest.mark.parametrize("name", ["aimclr", "cmd", "hico"])
def test_a_network_that_lies_by_itself_is_known_by_its_names(name, prefix, tmp_path, capsys):
    state = load(name)["state_before"]
    own = {
        prefix + key.removeprefix("encoder_q."): tensor for key, tensor in state.items() if key.startswith("encoder_q.")
    }
    torch.save(state, tmp_path / "whole.pt")
    torch.save({"state_dict": own}, tmp_path / "alone.pt")
    for file in ("whole", "alone"):
        assert imported(tmp_path / f"{file}.pt", tmp_path / f"{file}.safetensors") == 0
    assert (tmp_path / "alone.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


# Names of tensors in the authors' own modules, read in their repositories: {n} is a layer's number.
RELEASED = {
    "halp": (
        "encoder_q.",
        (
            "encoder.gru.weight_ih_l0 encoder.gru.weight_hh_l2_reverse input_norm.weight input_norm.running_var"
            " fc.weight fc.2.bias"
        ),
    ),
    "actclr": (
        "encoder_q.",
        (
            "A data_bn.weight edge_importance.9 st_gcn_networks.0.gcn.conv.weight st_gcn_networks.1.tcn.0.running_mean"
            " st_gcn_networks.9.tcn.2.bias st_gcn_networks.2.tcn.3.weight st_gcn_networks.4.residual.0.weight"
            " st_gcn_networks.7.residual.1.num_batches_tracked fc.0.weight fc.2.bias"
        ),
    ),
    "skeattnclr": (
        "encoder_q.backbone.",
        (
            "A data_bn.bias edge_importance.0 st_gcn_networks.3.gcn.conv.bias st_gcn_networks.9.tcn.3.running_var"
            " fc.weight"
        ),
    ),
    "hitrs": (
        "",
        (
            "s_input_map.0.weight s_input_map.2.bias c_input_map.weight v_input_map.bias s_pe.pe c_pe.pe v_pe.pe"
            " clip_fuse_token video_fuse_token s_enc.layer_stack.0.self_attn_norm.weight"
            " c_enc.layer_stack.1.slf_attn.w_qs.weight v_enc.layer_stack.2.slf_attn.fc.weight"
            " s_enc.layer_stack.3.pff_norm.bias v_enc.layer_stack.0.pos_ffn.w_1.bias"
            " c_enc.layer_stack.0.pos_ffn.w_2.weight s_pose_reg.weight c_motion_cls.bias v_motion_cls.weight"
            " v_ft_reg.bias v_cls.weight"
        ),
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_the_authors_own_names_have_ours(name):
    prefix, names = RELEASED[name]
    state = {prefix + theirs: torch.zeros(1, 1) for theirs in names.split()}
    found = methods.family(state)
    assert found is not None and prefix in found.networks.values()
    own, heads = found.ours(state, prefix)
    assert len(own) + len(heads) == len(state) - (prefix + "A" in state)


def test_the_sizes_of_hico_are_those_of_its_tensors(tmp_path, capsys):
    """But for its attention heads, of which the release has four."""
    fixture = load("hico")
    torch.save(fixture["state_before"], tmp_path / "theirs.pt")
    assert imported(tmp_path / "theirs.pt", tmp_path / "encoder.safetensors") == 0
    options, cfg = load_encoder(tmp_path / "encoder.safetensors").options, fixture["cfg"]
    assert (options.hidden, options.depth, options.granularities) == (
        cfg["hidden_size"],
        cfg["num_layer"],
        cfg["granularity"],
    )
    assert options.frames == fixture["x_q"].shape[2] and options.heads == 4
    assert imported(tmp_path / "theirs.pt", tmp_path / "other.safetensors", "--frames", "9") == 2
    assert "remove --frames" in capsys.readouterr().err


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
    assert "omitted" in capsys.readouterr().err
    options, cfg = load_encoder(tmp_path / "encoder.safetensors").options, fixture["cfg"]
    assert (options.window, options.width, options.depth) == (cfg["w_size"], cfg["d_model"], cfg["layer_num"])
    assert options.heads * options.head_width == cfg["nhead"] * cfg["d_att"] and (options.frames, options.places) == (
        50,
        200,
    )


def test_what_is_not_right_is_said_in_one_line(tmp_path, capsys):
    state = load("cmd")["state_before"]
    torch.save(state, tmp_path / "theirs.pt")
    one = {name: tensor for name, tensor in state.items() if not name.startswith("encoder_q_bone.")}
    torch.save(one, tmp_path / "one.pt")
    torch.save({**state, "encoder_q.more.weight": torch.zeros(1)}, tmp_path / "more.pt")
    for path, options, words in (
        ("one.pt", ("--network", "bone"), "without a network bone: set --network joint or motion"),
        ("theirs.pt", ("--heads", "4"), "--heads is only for MAMP and STARS"),
        ("more.pt", (), "more.weight"),
        ("theirs.pt", ("--frames", "0"), "--frames 0: "),
    ):
        assert imported(tmp_path / path, tmp_path / "out.safetensors", *options) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()
