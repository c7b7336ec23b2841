"""ActCLR: finds the moving region, the actionlet, by contrast with a static clip and augments it less (Lin et al.,
CVPR 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.backbones.base import Backbone
from stars.backbones.body import body_parts, part_averages, paths
from stars.backbones.graph import root
from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.data.device import sent
from stars.objectives.aimclr import EXTREME
from stars.objectives.base import Batch, Objective
from stars.objectives.cmd import distillation
from stars.objectives.contrast import Contrast, ContrastOptions
from stars.objectives.mixing import Mix, Region, draw_mix, draw_offset, mix_clips, mix_keys
from stars.objectives.skeletonclr import NORMAL

STRONG: list[object] = [*NORMAL, "swap", "rotate", {"noise": {"std": 0.05}}, "blur", "axis_mask", "stretch"]
ACTIVE = 1e-8  # mean activation from which a whole body part is actionlet
EMPTY = 1e-5  # keeps the mean over an empty actionlet finite
LENGTH, SPREAD = 1e-5, 1e-3  # keep ratios of (squared) lengths and of standard deviations finite


class ActClrOptions(ContrastOptions):
    """ActCLR's settings."""

    queue: Count = key(65536, "keys kept from earlier steps")
    temperature: Positive = key(0.1, "temperature of the queries' similarities")
    key_temperature: Positive = key(0.04, "temperature of the keys' similarities, the targets")
    topk: Count = key(
        8192, "entries of the queue most similar to the key that form the target distribution; at most all"
    )
    same_above: float = key(
        0.95, "entries of the queue more similar to the key than this count as opposite to it", gt=0
    )
    squared: bool = key(True, "compare squared similarities of the queries with those of the keys (released code)")
    sharpness: Positive = key(
        10.0, "logarithm of the weight of a clip's actionlet relative to the rest when keys of mixed clips are mixed"
    )
    bones: Fraction | None = key(
        0.5,
        "the strong view's bones are rescaled by this times a uniform number from 0 to 1 per clip and bone; null:"
        " unchanged",
    )
    region: Region = key(Region(), "mixed region of a clip")
    later_region: Region = key(
        Region(parts=(1, 2), places=(1, 3)), "the same for the second loss from `later_epoch` on"
    )
    later_epoch: Count = key(199, "epochs after which `later_region` is used")
    mixed: Literal["release", "plain"] = key(
        "release",
        "clips that the third loss mixes. release: for the joint stream, those already changed to other bone lengths,"
        " since the released code changes them in place; plain: the view's own",
    )


