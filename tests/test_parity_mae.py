"""Masked positions, MAMP's own plain MAE, against numbers of the reference implementation: its fixture in
STARS_PARITY_DIR.
"""

from __future__ import annotations

import pytest
import torch
from masked import MaskedMotion
from test_parity_st_gcn import load, near

from stars.config import Model, Motion
from stars.objectives.mamp import choose_mask, motion_target
from stars.released.mamp import to_ours, to_released


@pytest.mark.parametrize("normalise", [True, False])
def test_masked_positions(normalise):
    """Mask, target, loss and gradients."""
    fixture = load("mae_positions")
    cfg, x_rtvc = fixture["cfg"], fixture["x"].permute(0, 4, 2, 3, 1).flatten(0, 1)
    width = cfg["dim_feat"]
    shape = Model(
        frames=cfg["num_frames"], segment=cfg["t_patch_size"], width=width, depth=cfg["depth"], heads=cfg["num_heads"],
        hidden=cfg["mlp_ratio"] * width, decoder_width=cfg["decoder_dim_feat"], decoder_depth=cfg["decoder_depth"],
        decoder_hidden=cfg["mlp_ratio"] * cfg["decoder_dim_feat"],
    )  # fmt: skip
    motion = Motion(target="positions", temperature=0, ratio=fixture["mask_ratio"], normalise=normalise)
    model = MaskedMotion(shape, motion, cfg["num_joints"])
    model.load_state_dict(to_ours(fixture["state_dict"]))
    assert torch.equal(choose_mask(None, fixture["noise"], motion.ratio)[2], fixture["mask"])
    near(motion_target(x_rtvc, motion.model_copy(update={"normalise": False}), shape.segment), fixture["target_raw"])
    expected = fixture["normalised" if normalise else "raw"]
    loss = model(x_rtvc, fixture["noise"])
    near(loss, expected["loss"])
    loss.backward()
    named = {name: parameter.grad for name, parameter in model.named_parameters()}
    norms = {name: gradient.norm().item() for name, gradient in to_released(named).items()}
    assert norms == pytest.approx(expected["grad_norm"], rel=1e-4, abs=1e-6)
