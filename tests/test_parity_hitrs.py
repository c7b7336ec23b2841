"""Hi-TRS against numbers of its release's own modules: the fixture in STARS_PARITY_DIR. Its windows, masks and
exchanges are given to our functions.
"""

from __future__ import annotations

import pytest
import torch
from test_parity_st_gcn import load, near
from torch.nn.functional import pad

from stars.backbones.hi_trs import HiTrsOptions, Network, windows
from stars.data.bodies import Bodies, bodies_seen
from stars.errors import InputError
from stars.objectives import hi_trs
from stars.objectives.base import Batch
from stars.released.hi_trs import ours, to_ours
from stars.views.crop import View

FIXTURE, JOINTS, PADDING = "hitrs", 25, 6
HEADS = ("pose", "clip_order", "video_order", "future")


def network(cfg: dict, frames: int) -> Network:
    options = HiTrsOptions(
        frames=frames,
        window=cfg["w_size"],
        width=cfg["d_model"],
        heads=cfg["nhead"],
        head_width=cfg["d_att"],
        depth=cfg["layer_num"],
        dropout=cfg["dp_rate"],
    )
    return Network(options, JOINTS)


def filled(fixture: dict, frames: int = 43) -> tuple[Network, hi_trs.Loss]:
    own = network(fixture["cfg"], frames)
    of_network, of_heads = to_ours(fixture["state_before"])
    own.load_state_dict(of_network)
    loss = hi_trs.Loss({"encoder": own}, hi_trs.HiTrsLossOptions(), torch.Generator())
    loss.heads().load_state_dict(of_heads)
    return own, loss


def made(fixture: dict, own: Network) -> hi_trs.Made:
    windows_rkw = fixture["windows"].expand(3, -1, -1)
    frames_rkw = torch.cat([fixture["clip_pair"], windows_rkw, fixture["last_window"][:, None]], 1)
    return hi_trs.encoded(
        own, fixture["masked_seq"], frames_rkw, fixture["clip_permutation"], fixture["window_pad"][:, :-1]
    )


def test_a_step():
    fixture = load(FIXTURE)
    own, loss = filled(fixture)
    found = made(fixture, own)
    near(found.tokens_rnvc[0], fixture["frame_tokens_clip0"])
    near(loss.pose(found.tokens_rnvc), fixture["pose_pred"])
    near(found.pair_r2c, fixture["clip_pair_embedding"])
    near(found.clip_rc, fixture["video_embedding"])
    near(found.exchanged_rc, fixture["video_embedding_permuted"])
    near(found.last_rc, fixture["last_target"])
    near(loss.future(found.clip_rc), fixture["last_pred"])
    near(loss.clip_order(found.pair_r2c.transpose(0, 1)).flatten(0, 1), fixture["clip_logits"])
    inner = slice(PADDING, -PADDING)
    predicted_rtv = fixture["mask"][:, inner, :, 0] > 0
    losses = {"pose_loss": loss.pose_loss(found, fixture["org_seq"][:, inner], predicted_rtv, predicted_rtv.sum())}
    rows_r = torch.arange(3)
    losses |= loss.other_losses(found, fixture["clip_valid"] > 0, rows_r, rows_r, 3)
    for name, other in (
        ("pose_loss", "loss_pose"),
        ("clip_loss", "loss_clip"),
        ("video_loss", "loss_video"),
        ("future_loss", "loss_nce"),
    ):
        near(losses[name], fixture[other])
    total = torch.stack(list(losses.values())).sum()
    near(total, fixture["loss"])
    total.backward()
    trained = dict(own.named_parameters()) | dict(loss.heads().named_parameters())
    assert {ours(name) for name in fixture["grad_norm"]} == trained.keys()
    for name, norm in fixture["grad_norm"].items():
        assert trained[ours(name)].grad.norm().item() == pytest.approx(norm, rel=1e-4), name
    near(torch.stack([value.grad.norm() for value in trained.values()]).norm(), fixture["total_grad_norm"])


