"""MS²L against numbers of its release's own modules: its fixture in STARS_PARITY_DIR. The release pads clips with
zeros; ours are all of one length.
"""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import load, near
from torch.nn.functional import cross_entropy

from stars.backbones.bi_gru import BiGruOptions, Network
from stars.data.bodies import unknown
from stars.errors import InputError
from stars.objectives import ms2l
from stars.objectives.base import Batch
from stars.released.ms2l import frame_order, to_ours
from stars.views.crop import View

FIXTURE, JOINTS, BODIES = "ms2l", 25, 2
EDGE = 0.01  # added to the number of frames by which the release divides


def network(fixture: dict) -> Network:
    own = Network(
        BiGruOptions(frames=20, hidden=fixture["cfg"]["hidden_size"] // 2, depth=2, input_norm=False, pool="mean"),
        JOINTS,
        (),
        BODIES,
    )
    own.load_state_dict(to_ours(fixture["state_before"]["encoder"], JOINTS, BODIES))
    return own


def objective(fixture: dict, own: Network) -> ms2l.Loss:
    state, cfg = fixture["state_before"], fixture["cfg"]
    width, dimension = (len(state["contra_head"][f"classifier.{layer}.bias"]) for layer in (0, 3))
    options = ms2l.Ms2lOptions(
        hidden=width, dimension=dimension, masked=cfg["mask_ratio"], segments=cfg["seg_num"], temperature=cfg["temp"]
    )
    loss = ms2l.Loss({"encoder": own}, options, torch.Generator())
    for head, name in ((loss.contrast, "contra_head"), (loss.jigsaw, "jigsaw_head")):
        head.load_state_dict({key.removeprefix("classifier."): value for key, value in state[name].items()})
    order, motion = frame_order(JOINTS, BODIES), dict(state["motion_head"])
    motion |= {name: motion[name][order] for name in ("reconstruction.weight", "reconstruction.bias")}
    names = {"decoder.": "gru.", "reconstruction.": "out."}
    loss.motion.load_state_dict(
        {
            new + key.removeprefix(old): value
            for old, new in names.items()
            for key, value in motion.items()
            if key.startswith(old)
        }
    )
    return loss


def clips(fixture: dict) -> torch.Tensor:
    """(B, T, 150) as released → (B, M, T, V, 3)."""
    return fixture["x"].view(len(fixture["x"]), -1, 3, JOINTS, BODIES).permute(0, 4, 1, 3, 2)


def test_the_versions_of_a_clip():
    """Of each clip's valid frames, which the release masks and shuffles by themselves."""
    fixture, orders = load(FIXTURE), torch.tensor(list(ms2l.permutations(range(3))))
    near(orders, fixture["permutations"])
    for number, length in enumerate(fixture["frames"].tolist()):
        x_btn = fixture["x"][number, None, :length]
        near(ms2l.masked(x_btn, 0.3)[0], fixture["x_masked"][number, :length])
        order_bs = orders[fixture["jigsaw_label"][number]][None]
        near(ms2l.shuffled(x_btn, order_bs)[0], fixture["x_jigsaw"][number, :length])


def test_features_and_what_the_motion_head_makes_of_clips_without_padding():
    fixture = load(FIXTURE)
    own, whole = network(fixture), fixture["frames"] == 20
    assert whole.sum() >= 2
    x_bmtvc = clips(fixture)[whole]
    features_btc, _ = own.outputs(own.sequence(x_bmtvc))
    near(features_btc, fixture["feat"][whole])
    near(own(x_bmtvc) * 20 / (20 + EDGE), fixture["feature_mean"][whole])
    loss = objective(fixture, own)
    hidden_btc, _ = own.outputs(ms2l.masked(own.sequence(x_bmtvc), 0.3))
    near(hidden_btc.mean(1) * 20 / (20 + EDGE), fixture["feat_masked_mean"][whole])
    near(loss.motion(hidden_btc), fixture["reconstruction"][whole][..., frame_order(JOINTS, BODIES)])


def test_losses_and_gradients_of_the_heads():
    fixture = load(FIXTURE)
    loss = objective(fixture, network(fixture))
    features = ms2l.Versions(*(fixture[name] for name in ("feature_mean", "feat_masked_mean", "feat_jigsaw_mean")))
    contrast, jigsaw = loss.contrasted(features), cross_entropy(loss.jigsaw(features.jigsaw), fixture["jigsaw_label"])
    near(contrast, fixture["loss_contrast"])
    near(jigsaw, fixture["loss_jigsaw"])
    (contrast + jigsaw).backward()
    for name, norm in fixture["grad_norm"].items():
        head, _, rest = name.partition(".classifier.")
        if head in ("contra_head", "jigsaw_head") and norm > 1e-5:
            module = {"contra_head": loss.contrast, "jigsaw_head": loss.jigsaw}[head]
            assert module.get_parameter(rest).grad.norm().item() == pytest.approx(norm, rel=1e-4), name


def test_a_step_is_the_sum_of_its_three_tasks():
    fixture = load(FIXTURE)
    own, x_bmtvc = network(fixture), clips(fixture)
    loss = objective(fixture, own)
    batch = Batch(
        {"only": View(x_bmtvc, unknown(x_bmtvc))}, torch.arange(6), torch.zeros(6), torch.Generator().manual_seed(0)
    )
    total, facts = loss(batch, {"encoder": own})
    near(total, sum(facts.values()))
    near(
        facts["motion_loss"],
        (loss.motion(own.outputs(ms2l.masked(own.sequence(x_bmtvc), 0.3))[0]) - own.sequence(x_bmtvc)).square().mean(),
    )
    total.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in own.parameters())


def test_more_segments_than_frames_are_refused():
    own = Network(BiGruOptions(frames=2, hidden=4, pool="mean"), JOINTS)
    with pytest.raises(InputError, match=r"segments \(3\) must not be more than a clip's 2 frames"):
        ms2l.Loss({"encoder": own}, ms2l.Ms2lOptions(), torch.Generator())
