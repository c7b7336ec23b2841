"""What a loss of stage 2 is, and what it sees of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.config import Sampling, Settings, TuneBase
from stars.data.bodies import joined
from stars.data.sampling import View
from stars.model.encoder import Encoder, clip_features
from stars.training import parallel
from stars.training.optimiser import arithmetic


class Batch:
    """Crops of each clip of a step, and what encoders make of them.

    Of several processes each holds its share of the crops; features and clips are those of the whole batch, the same in all of them.

    Args:
        encoder: the one that is tuned.
        views: crops (b, M, T, V, 3) with what is known of them, in the order of `Strategy.crops`; b is this process's share of B clips.
        clips: numbers of the B clips.
        labels: of all training clips, for what is only watched.
        generator: of the step; what a strategy draws comes from it, the same in all processes.

    `seen` is what the tuned encoder made of its first view last, without gradient, for the collapse monitor.
    """

    seen: Tensor

    def __init__(
        self, encoder: Encoder, views: Sequence[View], clips: Tensor, labels: Tensor, settings: TuneBase, generator: torch.Generator
    ) -> None:
        self.encoder, self.views, self.clips, self.settings, self.generator = encoder, views, clips, settings, generator
        self._labels = labels

    def features(self, encoder: Encoder | None = None, views: slice = slice(None)) -> tuple[Tensor, ...]:
        """Pooled outputs (B, C) float32 of each view, by `encoder` (None: the tuned one) in one pass over all of them."""
        chosen = self.views[views]
        x_bmtvc, known = torch.cat([view.x_bmtvc for view in chosen]), joined(view.bodies for view in chosen)
        with arithmetic(x_bmtvc.device, self.settings.precision):
            y_bc = clip_features(encoder or self.encoder, x_bmtvc, self.settings.bodies, known=known).float()
        y_views = tuple(parallel.gather(y_bc) for y_bc in y_bc.chunk(len(chosen)))
        if encoder is None:
            self.seen = y_views[0].detach()
        return y_views

    def agreement(self, others_b: Tensor) -> Tensor:
        """Share of `others_b`, a training clip for each of the B (negative: none), that are another clip and show the same action."""
        another_b = (others_b >= 0) & (others_b != self.clips)
        same_b = self._labels[others_b.clamp(min=0)] == self._labels[self.clips]
        return (another_b & same_b).sum() / another_b.sum().clamp(min=1)


class Strategy(nn.Module):
    """A loss with its heads and what it remembers; all of it is saved in checkpoints. A strategy's file calls its own `Loss`.

    Attributes:
        Options: its settings, a block of the configuration.
        columns: names of the facts that it adds to the curve.

    Args of `__init__`:
        encoder: the one that is tuned, its trained blocks requiring gradients; a teacher may copy it, the rest only look at its shape.
        options: an `Options`.
        generator: of its memory's random start; initial weights come from torch's own generator, which is seeded.
    """

    Options: ClassVar[type[Settings]]
    columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, encoder: Encoder, options: Settings, generator: torch.Generator) -> None:
        super().__init__()

    def crops(self, sampling: Sampling) -> list[Sampling]:
        """How each view of a clip is cut; `sampling` is `tune.sampling`."""
        return [sampling]

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scalar loss of a step, and its facts by the names in `columns`, scalars that nothing waits for."""
        raise NotImplementedError

    def heads(self) -> nn.ModuleDict:
        """What is trained beside the encoder, and written to heads.safetensors: `projector` and perhaps `predictor`."""
        raise NotImplementedError

    def heads_filled(self) -> None:
        """Called when the heads have got trained weights to start from: what was copied from the new heads is copied again."""

    def after(self, encoder: Encoder, done: int, steps: int) -> None:
        """Called when `done` of `steps` steps are done, the tuned encoder's weights new."""

    def result(self, encoder: Encoder) -> Encoder:
        """The encoder that the training is for."""
        return encoder
