"""Three stacked transformers: joints of a frame, frames of a window, windows of a clip (Chen et al., Hi-TRS, ECCV
2022).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from stars.backbones.attention import attend
from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.config.base import Count, key
from stars.errors import InputError

COORDINATES = 3
BASE = 10000.0  # base of the wavelengths of positions


class HiTrsOptions(BackboneOptions):
    """Hi-TRS's size."""

    frames: Count = key(64, "frames a clip is resized to; windows fit exactly if it is a multiple of stride plus one")
    window: Count = key(7, "frames of a window, odd and at least 3")
    dilation: Count = key(2, "distance between consecutive frames of a window")
    stride: Count = key(7, "distance between the starts of consecutive windows, frames")
    width: Count = key(
        128, "width of a frame's tokens, a multiple of 4; a window's tokens are twice, a clip's four times as wide"
    )
    heads: Count = key(8, "attention heads")
    head_width: Count = key(64, "width of a head's queries, keys and values, the same in all three transformers")
    depth: Count = key(3, "layers of each transformer")
    places: Count = key(200, "rows of the position table of windows, at least the number of windows in a clip")
    dropout: float = key(0.2, "share of a branch's values set to zero in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> HiTrsOptions:
        if self.window % 2 == 0 or self.window < 3:
            raise ValueError(f"window ({self.window}) must be odd and at least 3")
        if self.width % 4:
            raise ValueError(f"width ({self.width}) must be a multiple of 4")
        return self

    @property
    def padding(self) -> int:
        """Zero frames before and after a clip: half a window."""
        return self.window // 2 * self.dilation


class Network(Backbone):
    """Bodies are rows. Each level takes the output of the one below; fusion tokens summarise windows and clips.
    Feature: (R, 4 · width).
    """

    Options = HiTrsOptions
    windows: Tensor

    def __init__(self, options: HiTrsOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        self.sizes, self.padding, self.window, width = options, options.padding, options.window, options.width
        self.width = 4 * width
        self.register_buffer("windows", windows(options, options.stride), persistent=False)
        self.register_buffer("across_frames", across_frames(options.window, joints), persistent=False)
        if len(self.windows) > options.places:
            raise InputError(
                f"model.places ({options.places}) is below the {len(self.windows)} windows of {options.frames} frames:"
                " raise it"
            )
        embed = nn.Sequential(nn.Linear(COORDINATES, width), nn.GELU(), nn.LayerNorm(width))
        self.frame = Level(Tokens(embed, sinusoids(joints, width)), width, options)
        table_wvc = torch.cat(
            [over_columns(options.window, joints, width), over_rows(options.window, joints, width)], -1
        )
        self.clip = Level(Tokens(nn.Linear(width, 2 * width), table_wvc.flatten(0, 1), fused=True), width, options)
        self.video = Level(
            Tokens(nn.Linear(2 * width, 4 * width), sinusoids(options.places, 4 * width), fused=True),
            2 * width,
            options,
        )
        self.numbers_a_row = 2 * width * len(self.windows) * (options.window * joints + 1)

    def encode(self, seen: Tensor) -> Tensor:
        return self.of_windows(self.window_vectors(self.frame_tokens(self.padded(seen)), self.windows))

    def padded(self, x_rtvc: Tensor) -> Tensor:
        """Pad with half a window of zero frames before and after, (R, N, V, …)."""
        return F.pad(x_rtvc, (0, 0, 0, 0, self.padding, self.padding))

    def frame_tokens(self, padded_rnvc: Tensor) -> Tensor:
        """Encode frames separately, (R, N, V, 3) → (R, N, V, width)."""
        return self.frame(padded_rnvc.flatten(0, 1)).unflatten(0, padded_rnvc.shape[:2])

    def window_vectors(self, tokens_rnvc: Tensor, frames: Tensor) -> Tensor:
        """Vectors (R, K, 2 · width) of windows, defined by frames for all rows, int64 (K, window), or for each row,
        (R, K, window).
        """
        rows, length = tokens_rnvc.shape[:2]
        frames_rkw = frames.expand(rows, -1, -1)
        at_rkw = torch.arange(rows, device=frames.device)[:, None, None] * length + frames_rkw
        # F.embedding, since windows overlap and the gradient of indexing is not deterministic on several CPU threads.
        taken = F.embedding(at_rkw.flatten(0, 1), tokens_rnvc.flatten(0, 1).flatten(1))
        tokens_klc = taken.unflatten(2, tokens_rnvc.shape[2:]).flatten(1, 2)
        return self.clip(tokens_klc, self.across_frames)[:, -1].unflatten(0, frames_rkw.shape[:2])

    def of_windows(self, vectors_rkc: Tensor, absent_rk: Tensor | None = None) -> Tensor:
        """Feature (R, 4 · width) of windows' vectors in order; absent: bool (R, K), absent windows."""
        mask = None if absent_rk is None else F.pad(~absent_rk, (0, 1), value=True)[:, None, None]
        return self.video(vectors_rkc, mask)[:, -1]

    def layers(self) -> Layers:
        blocks: list[nn.Module] = list(self.frame.blocks)
        for level in (self.clip, self.video):
            first, *others = level.blocks
            blocks += [nn.ModuleList([level.tokens, first]), *others]
        return Layers([self.frame.tokens], blocks, [])


class Level(nn.Module):
    """A transformer: output of the level below → tokens after its last layer."""

    def __init__(self, tokens: Tokens, hidden: int, options: HiTrsOptions) -> None:
        super().__init__()
        self.tokens = tokens
        self.blocks = nn.ModuleList(Block(tokens.positions.shape[1], hidden, options) for _ in range(options.depth))

    def forward(self, x_rlc: Tensor, mask: Tensor | None = None) -> Tensor:
        """(R, L, …) → (R, L, C), or (R, L + 1, C), the fusion token last; mask: bool, (L, L) or (R, 1, 1, L), true
        for visible tokens.
        """
        made_rlc = self.tokens(x_rlc)
        for block in self.blocks:
            made_rlc = block(made_rlc, mask)
        return made_rlc


class Tokens(nn.Module):
    """Inputs (R, L, …) as tokens with positions, the table's first L rows; if `fused`, followed by a token without
    position.
    """

    def __init__(self, embed: nn.Module, table_lc: Tensor, fused: bool = False) -> None:
        super().__init__()
        self.embed, self.positions = embed, nn.Parameter(table_lc)
        self.fusion = nn.Parameter(torch.rand(table_lc.shape[1])) if fused else None

    def forward(self, x_rlc: Tensor) -> Tensor:
        tokens_rlc = self.embed(x_rlc) + self.positions[: x_rlc.shape[1]]
        return (
            tokens_rlc
            if self.fusion is None
            else torch.cat([tokens_rlc, self.fusion.expand(len(x_rlc), 1, -1).to(tokens_rlc)], 1)
        )


class Block(nn.Module):
    """Pre-norm transformer layer with configurable head width, attention without biases, and GELU: (R, L, C) → the
    same shape.
    """

    def __init__(self, width: int, hidden: int, options: HiTrsOptions) -> None:
        super().__init__()
        self.heads, inner = options.heads, options.heads * options.head_width
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.keys, self.values = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, width, bias=False)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x_rlc: Tensor, mask: Tensor | None) -> Tensor:
        x_rlc = x_rlc + self.dropout(self.out(self._attended(self.attention_norm(x_rlc), mask)))
        return x_rlc + self.dropout(self.narrow(F.gelu(self.widen(self.forward_norm(x_rlc)))))

    def _attended(self, x_rlc: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            part(x_rlc).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.queries, self.keys, self.values)
        )
        return attend(query, key, value, mask).transpose(1, 2).flatten(2)


