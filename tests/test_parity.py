"""Our arithmetic against numbers that the reference implementations made: every fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from masked import MaskedMotion

from stars.backbones.clips import clip_features
from stars.backbones.initialise import decayed
from stars.config import Model, Motion
from stars.objectives.mamp import choose_mask, mask_score, motion_target, token_loss
from stars.released.mamp import released, to_ours, to_released
from stars.views.crop import Clips, centre_view, crop_length, resized_view, rotate

FOLDER = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data" / "parity"))
MAMP = sorted(FOLDER.glob("mamp_*.pt"))
SAMPLING = sorted(FOLDER.glob("clip_sampling*.pt"))
close = {"rtol": 1.3e-6, "atol": 2e-5}


def test_there_are_fixtures():
    assert MAMP and SAMPLING, f"no mamp_*.pt or clip_sampling*.pt in {FOLDER}"


def settings(fixture: dict) -> tuple[Model, Motion, int]:
    cfg, call = fixture["cfg"], fixture["call"]
    shape = Model(
        frames=cfg["num_frames"],
        segment=cfg["t_patch_size"],
        width=cfg["dim_feat"],
        depth=cfg["depth"],
        heads=cfg["num_heads"],
        hidden=int(cfg["dim_feat"] * cfg["mlp_ratio"]),
        decoder_width=cfg["decoder_dim_feat"],
        decoder_depth=cfg["decoder_depth"],
        decoder_hidden=int(cfg["decoder_dim_feat"] * cfg["mlp_ratio"]),
    )
    motion = Motion(
        target="release",
        score="release",
        stride=call["motion_stride"],
        temperature=call["motion_aware_tau"],
        ratio=call["mask_ratio"],
        normalise=cfg["norm_skes_loss"],
    )
    return shape, motion, cfg["num_joints"]


class Case:
    """A fixture, and our model with its weights."""

    def __init__(self, path: Path):
        self.fixture = torch.load(path, weights_only=True)
        self.shape, self.motion, joints = settings(self.fixture)
        self.model = MaskedMotion(self.shape, self.motion, joints)
        self.model.load_state_dict(to_ours(self.fixture["state_dict"]))
        self.x_bmtvc = self.fixture["x"].permute(0, 4, 2, 3, 1).contiguous()
        self.rows = self.x_bmtvc.flatten(0, 1)


@pytest.fixture(params=MAMP, ids=lambda path: path.stem)
def case(request) -> Case:
    return Case(request.param)


def test_mask(case):
    fixture, score = case.fixture, mask_score(case.rows, case.motion, case.shape.segment)
    if fixture["mask_score"] is None:
        assert score is None
    else:
        torch.testing.assert_close(score, fixture["mask_score"], **close)
    keep, restore, hidden = choose_mask(score, fixture["u"], case.motion.ratio)
    assert torch.equal(keep, fixture["ids_keep"])
    assert torch.equal(restore, fixture["ids_restore"])
    assert torch.equal(hidden, fixture["mask"])


def test_forward(case):
    fixture, model = case.fixture, case.model
    torch.testing.assert_close(model.encoder.embedded(case.rows), fixture["embed"], **close)
    latent = model.encoder.tokens(case.rows, fixture["ids_keep"])
    torch.testing.assert_close(latent, fixture["latent"], **close)
    prediction = model.decoder(latent, fixture["ids_restore"])
    torch.testing.assert_close(prediction, fixture["pred"], **close)
    raw = motion_target(case.rows, case.motion.model_copy(update={"normalise": False}), case.shape.segment)
    torch.testing.assert_close(raw, fixture["target_raw"], **close)
    target = motion_target(case.rows, case.motion, case.shape.segment)
    torch.testing.assert_close(target, fixture["target"], **close)
    torch.testing.assert_close(token_loss(prediction, target), fixture["token_loss"], **close)
    torch.testing.assert_close(model(case.rows, fixture["u"]), fixture["loss"], **close)


def test_gradients_and_a_step_of_adamw(case):
    fixture, model = case.fixture, case.model
    named = dict(model.named_parameters())
    matrices = decayed(model)
    assert {released(name) for name in named.keys() - matrices} == set(fixture["no_decay"])
    model(case.rows, fixture["u"]).backward()
    gradients = to_released({name: parameter.grad for name, parameter in named.items()})
    torch.testing.assert_close(gradients, fixture["grads"], **close)
    groups = [
        {"params": [named[name] for name in named if name in matrices], "weight_decay": 0.05},
        {"params": [named[name] for name in named if name not in matrices], "weight_decay": 0.0},
    ]
    torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), eps=1e-4).step()
    torch.testing.assert_close(to_released(model.state_dict()), fixture["after_step"], **close)
    torch.testing.assert_close(model(case.rows, fixture["u"]), fixture["loss_after_step"], **close)


@torch.no_grad()
def test_features(case):
    fixture, encoder = case.fixture, case.model.encoder
    full = fixture["enc_full"]
    torch.testing.assert_close(encoder.tokens(case.rows).view_as(full), full, **close)
    torch.testing.assert_close(clip_features(encoder, case.x_bmtvc), fixture["feat_linprobe"], **close)
    tuned = clip_features(encoder, case.x_bmtvc, encode=lambda x: encoder.for_classifier(x, torch.nn.Identity()))
    torch.testing.assert_close(tuned, fixture["feat_finetune"], **close)


def test_initialisation_has_the_reference_statistics(case):
    """Mean and spread of each tensor over eight draws of ours agree with the fixture's one draw within its sampling
    error.
    """
    torch.manual_seed(0)
    shape, motion, joints = settings(case.fixture)
    draws = [to_released(MaskedMotion(shape, motion, joints).state_dict()) for _ in range(8)]
    assert draws[0].keys() == case.fixture["init_stats"].keys()
    for name, (mean, std, low, high, size) in case.fixture["init_stats"].items():
        drawn = torch.stack([draw[name] for draw in draws])
        assert drawn.shape[1:] == torch.Size(size), name
        # five standard errors of the fixture's mean; more than that of its spread
        error = 5 * std / drawn[0].numel() ** 0.5
        assert abs(drawn.mean().item() - mean) <= error, name
        assert abs(drawn.std().item() - std) <= error, name
        if name.endswith("weight") and std > 0:  # a matrix: uniform, so its ends are known sharply
            assert drawn.abs().max().item() == pytest.approx(max(-low, high), rel=0.05), name


@pytest.fixture(params=SAMPLING, ids=lambda path: path.stem)
def recorded(request) -> tuple[list[dict], Clips]:
    clips = torch.load(request.param, weights_only=True)
    frames = [clip["x"][:, : clip["valid"]].permute(1, 3, 2, 0) for clip in clips]
    lengths = torch.tensor([clip["valid"] for clip in clips])
    return clips, Clips(torch.cat(frames), lengths.cumsum(0) - lengths, lengths, torch.zeros_like(lengths))


def stacked(clips: list[dict], name: str) -> torch.Tensor:
    return torch.stack([clip[name] for clip in clips]).permute(0, 4, 2, 3, 1)


def test_training_crop(recorded):
    clips, held = recorded
    rows, start, length = (
        torch.arange(len(held)),
        *(torch.tensor([clip[key] for clip in clips]) for key in ("bias", "cropped")),
    )
    share = torch.tensor([clip["p"] for clip in clips], dtype=torch.float64)
    assert torch.equal(crop_length(held.lengths, share, 64), length)
    expected = stacked(clips, "train")
    torch.testing.assert_close(resized_view(held, rows, start, length, expected.shape[2]).x_bmtvc, expected, **close)


@pytest.mark.parametrize("crop", [0.95, 0.9, 1])
def test_centre_crop(recorded, crop):
    clips, held = recorded
    expected = stacked(clips, f"centre_{crop}")
    torch.testing.assert_close(
        centre_view(held, torch.arange(len(held)), expected.shape[2], crop).x_bmtvc, expected, **close
    )


def test_rotation(recorded):
    clips, _ = recorded
    angles = torch.stack([clip["angles"] for clip in clips])
    torch.testing.assert_close(rotate(stacked(clips, "train"), angles), stacked(clips, "rotated"), **close)


def test_resize_is_linear_interpolation_of_torch(recorded):
    clips, held = recorded
    for frames in (7, 64, 120, 301):
        ours_x = centre_view(held, torch.arange(len(held)), frames, 1.0).x_bmtvc
        for clip, x_mtvc in zip(clips, ours_x, strict=True):
            x_ctvm = clip["x"][:, : clip["valid"]]
            flat = x_ctvm.permute(0, 2, 3, 1).reshape(1, -1, clip["valid"])
            expected = F.interpolate(flat, frames, mode="linear", align_corners=False).view(
                3, *x_ctvm.shape[2:], frames
            )
            torch.testing.assert_close(x_mtvc, expected.permute(2, 3, 1, 0), **close)
