"""ActCLR against numbers of its release's own modules: the fixture in STARS_PARITY_DIR."""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import PARENTS, assert_gradients, clips, fill, load, near, network

from stars.backbones.clips import clip_features
from stars.objectives import actclr
from stars.objectives.base import Batch

FIXTURE = "actclr"
SEEN = ("strong", "normal", "weak", "key")


def settings(fixture: dict, **changes: object) -> actclr.ActClrOptions:
    call = fixture["call"]
    told = {
        "dimension": call["feature_dim"],
        "queue": call["queue_size"],
        "momentum": call["momentum"],
        "topk": fixture["topk"],
    }
    return actclr.ActClrOptions(**told | changes)


def made(stream: str, **changes: object):
    """A network and objective with the fixture's weights, and its step's views."""
    fixture = load(FIXTURE)
    own = network(fixture["call"], fixture["x_key"].shape[2], stream)
    loss = actclr.Loss({"encoder": own}, settings(fixture, **changes), torch.Generator()).train()
    fill(loss.contrast, own, fixture["state_before"])
    views = {name: clips(fixture[f"x_{name}"]) for name in SEEN}
    return fixture, own, loss, Batch(views, torch.arange(4), torch.zeros(4), torch.Generator())


def seen(own, batch) -> dict:
    return {name: own.stream(view.x_bmtvc) for name, view in batch.views.items()}


