"""HiCo's transformer with two domains: sequences of frames and of joints, each at several granularities.

Dong et al., "Hierarchical Contrast for Unsupervised Skeleton-based Action Recognition", AAAI 2023, §3.1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from stars.backbones.attention import attend
from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.config.base import Count, key
from stars.errors import InputError

COARSER = 2  # downsampling factor between granularities
LANES = 2**16  # number of values of the 16 random bits that decide on dropout


class HicoBackboneOptions(BackboneOptions):
    """HiCo's size."""

    frames: Count = key(64, "frames a clip is resized to")
    hidden: Count = key(512, "width of tokens; features are 2 · granularities times as wide")
    heads: Count = key(4, "attention heads; must divide hidden")
    depth: Count = key(1, "transformer layers per domain")
    granularities: Count = key(4, "number of sequence lengths, each half the previous one")
    kernel: Count = key(5, "kernel size of the convolution before each halving, odd")
    dropout: float = key(0.1, "share of attention weights and of branches' values set to zero in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> HicoBackboneOptions:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd")
        return self


class Network(Backbone):
    """Two domains with separate weights. Feature: maximum of each channel over a sequence, concatenated over domains
    and granularities, finest first: (B, 2 · G · hidden)."""

    Options = HicoBackboneOptions
    whole_clips = True

    def __init__(
        self, options: HicoBackboneOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1
    ) -> None:
        super().__init__(options, joints, parents, bodies)
        places, coordinates = bodies * joints, 3
        if min(options.frames, places) < COARSER ** (options.granularities - 1):
            raise InputError(
                f"model.granularities: {options.granularities} are too many for {options.frames} frames and {places}"
                " joints of all bodies"
            )
        self.granularities, self.hidden = options.granularities, options.hidden
        self.width = 2 * options.granularities * options.hidden
        self.time = Domain(places * coordinates, options)
        self.space = Domain(options.frames * coordinates, options)
        lengths = [max(options.frames, places) // COARSER**number for number in range(options.granularities)]
        self.numbers_a_row = 3 * options.hidden * sum(lengths)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)

    def encode(self, seen: Tensor) -> Tensor:
        """(B, M, T, V, 3) → (B, 2 · G · hidden): features of the frames' domain, then of the joints'."""
        frames_tbn = seen.permute(2, 0, 1, 3, 4).flatten(2)  # of a frame: bodies, their joints, xyz
        # bodies, their joints; of a joint: frames, xyz
        joints_pbn = seen.permute(1, 3, 0, 2, 4).flatten(3).flatten(0, 1)
        return torch.cat([self.time(frames_tbn).flatten(1), self.space(joints_pbn).flatten(1)], 1)

    def levels(self, y_bc: Tensor) -> tuple[Tensor, Tensor]:
        """Clip-level (frames) and part-level (joints) vectors in a feature, (B, G, hidden) each."""
        clips_bgc, parts_bgc = y_bc.unflatten(1, (2, self.granularities, self.hidden)).unbind(1)
        return clips_bgc, parts_bgc

    def layers(self) -> Layers:
        stems: list[nn.Module] = [part for domain in (self.time, self.space) for part in (domain.embed, domain.coarser)]
        blocks: list[nn.Module] = [
            nn.ModuleList(pair) for pair in zip(self.time.blocks, self.space.blocks, strict=True)
        ]
        return Layers(stems, blocks, [])

    def flops(self) -> float:
        """Includes attention, whose fused kernel torch counts only on GPUs."""
        with sdpa_kernel(SDPBackend.MATH):
            return super().flops()


