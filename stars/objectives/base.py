"""What an objective is: a loss, the heads it trains beside its networks, and what it remembers; and what it sees of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.clips import clip_features, counted_bodies, distinct_bodies
from stars.config.base import Settings
from stars.config.training import Sampling
from stars.data.bodies import Bodies, joined
from stars.errors import InputError
from stars.training import parallel
from stars.training.precision import arithmetic
from stars.views.crop import View


class Trains(NamedTuple):
    """A network that an objective trains: the backbone's name, and differences in that backbone's settings."""

    backbone: str
    model: Mapping[str, object] = {}


class Batch:
    """Views of each clip of a step, and what networks make of them.

    Of several processes each encodes its share of the views; features and clips are those of the whole batch, the same in all of them.

    Args:
        whole: views of the whole batch by name, (B, M, T, V, 3) with what is known of their bodies.
        clips: numbers of the B clips.
        labels: of all training clips, for what is only watched.
        generator: of the step, on the CPU; all that an objective draws comes from it, the same in all processes.
        bodies: "all" or "present", those averaged into a clip's feature; precision: of the networks, fp32 or bf16.

    `views` are this process's share of them. `seen` is what a trained network made of its first view last, without gradient, for the collapse monitor.
    """

    seen: Tensor

    def __init__(
        self,
        whole: Mapping[str, View],
        clips: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        bodies: str = "all",
        precision: str = "fp32",
    ) -> None:
        self.whole, self.clips, self.generator, self.bodies, self.precision = whole, clips, generator, bodies, precision
        own = parallel.share(len(clips))
        self.views = whole if parallel.count() == 1 else {name: view.of(own) for name, view in whole.items()}
        self._labels = labels

    def arithmetic(self) -> torch.autocast:
        """The context that networks run in."""
        return arithmetic(self.clips.device, self.precision)

    def features(self, network: Backbone, *names: str) -> tuple[Tensor, ...]:
        """Features (B, C) float32 of the views with these names.

        All in one pass; one after another, where the network normalises over the batch.
        """
        if missing := [name for name in names if name not in self.views]:
            raise InputError(
                f"the objective asks for a view {missing[0]}, and its views are {', '.join(self.views)}: add it to `views` in its file"
            )
        groups = [[name] for name in names] if network.normalises_batches else [list(names)]
        made = tuple(y_bc for group in groups for y_bc in self._pass(network, group))
        if torch.is_grad_enabled():
            self.seen = made[0].detach()
        return made

    def _pass(self, network: Backbone, names: Sequence[str]) -> list[Tensor]:
        chosen = [self.views[name] for name in names]
        x_bmtvc, known = torch.cat([view.x_bmtvc for view in chosen]), joined(view.bodies for view in chosen)
        with self.arithmetic():
            y_bc = clip_features(network, x_bmtvc, self.bodies, known=known).float()
        return [parallel.gather(part_bc) for part_bc in y_bc.chunk(len(chosen))]

    def encoded(self, network: Backbone, seen_bmtvc: Tensor, bodies: Bodies, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """Features (B, C) float32 of this process's clips as its stream shows them and the objective changed them, of all processes.

        Args:
            bodies: of the view that they come from; encode: bodies (R, T, V, 3) as the stream shows them → (R, C).
        """
        with self.arithmetic():
            y_bc = clip_features(network, seen_bmtvc, self.bodies, encode=encode, known=bodies).float()
        return parallel.gather(y_bc)

    def agreement(self, others_b: Tensor) -> Tensor:
        """Share of `others_b`, a training clip for each of the B (negative: none), that are another clip and show the same action."""
        another_b = (others_b >= 0) & (others_b != self.clips)
        same_b = self._labels[others_b.clamp(min=0)] == self._labels[self.clips]
        return (another_b & same_b).sum() / another_b.sum().clamp(min=1)


class Objective(nn.Module):
    """A loss with its heads and what it remembers; all of it is saved in checkpoints.

    A file NAME.py in this package, or in plugins/objectives of the working directory, is the objective NAME, and calls its class `Loss`.

    Attributes:
        Options: its settings, a block of the configuration. Where it has a property `compared_heads`, names of kept heads, KNN may compare
            their outputs: the first is given a clip's feature, each other what the one before it made.
        columns: names of the facts that it adds to the curve.
        needs: what of a backbone it uses: "features" (any), "grid" (features by time and joint), or the name of the one it is made for.
        networks: the networks it trains unless told otherwise, by name; empty: one, the method's own.
        views: the views of a clip that it asks for, by name, each a list of what `stars.views` knows.
        only_tuning: options that `crops` alone reads; under `train`, where `views` say how a clip is cut, they are refused.

    Args of `__init__`:
        networks: by name, those that are trained, their trained parts requiring gradients. They are not to be registered: a key network
            is a copy, and of the rest only the sizes are looked at.
        options: an `Options`.
        generator: of its memory's random start; initial weights come from torch's own generator, which is seeded.
    """

    Options: ClassVar[type[Settings]]
    columns: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str] = "features"
    networks: ClassVar[Mapping[str, Trains]] = {}
    views: ClassVar[Mapping[str, Sequence[object]]] = {}
    only_tuning: ClassVar[tuple[str, ...]] = ()

    def __init__(self, networks: Mapping[str, Backbone], options: Settings, generator: torch.Generator) -> None:
        super().__init__()

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scalar loss of a step, and its facts by the names in `columns`, scalars that nothing waits for."""
        raise NotImplementedError

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        """Views of a clip a step that a network sees with a gradient, and without one: what a step costs."""
        return len(cls.views) or 1, 0

    def crops(self, sampling: Sampling) -> Mapping[str, Sampling]:
        """How each view of a clip is cut where stage 2 cuts them all by its own `sampling`, by name. These are the views there are; a name
        ending in a number is one of several alike: `local_0` is a view `local`."""
        return dict.fromkeys(self.views or ("only",), sampling)

    def seen(self, batch: Batch, networks: Mapping[str, Backbone]) -> Tensor:
        """Features (rows, C) of the newest step, without gradient, for the collapse monitor; asked when a row of the curve ends."""
        return batch.seen

    def rows(self, bodies: Bodies, counted: str) -> int:
        """Bodies that a network encodes of a view, `counted` being "all" or "present": what the memory of a step grows with."""
        return len(distinct_bodies(bodies, counted_bodies(bodies.absent_bm, counted))[0])

    def heads(self) -> nn.ModuleDict:
        """What is trained beside the networks, by name."""
        return nn.ModuleDict()

    def kept(self) -> nn.ModuleDict:
        """What of it is written to heads.safetensors."""
        return self.heads()

    def refilled(self, networks: Mapping[str, Backbone]) -> None:
        """Called when the heads have got trained weights to start from: what was copied from the new heads is copied again."""

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        """Called before each step: how many steps are done, and the epoch it is in, from 0."""

    def after(self, networks: Mapping[str, Backbone], done: int, steps: int) -> None:
        """Called when `done` of `steps` steps are done, the networks' weights new."""

    def result(self, networks: Mapping[str, Backbone]) -> Mapping[str, Backbone]:
        """The networks that the training is for."""
        return networks
