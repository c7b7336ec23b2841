"""Base classes of objectives (a loss with its heads and memory) and of the batches they receive."""

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
from stars.errors import InputError, shown
from stars.training import parallel
from stars.training.precision import arithmetic
from stars.views.crop import View


class Trains(NamedTuple):
    """A network that an objective trains: the backbone's name, and changes to its settings."""

    backbone: str
    model: Mapping[str, object] = {}


class Batch:
    """Views of the clips of a step, and their features.

    With several processes, each encodes its share of the views; features and clips of the whole batch are the same in
    all processes.

    Args:
        whole: views of the whole batch by name, (B, M, T, V, 3), with the masks of their bodies.
        clips: numbers of the B clips.
        labels: of all training clips, only for monitoring.
        generator: the step's, on the CPU, the same in all processes; an objective uses no other.
        bodies: "all" or "present", which are averaged into a clip's feature; precision: the networks', fp32 or bf16.

    `views` are this process's share. `seen` is a trained network's latest output for its first view, without gradient,
    for the collapse monitor.
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
        """The autocast context for the networks."""
        return arithmetic(self.clips.device, self.precision)

    def features(self, network: Backbone, *names: str) -> tuple[Tensor, ...]:
        """Features (B, C) float32 of the views with these names.

        All in one pass; separately if the network normalises over the batch.
        """
        if missing := [name for name in names if name not in self.views]:
            raise InputError(
                f"the objective needs a view {missing[0]}, but its views are {', '.join(self.views)}: add it to `views`"
                " in its file"
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

    def encoded(
        self, network: Backbone, seen_bmtvc: Tensor, bodies: Bodies, encode: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Features (B, C) float32 of all processes from this process's clips in its stream, possibly changed by the
        objective.

        Args:
            bodies: masks of the source view; encode: bodies (R, T, V, 3) in the stream → (R, C).
        """
        with self.arithmetic():
            y_bc = clip_features(network, seen_bmtvc, self.bodies, encode=encode, known=bodies).float()
        return parallel.gather(y_bc)

    def agreement(self, others_b: Tensor) -> Tensor:
        """Share of `others_b` (one training clip per clip, negative: none) that are a different clip of the same
        action.
        """
        another_b = (others_b >= 0) & (others_b != self.clips)
        same_b = self._labels[others_b.clamp(min=0)] == self._labels[self.clips]
        return (another_b & same_b).sum() / another_b.sum().clamp(min=1)


def compared_heads(options: Settings, where: str) -> tuple[str, ...]:
    """Names of the kept heads whose outputs KNN can compare, from an objective's options; InputError if they are not a
    tuple of names.
    """
    found = getattr(options, "compared_heads", ())
    if not (isinstance(found, tuple) and all(isinstance(head, str) for head in found)):
        raise InputError(
            f"{where}: compared_heads must be a tuple of heads' names such as ('projector',), found {shown(found)}:"
            " correct the objective's Options"
        )
    return found


class Objective(nn.Module):
    """A loss with its heads and memory; checkpoints contain all of it.

    The file NAME.py in this package, or in plugins/objectives of the working directory, defines the objective NAME as
    class `Loss`.

    Attributes:
        Options: its settings, a block of the configuration. With a property `compared_heads`, names of kept heads, KNN
            can compare their outputs: the first takes a clip's feature, each other its predecessor's output.
        columns: names of the metrics that it adds to the curve.
        needs: what it needs from a backbone: "features" (any), "grid" (features by time and joint), or the name of the
            required backbone.
        networks: the networks it trains by default, by name; empty: one, the method's.
        views: the views of a clip that it needs, by name, each a list of augmentations of `stars.views`.
        only_tuning: options that only `crops` reads; `train`, where `views` define the crops, refuses them.

    Args of `__init__`:
        networks: the trained networks by name; their trained parts require gradients. Do not register them as modules:
            a key network is a copy, and only sizes are read from the others.
        options: an instance of `Options`.
        generator: for the random initial memory; initial weights come from torch's global generator, which is seeded.
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
        """The scalar loss of a step, and its metrics by the names in `columns`, scalar tensors (not synchronised)."""
        raise NotImplementedError

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        """Number of views per clip and step that a network encodes with and without gradient, to estimate the cost."""
        return len(cls.views) or 1, 0

    def crops(self, sampling: Sampling) -> Mapping[str, Sampling]:
        """Views by name, each with its crop settings, in stage 2, which crops all views according to its `sampling`. A
        number at the end of a name distinguishes views of the same kind: `local_0` is a view `local`."""
        return dict.fromkeys(self.views or ("only",), sampling)

    def seen(self, batch: Batch, networks: Mapping[str, Backbone]) -> Tensor:
        """Features (rows, C) of the latest step, without gradient, for the collapse monitor; called at the end of
        each row of the curve.
        """
        return batch.seen

    def rows(self, bodies: Bodies, counted: str) -> int:
        """Number of bodies that a network encodes per view, which determines a step's memory; `counted` is "all" or
        "present".
        """
        return len(distinct_bodies(bodies, counted_bodies(bodies.absent_bm, counted))[0])

    def heads(self) -> nn.ModuleDict:
        """Trained heads by name."""
        return nn.ModuleDict()

    def kept(self) -> nn.ModuleDict:
        """Heads that are saved in heads.safetensors."""
        return self.heads()

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        """Called after trained weights were loaded: copy them again into key networks and teachers."""

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        """Called before each step with the number of completed steps and the epoch, from 0."""

    def after(self, networks: Mapping[str, Backbone], done: int, steps: int) -> None:
        """Called after step `done` of `steps`, when the networks' weights are updated."""

    def result(self, networks: Mapping[str, Backbone]) -> Mapping[str, Backbone]:
        """The networks to save."""
        return networks