def test_windows_are_those_of_the_release():
    fixture = load(FIXTURE)
    for row, length in enumerate(fixture["lengths"]):
        windows_kw = windows(HiTrsOptions(frames=length), 7)
        there = ~fixture["window_pad"][row, :-1]
        assert windows_kw[:-1].tolist() == fixture["windows"][: int(there.sum())].tolist()
        assert windows_kw[-1].tolist() == fixture["last_window"][row].tolist()
        starts_tw = windows(HiTrsOptions(frames=length), 1)
        assert len(starts_tw) == length and fixture["clip_pair"][row, 0].tolist() in starts_tw.tolist()
    assert windows(HiTrsOptions(), 7)[-1].tolist() == list(range(63, 76, 2))


def test_what_a_joint_sees_of_its_window():
    fixture = load(FIXTURE)
    seen_ll = network(fixture["cfg"], 43).across_frames
    assert torch.equal(seen_ll[:60, :60], fixture["clip_attention_mask"] <= 0)
    # the release's fusion token has -1 at its own place
    assert int((~seen_ll).sum()) == fixture["clip_attention_mask_sum"] + 1


def test_features_of_clips_with_an_absent_second_body():
    """Of the windows but the last one, as the fixture has them."""
    fixture, wanted = load(FIXTURE), load(FIXTURE)["downstream"]
    own, _ = filled(fixture)
    bodies_rnvc = torch.stack([fixture["org_seq"], torch.zeros_like(fixture["org_seq"])], 1).flatten(0, 1)
    vectors_rkc = own.eval().window_vectors(own.frame_tokens(bodies_rnvc), fixture["windows"])
    per_body_bmc = own.of_windows(vectors_rkc, fixture["window_pad"][:, :-1].repeat_interleave(2, 0)).unflatten(
        0, (3, 2)
    )
    near(per_body_bmc, wanted["video_per_body"])
    near(per_body_bmc.mean(1), wanted["feature"])
    near(per_body_bmc.mean(1) @ wanted["classifier_weight"].T + wanted["classifier_bias"], wanted["logits"])


def test_features_are_those_of_the_clip_s_own_windows():
    fixture = load(FIXTURE)
    for row, length in enumerate(fixture["lengths"]):
        own, _ = filled(fixture, length)
        x_rtvc = fixture["org_seq"][row, None, PADDING : PADDING + length]
        there = fixture["windows"][: int((~fixture["window_pad"][row, :-1]).sum())]
        every_kw = torch.cat([there, fixture["last_window"][row, None]])
        tokens_rnvc = own.eval().frame_tokens(fixture["org_seq"][row, None, : length + 2 * PADDING])
        near(own(x_rtvc), own.of_windows(own.window_vectors(tokens_rnvc, every_kw)))


def objective(frames: int = 22, joints: int = 5, **options: float) -> tuple[Network, hi_trs.Loss]:
    sizes = HiTrsOptions(frames=frames, width=4, heads=2, head_width=4, depth=1, dropout=0.0)
    own = Network(sizes, joints)
    return own, hi_trs.Loss({"encoder": own}, hi_trs.HiTrsLossOptions(**options), torch.Generator())


