"""Hi-TRS: four tasks on three levels: masked joints, order of frames, order of windows, and the next window (Chen et
al., ECCV 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stars.backbones.base import Backbone
from stars.backbones.clips import counted_bodies
from stars.backbones.hi_trs import COORDINATES, Network, windows
from stars.config.base import Fraction, Positive, Settings, key
from stars.data.bodies import Bodies
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.base import Batch, Objective
from stars.training import parallel

APART = 2  # smallest distance between two exchanged items
LEAST = 3  # windows of a clip: two to exchange, and the next one
PER_CLASS = 2  # logits of an order: changed, original
ORIGINAL = 1


class HiTrsLossOptions(Settings):
    """Masking, and the scales of the losses."""

    hidden: Fraction = key(0.15, "share of joints to predict, chosen per frame")
    constant: Fraction = key(0.8, "share of these replaced by `token`")
    other: Fraction = key(0.1, "share of these replaced by another joint of another frame; the rest are unchanged")
    token: float = key(
        1.0,
        "each coordinate of a masked joint, metres; the released value, for camera coordinates: in centred clips it"
        " lies outside the body",
    )
    scale: Positive = key(
        10.0, "factor of predicted and true coordinates before their smooth L1 loss, whose transition is at 1"
    )
    temperature: Positive = key(0.07, "temperature of the contrast between predicted and true next windows")

    @model_validator(mode="after")
    def _shares(self) -> HiTrsLossOptions:
        if self.constant + self.other > 1:
            raise ValueError(
                f"constant ({self.constant:g}) and other ({self.other:g}) are shares of the same joints: their sum must"
                " be at most 1"
            )
        return self


class Draws(NamedTuple):
    """Random choices of a step, one row per body, on the CPU.

    predicted_rtv, token_rtv: bool, joints to predict, and those replaced by the token; source_rtv: int64, index t · V +
    v of the joint shown at each place; window_rt: uniform in [0, 1), frames are exchanged in the moving window with the
    highest value; frames_r, windows_r: int64, index of the exchange.
    """

    predicted_rtv: Tensor
    token_rtv: Tensor
    source_rtv: Tensor
    window_rt: Tensor
    frames_r: Tensor
    windows_r: Tensor

    def of(self, rows_r: Tensor) -> Draws:
        """The choices for some rows."""
        return Draws(*(drawn[rows_r] for drawn in self))


class Made(NamedTuple):
    """A network's outputs for masked bodies: frames' tokens (R, N, V, C); vectors of a window, original and with two
    frames exchanged (R, 2, 2C); of the clip, original and with two windows exchanged (R, 4C); of the next window (R,
    2C), without gradient."""

    tokens_rnvc: Tensor
    pair_r2c: Tensor
    clip_rc: Tensor
    exchanged_rc: Tensor
    last_rc: Tensor


class Loss(Objective):
    """Masked joints, clip order, video order and future, with equal weights. Metrics: each of them.

    Every present body is a separate sequence. All levels see the clip with masked joints.
    """

    Options = HiTrsLossOptions
    columns = ("pose_loss", "clip_loss", "video_loss", "future_loss")
    needs = "hi_trs"
    views: ClassVar = {
        "only": [
            {"either": [[], [{"either": [["scale"], ["offset"], ["shear"]]}, {"either": [["between"], ["trim"]]}]]}
        ],
    }
    starts: Tensor

    def __init__(self, networks: Mapping[str, Backbone], options: HiTrsLossOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        if len(network.windows) < LEAST:
            raise InputError(
                f"objective: {network.frames} frames make {len(network.windows)} windows, but hi_trs needs three: raise"
                " model.frames"
            )
        self.options = options
        self.frame_orders, self.window_orders = exchanges(network.window), exchanges(len(network.windows) - 1)
        self.register_buffer("starts", windows(network.sizes, 1), persistent=False)
        self.padding, width = network.padding, network.width // 4
        self.pose = nn.Linear(width, COORDINATES)
        self.clip_order, self.video_order = nn.Linear(2 * width, PER_CLASS), nn.Linear(4 * width, PER_CLASS)
        self.future = nn.Linear(4 * width, 2 * width)

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict(
            {"pose": self.pose, "clip_order": self.clip_order, "video_order": self.video_order, "future": self.future}
        )

    def kept(self) -> nn.ModuleDict:
        """Nothing: the heads are not needed afterwards."""
        return nn.ModuleDict()

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        """With several processes, each encodes the bodies of its clips; all compute the order and future losses over
        all bodies.
        """
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        x_bmtvc, rows_r = batch.views["only"].x_bmtvc, sequences(batch.whole["only"].bodies)
        clips, bodies = len(batch.clips), x_bmtvc.shape[1]
        first, end = parallel.share(clips).start * bodies, parallel.share(clips).stop * bodies
        own_r = rows_r[(rows_r >= first) & (rows_r < end)]
        drawn = self.draw(clips * bodies, network, batch.generator)
        draws, count = drawn.of(own_r), drawn.predicted_rtv[rows_r].sum().clamp(min=1)
        seen_rtvc = network.stream(x_bmtvc.flatten(0, 1).index_select(0, sent(own_r - first, x_bmtvc.device)))
        with batch.arithmetic():
            made, moving_r = self.made(network, seen_rtvc, draws)
        batch.seen = made.clip_rc.detach()
        losses = {"pose_loss": self.pose_loss(made, seen_rtvc, draws.predicted_rtv, count) * parallel.count()}
        losses |= self.other_losses(made, moving_r, rows_r, own_r, clips * bodies)
        return torch.stack(list(losses.values())).sum(), {name: loss.detach() for name, loss in losses.items()}

    def made(self, network: Network, seen_rtvc: Tensor, draws: Draws) -> tuple[Made, Tensor]:
        """The network's outputs for bodies in the stream; whether they have a window in which they move, bool (R,)."""
        pair_r2w, moving_r = self.pair(seen_rtvc, draws)
        frames_rkw = torch.cat([pair_r2w, network.windows.expand(len(seen_rtvc), -1, -1)], 1)
        order_rk = sent(self.window_orders[draws.windows_r], seen_rtvc.device)
        hidden_rtvc = hidden(seen_rtvc, draws, self.options.token)
        return encoded(network, network.padded(hidden_rtvc), frames_rkw, order_rk), moving_r

    def draw(self, rows: int, network: Network, generator: torch.Generator) -> Draws:
        """Sample random choices for `rows` bodies."""
        shape, options = (rows, network.frames, network.joints), self.options
        fate_rtv = torch.rand(shape, generator=generator)
        predicted_rtv = torch.rand(shape, generator=generator) < options.hidden
        # another frame and another joint: a distance of at least one, around the end
        frame_rtv = torch.randint(1, network.frames, shape, generator=generator) + torch.arange(network.frames)[:, None]
        joint_rtv = torch.randint(1, max(2, network.joints), shape, generator=generator) + torch.arange(network.joints)
        elsewhere_rtv = frame_rtv % network.frames * network.joints + joint_rtv % network.joints
        other_rtv = predicted_rtv & (fate_rtv >= options.constant) & (fate_rtv < options.constant + options.other)
        return Draws(
            predicted_rtv,
            predicted_rtv & (fate_rtv < options.constant),
            torch.where(other_rtv, elsewhere_rtv, torch.arange(network.frames * network.joints).view(shape[1:])),
            torch.rand(rows, network.frames, generator=generator),
            torch.randint(len(self.frame_orders), (rows,), generator=generator),
            torch.randint(len(self.window_orders), (rows,), generator=generator),
        )

    def pair(self, seen_rtvc: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Per body, frames of a window in which it moves, and the same with two exchanged, (R, 2, window); whether
        there is one, (R,).
        """
        device = seen_rtvc.device
        moves_rk = moving(seen_rtvc, self.starts, self.padding)
        window_r = sent(draws.window_rt, device).masked_fill(~moves_rk, -1.0).argmax(1)
        frames_rw = self.starts[window_r]
        return torch.stack(
            [frames_rw, frames_rw.gather(1, sent(self.frame_orders[draws.frames_r], device))], 1
        ), moves_rk.any(1)

    def pose_loss(self, made: Made, seen_rtvc: Tensor, predicted_rtv: Tensor, count: Tensor) -> Tensor:
        """Smooth L1 of the predicted joints, summed over this process's bodies, divided by the number of coordinates
        in all processes.
        """
        pose_rtvc = self.pose(made.tokens_rnvc[:, self.padding : -self.padding].float())
        scale, device = self.options.scale, seen_rtvc.device
        error_rtv = F.smooth_l1_loss(scale * pose_rtvc, scale * seen_rtvc, reduction="none").mean(-1)
        return (error_rtv * sent(predicted_rtv, device)).sum() / sent(count, device)

    def other_losses(
        self, made: Made, moving_r: Tensor, rows_r: Tensor, own_r: Tensor, places: int
    ) -> dict[str, Tensor]:
        """Clip order, video order and future over the bodies of all processes.

        Args:
            moving_r: bool, whether a body has a window in which it moves; otherwise its clip order is ignored.
            rows_r, own_r: indices of the bodies of all processes, and of this one, among the batch's `places`, on the
                CPU.
        """
        parts = (
            self.clip_order(made.pair_r2c.float()).flatten(1),
            self.video_order(torch.stack([made.clip_rc, made.exchanged_rc], 1).float()).flatten(1),
            self.future(made.clip_rc.float()),
            made.last_rc.float(),
            moving_r[:, None].float(),
        )
        clips, videos, predicted_rc, true_rc, counted_r1 = everyones(parts, rows_r, own_r, places)
        counted_r2 = counted_r1.expand(-1, 2)
        clip = (order_losses(clips.unflatten(1, (2, -1))) * counted_r2).sum() / counted_r2.sum().clamp(min=1)
        return {
            "clip_loss": clip,
            "video_loss": order_losses(videos.unflatten(1, (2, -1))).mean(),
            "future_loss": info_nce(predicted_rc, true_rc, self.options.temperature),
        }


def encoded(
    network: Network, padded_rnvc: Tensor, frames_rkw: Tensor, order_rk: Tensor, absent_rk: Tensor | None = None
) -> Made:
    """Encode masked bodies on all levels.

    Args:
        padded_rnvc: (R, N, V, 3) in the stream, with half a window of zeros before and after.
        frames_rkw: frames of a window, of the same with two exchanged, and of the clip's windows, of which the last is
            predicted: (R, 2 + K + 1, window).
        order_rk: windows in the exchanged clip's order, int64 (R, K); absent_rk: bool, absent windows; None: all are
            present.
    """
    tokens_rnvc = network.frame_tokens(padded_rnvc)
    vectors_rkc = network.window_vectors(tokens_rnvc, frames_rkw)
    pair_r2c, windows_rkc, last_rc = vectors_rkc[:, :2], vectors_rkc[:, 2:-1], vectors_rkc[:, -1].detach()
    exchanged_rkc = windows_rkc.gather(1, order_rk[..., None].expand_as(windows_rkc))
    absent = None if absent_rk is None else torch.cat([absent_rk, absent_rk])
    clip_rc, exchanged_rc = network.of_windows(torch.cat([windows_rkc, exchanged_rkc]), absent).chunk(2)
    return Made(tokens_rnvc, pair_r2c, clip_rc, exchanged_rc, last_rc)


def sequences(bodies: Bodies) -> Tensor:
    """Indices, among all B · M, of bodies used as sequences: present ones that are no copies, or a clip's first if
    there is none.
    """
    return (counted_bodies(bodies.absent_bm, "present") & ~bodies.copied_bm).flatten().nonzero().squeeze(1)


def exchanges(places: int) -> Tensor:
    """Orders (P, places) in which two places at least `APART` from each other are exchanged; with two places, these
    two.
    """
    apart = min(APART, places - 1)
    orders = []
    for first in range(places):
        for second in range(first + apart, places):
            order = list(range(places))
            order[first], order[second] = second, first
            orders.append(order)
    return torch.tensor(orders)


def hidden(seen_rtvc: Tensor, draws: Draws, token: float) -> Tensor:
    """Bodies with joints replaced according to the random choices."""
    token_rtv, source_rtv = (sent(drawn, seen_rtvc.device) for drawn in (draws.token_rtv, draws.source_rtv))
    source_rlc = source_rtv.flatten(1)[..., None].expand(-1, -1, seen_rtvc.shape[-1])
    shown_rtvc = seen_rtvc.flatten(1, 2).gather(1, source_rlc).view_as(seen_rtvc)
    return shown_rtvc.masked_fill(token_rtv[..., None], token)


def moving(seen_rtvc: Tensor, frames_kw: Tensor, padding: int) -> Tensor:
    """Whether a body moves from the frame before to any frame of each window, bool (R, K); neither its first frame nor
    the padding counts.

    Args:
        frames_kw: windows' frames, int64 (K, window), of a clip with `padding` frames at either end.
    """
    moved_rt = (seen_rtvc[:, 1:] - seen_rtvc[:, :-1]).abs().sum((2, 3)) > 0
    return F.pad(moved_rt, (1 + padding, padding))[:, frames_kw].any(-1)


def order_losses(logits_r2k: Tensor) -> Tensor:
    """Cross-entropy (R, 2) of classifying the original order (first) against the changed order (second)."""
    told_r2k = logits_r2k.log_softmax(-1)
    return -torch.stack([told_r2k[:, 0, ORIGINAL], told_r2k[:, 1, 1 - ORIGINAL]], 1)


def info_nce(predicted_rc: Tensor, true_rc: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each predicted vector against all true ones, by cosine similarity over the temperature."""
    logits_rr = normalize(predicted_rc, dim=1) @ normalize(true_rc, dim=1).T / temperature
    return cross_entropy(logits_rr, torch.arange(len(logits_rr), device=logits_rr.device))


def everyones(parts: Sequence[Tensor], rows_r: Tensor, own_r: Tensor, places: int) -> tuple[Tensor, ...]:
    """Gather tensors of this process's bodies (R, n) from all processes, in order; arguments as in `other_losses`."""
    joined_rn, widths = torch.cat(list(parts), 1), [part.shape[1] for part in parts]
    if parallel.count() > 1:
        share = places // parallel.count()
        device = joined_rn.device
        spread = joined_rn.new_zeros(share, joined_rn.shape[1]).index_copy(
            0, sent(own_r - parallel.rank() * share, device), joined_rn
        )
        joined_rn = parallel.gather(spread).index_select(0, sent(rows_r, device))
    return joined_rn.split(widths, 1)