class Loss(Objective):
    """The similarities to the queue of three queries follow those of the key: a clip strongly augmented outside its
    actionlet; with another clip's bone lengths and mixed with a clip outside its actionlet; and mixed everywhere, with
    an equally mixed key.

    Metrics: mean cosine of the first query and the key; share of the actionlet.
    """

    Options = ActClrOptions
    columns = ("positive_cosine", "actionlet_share")
    needs = "st_gcn"
    views: ClassVar = {"strong": STRONG, "normal": EXTREME, "weak": NORMAL, "key": NORMAL}
    parents_v: Tensor
    paths_vv: Tensor
    parts_vv: Tensor

    def __init__(self, networks: Mapping[str, Backbone], options: ActClrOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.options, self.later = options, False
        self.contrast = Contrast(network, options, generator)
        self.parts, self.root = body_parts(network.parents), root(network.parents)
        self.register_buffer("parents_v", torch.tensor(network.parents), persistent=False)
        self.register_buffer("paths_vv", paths(network.parents), persistent=False)
        self.register_buffer("parts_vv", part_averages(self.parts, network.joints), persistent=False)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 3, 3

    def heads(self) -> nn.ModuleDict:
        return self.contrast.heads()

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        self.later = epoch >= self.options.later_epoch

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,) = networks.values()
        clips, regions = (
            len(batch.clips),
            (
                self.options.later_region if self.later else self.options.region,
                self.options.region,
            ),
        )
        seen = {name: network.stream(view.x_bmtvc) for name, view in batch.views.items()}
        if self.options.bones is not None:
            scale_bv = self.options.bones * torch.rand(clips, network.joints, generator=batch.generator)
            seen["strong"] = network.stream(self._rescaled(batch.views["strong"].x_bmtvc, scale_bv))
        offset = draw_offset(clips, batch.generator)
        mixes = [
            draw_mix(clips, network.frames, network.joints, self.parts, region, batch.generator) for region in regions
        ]
        return self.mixed(batch, network, seen, offset, *mixes)

    def mixed(
        self, batch: Batch, network: Backbone, seen: Mapping[str, Tensor], offset: int, outside: Mix, everywhere: Mix
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step in which each clip takes the bone lengths of the clip `offset` further on and is mixed as given;
        `seen`: views in the stream.
        """
        options, contrast = self.options, self.contrast
        contrast.ema_update(network)
        with torch.no_grad():
            keys_bd, anchor_1d = self._keys(batch, seen["key"])
            normal_bmsv, weak_bmsv = (
                self._actionlets(batch, network, seen[name], anchor_1d) for name in ("normal", "weak")
            )
            lengths = self._exchanged(network.stream.kind, seen["weak"], offset)
            clips = lengths if options.mixed == "release" and network.stream.kind == "joint" else seen["weak"]
            mixed_keys_bd = mix_keys(keys_bd, (weak_bmsv * options.sharpness).exp(), everywhere)
            shown = (
                joined(seen["normal"], seen["strong"], normal_bmsv),
                joined(lengths, mix_clips(lengths, outside), weak_bmsv),
                mix_clips(clips, everywhere),
            )
            taught, taught_mixed = self._taught(keys_bd), self._taught(mixed_keys_bd)
        queries = [self._query(batch, network, x_bmtvc) for x_bmtvc in shown]
        losses = [
            self._distribution_loss(one, *targets)
            for one, targets in zip(queries, (taught, taught, taught_mixed), strict=True)
        ]
        contrast.queue.update(keys_bd, batch.clips)
        cosine = (queries[0].detach() * keys_bd).sum(1).mean()
        return torch.stack(losses).sum(), {"positive_cosine": cosine, "actionlet_share": normal_bmsv.mean()}

    def _keys(self, batch: Batch, seen_bmtvc: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (B, D), unit vectors, half from the whole clip and half from its actionlet; and the anchor (1, D),
        from the batch's mean clip.
        """
        project, network = self.contrast.key_projector, self.contrast.key_network
        anchor_1d = project(pooled(features(batch, network, seen_bmtvc.mean(0, keepdim=True))).mean(1))
        grid = features(batch, network, seen_bmtvc)
        found_bmsv = actionlets(project, grid, anchor_1d, self.parts_vv)
        whole_bd, active_bd = (project(y_bmc.mean(1)) for y_bmc in (pooled(grid), pooled(grid, found_bmsv)))
        return normalize(whole_bd + active_bd, dim=1), anchor_1d

    def _actionlets(self, batch: Batch, network: Backbone, seen_bmtvc: Tensor, anchor_1d: Tensor) -> Tensor:
        return actionlets(self.contrast.projector, features(batch, network, seen_bmtvc), anchor_1d, self.parts_vv)

    def _exchanged(self, stream: str, seen_bmtvc: Tensor, offset: int) -> Tensor:
        """Clips with the bone lengths of others; in the motion stream, with their mean and standard deviation."""
        others_bmtvc = seen_bmtvc.roll(-offset, 0)
        if stream == "motion":
            return restyled(seen_bmtvc, others_bmtvc)
        if stream == "bone":
            return relengthened(seen_bmtvc, others_bmtvc)
        return self._poses(seen_bmtvc, relengthened(self._bones(seen_bmtvc), self._bones(others_bmtvc)))

    def _rescaled(self, x_bmtvc: Tensor, scale_bv: Tensor) -> Tensor:
        """Scale the bones of poses by (B, V), in main memory."""
        return self._poses(x_bmtvc, self._bones(x_bmtvc) * sent(scale_bv, x_bmtvc.device)[:, None, None, :, None])

    def _bones(self, x_bmtvc: Tensor) -> Tensor:
        return x_bmtvc - x_bmtvc.index_select(3, self.parents_v)

    def _poses(self, x_bmtvc: Tensor, bones_bmtvc: Tensor) -> Tensor:
        """Poses with these bones and the same root."""
        return x_bmtvc[..., self.root, None, :] + self.paths_vv @ bones_bmtvc

    def _query(self, batch: Batch, network: Backbone, seen_bmtvc: Tensor) -> Tensor:
        y_bc = pooled(features(batch, network, seen_bmtvc)).mean(1)
        batch.seen = y_bc.detach()
        return self.contrast.project(y_bc)

    def _taught(self, keys_bd: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution over the entries most similar to each key, (B, k), and their indices."""
        similar_bq = self.contrast.similarities(keys_bd)
        apart_bq = torch.where(similar_bq > self.options.same_above, -1.0, similar_bq)
        values_bk, places_bk = apart_bq.topk(min(self.options.topk, self.options.queue), dim=1)
        return (values_bk / self.options.key_temperature).softmax(1), places_bk

    def _distribution_loss(self, queries_bd: Tensor, p_key_bk: Tensor, places_bk: Tensor) -> Tensor:
        similar_bq = self.contrast.similarities(queries_bd)
        return distillation(
            p_key_bk, places_bk, similar_bq.square() if self.options.squared else similar_bq, self.options.temperature
        )

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.contrast.reset_copies(next(iter(networks.values())))


def features(batch: Batch, network: Backbone, seen_bmtvc: Tensor) -> Tensor:
    """Features by time and joint (B, M, T/4, V, C) float32 of clips in a stream, one row per body."""
    with batch.arithmetic():
        return network.grid(seen_bmtvc.flatten(0, 1)).float().unflatten(0, seen_bmtvc.shape[:2])


def pooled(grid_bmsvc: Tensor, weight_bmsv: Tensor | None = None) -> Tensor:
    """Mean over time and joints of each body, (B, M, C), weighted or not."""
    if weight_bmsv is None:
        return grid_bmsvc.mean((2, 3))
    return torch.einsum("bmsvc,bmsv->bmc", grid_bmsvc, weight_bmsv) / (weight_bmsv.sum((2, 3)) + EMPTY)[..., None]


def actionlets(projector: nn.Module, grid_bmsvc: Tensor, anchor_1d: Tensor, parts_vv: Tensor) -> Tensor:
    """Degree to which each place belongs to a clip's actionlet, 0 to 1, (B, M, T/4, V): where features differ from the
    static anchor.

    Class activation maps (Selvaraju et al., Grad-CAM, ICCV 2017) of 1 − cos(clip, anchor), mean over the batch,
    averaged over body parts.
    """
    pooled_bmc = pooled(grid_bmsvc).detach().requires_grad_()
    with torch.enable_grad():
        cosine = (normalize(projector(pooled_bmc.mean(1)), dim=1) * normalize(anchor_1d, dim=1)).sum(1).mean()
        (slope_bmc,) = torch.autograd.grad(-cosine, pooled_bmc)
    places = grid_bmsvc.shape[2:].numel()
    active_bmsv = torch.einsum("bmsvc,bmc->bmsv", grid_bmsvc.detach(), slope_bmc).relu() / places
    return (active_bmsv @ parts_vv / ACTIVE).clamp(max=1)


def joined(inside_bmtvc: Tensor, outside_bmtvc: Tensor, actionlet_bmsv: Tensor) -> Tensor:
    """Combine one version of a clip inside its actionlet with another outside it, interpolated between frames."""
    size = inside_bmtvc.shape[2:4]
    share_bmtv = F.interpolate(actionlet_bmsv, size, mode="bilinear", align_corners=True)[..., None]
    return inside_bmtvc * share_bmtv + outside_bmtvc * (1 - share_bmtv)


def relengthened(bones_bmtvc: Tensor, others_bmtvc: Tensor) -> Tensor:
    """Bones with their direction and the others' length, per frame."""
    own, other = ((x.square().sum(-1, keepdim=True) + LENGTH).sqrt() for x in (bones_bmtvc, others_bmtvc))
    return bones_bmtvc * (other / own)


def restyled(x_bmtvc: Tensor, others_bmtvc: Tensor) -> Tensor:
    """Replace each frame's mean over joints and each joint's standard deviation over time by the others'."""
    mean, spread = x_bmtvc.mean(3, keepdim=True), x_bmtvc.std(2, keepdim=True)
    return (x_bmtvc - mean) / (spread + SPREAD) * others_bmtvc.std(2, keepdim=True) + others_bmtvc.mean(3, keepdim=True)