def test_what_is_hidden():
    own, loss = objective()
    draws, x_rtvc = loss.draw(200, own, torch.Generator()), torch.randn(200, 22, 5, 3)
    predicted, token = draws.predicted_rtv, draws.token_rtv
    moved = draws.source_rtv.flatten(1) != torch.arange(22 * 5)
    assert (
        0.14 < predicted.double().mean() < 0.16
        and 0.78 < token[predicted].double().mean() < 0.82
        and not token[~predicted].any()
    )
    assert (
        0.08 < moved.view_as(predicted)[predicted].double().mean() < 0.12
        and not (moved.view_as(predicted) & (token | ~predicted)).any()
    )
    place, source = torch.arange(22 * 5).expand(200, -1)[moved], draws.source_rtv.flatten(1)[moved]
    assert (place // 5 != source // 5).all() and (place % 5 != source % 5).all()
    shown = hi_trs.hidden(x_rtvc, draws, 1.0)
    for row, frame, joint in predicted.nonzero()[:60].tolist():
        at = int(draws.source_rtv[row, frame, joint])
        assert torch.equal(
            shown[row, frame, joint], torch.ones(3) if token[row, frame, joint] else x_rtvc[row, at // 5, at % 5]
        )
    assert torch.equal(shown[~predicted], x_rtvc[~predicted])


def test_a_window_in_which_the_body_moves_is_drawn_and_two_of_its_frames_exchanged():
    own, loss = objective()
    x_rtvc = torch.zeros(300, 22, 5, 3)
    x_rtvc[:200, 9:] = 1  # moves into frame 9 alone
    draws = loss.draw(300, own, torch.Generator())
    pair_r2w, moving_r = loss.pair(x_rtvc, draws)
    assert moving_r.tolist() == [True] * 200 + [False] * 100
    assert (pair_r2w[:200, 0] == 9 + PADDING).any(1).all() and len(pair_r2w[:200, 0].unique(dim=0)) == 7
    assert (pair_r2w[200:, 0, 0] == 0).all()
    changed = pair_r2w[:, 0] != pair_r2w[:, 1]
    assert (changed.sum(1) == 2).all() and torch.equal(pair_r2w[:, 0].sort(1).values, pair_r2w[:, 1].sort(1).values)
    places = changed.nonzero()[:, 1].view(-1, 2)
    assert ((places[:, 1] - places[:, 0]) >= 2).all() and len(places.unique(dim=0)) == 15
    assert hi_trs.exchanges(2).tolist() == [[1, 0]] and hi_trs.exchanges(3).tolist() == [[2, 1, 0]]


def test_the_first_frame_is_no_motion():
    x_rtvc = torch.ones(1, 22, 5, 3)
    assert not hi_trs.moving(x_rtvc, windows(HiTrsOptions(frames=22), 1), PADDING).any()


def test_bodies_that_are_absent_or_copies_are_no_sequences():
    own, loss = objective()
    x_bmtvc = torch.randn(4, 2, 22, 5, 3)
    x_bmtvc[0, 1], x_bmtvc[1, 1], x_bmtvc[2] = 0, x_bmtvc[1, 0], 0
    known = bodies_seen(x_bmtvc)
    assert hi_trs.sequences(known).tolist() == [0, 2, 4, 6, 7]

    def step(view: View) -> tuple[torch.Tensor, Batch]:
        batch = Batch({"only": view}, torch.arange(4), torch.zeros(4), torch.Generator().manual_seed(1))
        return loss(batch, {"encoder": own})[0], batch

    total, batch = step(View(x_bmtvc, known))
    assert batch.seen.shape == (5, 16) and torch.isfinite(total)
    noise = x_bmtvc.clone()
    noise[0, 1], noise[1, 1] = 5, 5
    assert torch.equal(step(View(noise, known))[0], total)
    every = Bodies(torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4, 2, dtype=torch.bool))
    assert step(View(noise, every))[1].seen.shape == (8, 16)


def test_a_window_that_is_not_there_changes_nothing():
    own, _ = objective()
    vectors_rkc, absent_rk = torch.randn(2, 4, 8), torch.tensor([[False, False, False, True]] * 2)
    near(
        own.of_windows(pad(vectors_rkc[:, :3], (0, 0, 0, 1), value=9.0), absent_rk), own.of_windows(vectors_rkc[:, :3])
    )


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"frames": 7}, "7 frames make 1 windows, but hi_trs needs three: raise model.frames"),
        ({"frames": 64, "places": 9}, r"model\.places \(9\) is below the 10 windows of 64 frames: raise it"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(sizes, message):
    with pytest.raises(InputError, match=message):
        hi_trs.Loss(
            {"encoder": Network(HiTrsOptions(width=4, depth=1, **sizes), 5)},
            hi_trs.HiTrsLossOptions(),
            torch.Generator(),
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"window": 4}, "must be odd"), ({"window": 1}, "at least 3"), ({"width": 6}, "multiple of 4")],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        HiTrsOptions(**settings)
    with pytest.raises(ValueError, match="their sum must be at most 1"):
        hi_trs.HiTrsLossOptions(constant=0.8, other=0.3)