def windows(options: HiTrsOptions, stride: int) -> Tensor:
    """Frames of a padded clip's windows, int64 (K, window), with starts every `stride` frames.

    The last window is the first that reaches the clip's last frame and whose successor would exceed the padding;
    indices beyond the end are clamped to the last frame.
    """
    length, span = options.frames + 2 * options.padding, (options.window - 1) * options.dilation
    reaching = -(-(length - 1 - options.padding - span) // stride)
    fitting = (length - 1 - span) // stride
    starts = torch.arange(max(reaching, fitting, 0) + 1) * stride
    return (starts[:, None] + torch.arange(options.window) * options.dilation).clamp(max=length - 1)


def across_frames(window: int, joints: int) -> Tensor:
    """Attention mask of a window, bool (L + 1, L + 1), for joints and the fusion token: excludes other joints of a
    joint's own frame.
    """
    frame_l = torch.arange(window).repeat_interleave(joints)
    seen_ll = (frame_l[:, None] != frame_l) | torch.eye(len(frame_l), dtype=torch.bool)
    return F.pad(seen_ll, (0, 1, 0, 1), value=True)


def sinusoids(places: int, width: int) -> Tensor:
    """A table (places, width): channels 2i and 2i + 1 are sine and cosine of p · 10000^(−2i / width)."""
    angles_pi = torch.arange(places)[:, None] * BASE ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angles_pi.sin(), angles_pi.cos()], 2).flatten(1)


def over_columns(rows: int, columns: int, width: int) -> Tensor:
    """(rows, columns, width), the sinusoids of the column."""
    return sinusoids(columns, width).expand(rows, -1, -1)


def over_rows(rows: int, columns: int, width: int) -> Tensor:
    """(rows, columns, width), the sinusoids of the row."""
    return sinusoids(rows, width)[:, None].expand(-1, columns, -1)