def mix_of(told: dict, frames: int) -> actclr.Mix:
    """As drawn in the release: p above .5 a region, above .25 one at twice the speed, else a share of everything."""
    places = -(-frames // 4)
    region_sv, along_sv = torch.zeros(places, 25), torch.zeros(places, 25)
    region_sv[told["start"] : told["start"] + told["length"], told["joints"]] = 1
    along_sv[:, told["joints"]] = 1
    frames_t = torch.arange(frames)
    if told["p"] <= 0.25:
        share_sv = torch.full((places, 25), told["share"])
        return actclr.Mix(told["offset"], frames_t, share_sv[:1].expand(frames, -1), share_sv, share_sv)
    share_tv = torch.stack([region_sv[t // 4] for t in range(frames)])
    if told["p"] > 0.5:
        return actclr.Mix(told["offset"], frames_t, share_tv, region_sv, region_sv)
    count = 4 * told["length"]
    for t in range(4 * told["start"], 4 * told["start"] + count):
        frames_t[t] = (t - 4 * told["start"]) * min(2 * count, frames) // count
    return actclr.Mix(told["offset"], frames_t, share_tv, along_sv, region_sv)


@pytest.mark.parametrize("step", ["joint", "joint_later", "bone", "motion"])
def test_a_step(step):
    """Actionlets, what a clip looks like in another's manner, losses, gradients, the queue and the running means of
    the input.
    """
    stream = step.split("_")[0]
    fixture, own, loss, batch = made(stream)
    expected = fixture["steps"][step]
    outside, everywhere = (mix_of(told, own.frames) for told in expected["swaps"])
    found, losses, follows, actionlets = [], [], loss._distribution_loss, actclr.actionlets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss, "_distribution_loss", lambda *told: losses.append(follows(*told)) or losses[-1])
        patch.setattr(actclr, "actionlets", lambda *told: found.append(actionlets(*told)) or found[-1])
        total, facts = loss.mixed(batch, own, seen(own, batch), expected["offset"], outside, everywhere)
    for own_bmsv, theirs in zip(found, (expected["key_actionlets"], *expected["actionlets"]), strict=True):
        # 1 is an activation of 1e-8
        torch.testing.assert_close(own_bmsv.flatten(0, 1), theirs[:, 0], rtol=0, atol=5e-3)
    near(facts["actionlet_share"], expected["actionlets"][0].mean())
    near(torch.stack(losses), expected["losses"])
    near(total, expected["loss"])
    total.backward()
    assert_gradients(expected["grad_norm"], {"encoder_q.": (own, loss.contrast.projector)})
    near(loss.contrast.queue.entries.T, expected["queue_after"])
    near(own.norm.running_mean, expected["running_mean_after"])
    if "exchanged" in expected:
        near(
            loss._exchanged(stream, own.stream(batch.views["weak"].x_bmtvc), expected["offset"]),
            clips(expected["exchanged"]).x_bmtvc,
        )


def test_features():
    fixture, own, _, _ = made("joint")
    near(clip_features(own.eval(), clips(fixture["x_key"]).x_bmtvc), fixture["features_eval"])


def test_an_entry_of_the_queue_that_is_the_key_counts_as_opposite():
    """So the fixture has one."""
    _, own, loss, batch = made("joint")
    keys_bd, _ = loss._keys(batch, own.stream(batch.views["key"].x_bmtvc))
    taught, places = loss._taught(keys_bd)
    assert (loss.contrast.similarities(keys_bd)[0] > 0.95).sum() == 1
    assert taught.shape == (4, 12) and not (places[0] == 5).any()


def test_body_parts_are_limbs_and_trunk():
    limbs = [[8, 9, 10, 11, 23, 24], [4, 5, 6, 7, 21, 22], [16, 17, 18, 19], [12, 13, 14, 15]]
    assert sorted(map(sorted, actclr.body_parts(PARENTS))) == sorted([*limbs, [0, 1, 2, 3, 20]])
    assert sorted(map(sorted, actclr.body_parts((0, 0, 0, 1, 2)))) == [[0], [1, 3], [2, 4]]
    assert actclr.body_parts((0, 0, 1)) == [[0, 1, 2]]


def test_another_s_bones_are_its_lengths_and_one_s_own_directions():
    _, _, loss, batch = made("joint")
    x = batch.views["weak"].x_bmtvc
    found = loss._exchanged("joint", x, 1)
    slow = x.clone()
    todo = [
        20,
        *(joint for joint in (1, 2, 4, 8, 0, 3, 5, 9, 6, 10, 7, 11, 12, 16, 13, 17, 14, 18, 15, 19, 22, 24, 21, 23)),
    ]
    for joint in todo[1:]:
        parent = PARENTS[joint]
        bone, other = (clip[..., joint, :] - clip[..., parent, :] for clip in (x, x.roll(-1, 0)))
        lengths = [(one.square().sum(-1, keepdim=True) + 1e-5).sqrt() for one in (other, bone)]
        slow[..., joint, :] = slow[..., parent, :] + bone * lengths[0] / lengths[1]
    near(found, slow)


def test_bones_of_the_strong_view_are_shorter_and_the_root_stays():
    _, _, loss, batch = made("joint")
    x, scale = batch.views["strong"].x_bmtvc, torch.rand(4, 25)
    found = loss._rescaled(x, scale)
    near(found[..., 20, :], x[..., 20, :])
    near(loss._bones(found), loss._bones(x) * scale[:, None, None, :, None])


@pytest.mark.parametrize("frames", [1, 6, 50])
def test_mixes_are_of_three_kinds_within_the_clip(frames):
    parts, region = actclr.body_parts(PARENTS), actclr.Region()
    kinds = {"share": 0, "fast": 0, "region": 0}
    for seed in range(300):
        mix = actclr.draw_mix(8, frames, 25, parts, region, torch.Generator().manual_seed(seed))
        assert (
            1 <= mix.offset <= 6 and mix.share_tv.shape == (frames, 25) and mix.taken_sv.shape == (-(-frames // 4), 25)
        )
        assert mix.frames_t.min() >= 0 and mix.frames_t.max() < frames
        whole = set(mix.share_tv.unique().tolist()) <= {0.0, 1.0}
        kinds["share" if not whole else "region" if torch.equal(mix.taken_sv, mix.lost_sv) else "fast"] += 1
        assert not whole or mix.lost_sv.any()
    assert kinds["share"] > 50 and (frames < 50 or (kinds["region"] > 110 and kinds["fast"] > 50))


def test_keys_of_mixed_clips_are_mixed_by_what_is_seen_of_actionlets():
    weight = torch.ones(3, 1, 2, 4)
    # of a clip whose sum is 12, which loses one place of 1; its partner gives one place of 1 in 8
    weight[0, 0, 0, 0] = 5
    lost = torch.zeros(2, 4)
    lost[1, 1] = 1
    keys = torch.eye(3)
    found = actclr.mix_keys(keys, weight, actclr.Mix(1, torch.arange(2), torch.zeros(2, 4), lost, lost))
    expected = torch.tensor([11 / 12, 1 / 8, 0])
    near(found[0], expected / expected.norm())


def test_release_and_plain_mix_other_clips():
    totals = {}
    for kind in ("release", "plain"):
        fixture, own, loss, batch = made("joint", mixed=kind)
        expected = fixture["steps"]["joint"]
        totals[kind], _ = loss.mixed(
            batch, own, seen(own, batch), expected["offset"], *(mix_of(told, own.frames) for told in expected["swaps"])
        )
    assert totals["release"] != totals["plain"]