class Domain(nn.Module):
    """One domain: (L, B, n) → (B, G, hidden). All granularities share its layers; there are no position embeddings.

    The sequence is the first dimension in memory, so that sequences, heads and convolution inputs are views without
    copies.
    """

    def __init__(self, numbers: int, options: HicoBackboneOptions) -> None:
        super().__init__()
        hidden, self.granularities = options.hidden, options.granularities
        self.embed = nn.Sequential(
            nn.Linear(numbers, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden)
        )
        self.coarser = Coarser(hidden, options.kernel)
        self.blocks = nn.ModuleList(Block(hidden, options.heads, options.dropout) for _ in range(options.depth))

    def forward(self, x_lbn: Tensor) -> Tensor:
        sequences = [self.embed(x_lbn)]
        for _ in range(1, self.granularities):
            sequences.append(self.coarser(sequences[-1]))
        # Granularities are concatenated for few large matrix products; only attention separates them.
        lengths, x_lbc = [len(sequence) for sequence in sequences], torch.cat(sequences)
        for block in self.blocks:
            x_lbc = block(x_lbc, lengths)
        return torch.stack([sequence.amax(0) for sequence in x_lbc.split(lengths)], 1)


class Coarser(nn.Module):
    """Halve a sequence, (L, B, C) → (L // 2, B, C): depthwise convolution, LayerNorm, max pooling by two, ReLU."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_lbc: Tensor) -> Tensor:
        image_1clb = x_lbc.permute(2, 0, 1)[None]  # channels last in memory
        along = self.along
        mixed_1clb = F.conv2d(
            image_1clb, along.weight[..., None], along.bias, padding=(along.kernel_size[0] // 2, 0), groups=along.groups
        )
        mixed_lbc = self.norm(mixed_1clb[0].permute(1, 2, 0))
        pairs = mixed_lbc[: len(mixed_lbc) // COARSER * COARSER].unflatten(0, (-1, COARSER))
        return pairs.amax(1).relu()


class Block(nn.Module):
    """Post-norm transformer layer (Vaswani et al., 2017): LN(x + Attention(x)), then LN(x + FeedForward(x)), with a
    hidden layer of the same width and ReLU.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, width), nn.Linear(width, width)
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = Dropout(dropout)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_lbc: Tensor, lengths: list[int]) -> Tensor:
        """(L, B, C) → the same shape; L consists of several sequences of these lengths, without attention between
        them.
        """
        thirds = zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), strict=True)
        split = zip(*(F.linear(x_lbc, *third).split(lengths) for third in thirds), strict=True)
        mixed_lbc = torch.cat(
            [self._attended(*(part.unflatten(-1, (self.heads, -1)) for part in qkv)) for qkv in split]
        )
        x_lbc = self.attention_norm(x_lbc + self.drop(self.out(mixed_lbc)))
        return self.forward_norm(x_lbc + self.drop(self.narrow(self.drop(self.widen(x_lbc).relu()))))

    def _attended(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """softmax(QKᵀ/√d)·V of each row and head, (L, B, H, d) → (L, B, C), with dropout on the weights in training."""
        if self.drop.active and query.device.type == "cpu":
            query, key, value = (part.flatten(1, 2).transpose(0, 1) for part in (query, key, value))
            weights = torch.bmm(query * query.shape[-1] ** -0.5, key.mT).softmax(-1)
            return torch.bmm(self.drop(weights), value).transpose(0, 1).unflatten(1, (-1, self.heads)).flatten(2)
        query, key, value = (part.permute(1, 2, 0, 3) for part in (query, key, value))
        dropped = self.drop.active
        mixed_bhld = (
            F.scaled_dot_product_attention(query, key, value, dropout_p=self.drop.p)
            if dropped
            else attend(query, key, value)
        )
        return mixed_bhld.permute(2, 0, 1, 3).flatten(2)


class Dropout(nn.Dropout):
    """nn.Dropout that uses 16 random bits per value on a CPU, several times as fast; p is rounded to a multiple of
    2⁻¹⁶.
    """

    @property
    def active(self) -> bool:
        """Whether dropout is active."""
        return self.training and self.p > 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.active or x.device.type != "cpu":
            return F.dropout(x, self.p, self.training)
        words = -(-x.numel() // 4)
        bits = torch.randint(-(2**63), 2**63 - 1, (words,)).view(torch.int16)[: x.numel()].view(x.shape)
        dropped = round(self.p * LANES)
        kept = bits.ge_(dropped - LANES // 2)  # 0 or 1 as int16, faster than bool
        return x * kept.to(x.dtype).mul_(LANES / (LANES - dropped))
