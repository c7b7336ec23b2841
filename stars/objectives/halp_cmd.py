"""HaLP on CMD: hallucinated positives for each of CMD's three streams (Shah et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from stars.backbones.base import Backbone
from stars.config.base import key
from stars.objectives import cmd
from stars.objectives.base import Batch
from stars.objectives.hallucination import Hallucination, HallucinationOptions, Made, Schedule


class HalpCmdOptions(HallucinationOptions, cmd.CmdOptions):
    """CMD's settings and HaLP's."""

    weight: float = key(
        1.0, "weight of the hallucinated positives of all streams, μ; for three streams no value is released", ge=0
    )


class Loss(cmd.Loss):
    """CMD's loss, and from `first_epoch` on −q · z / τ of each stream's hallucinated positives z. Metrics: CMD's; share
    of hallucinated positives kept, mean over streams."""

    Options = HalpCmdOptions
    columns: ClassVar[tuple[str, ...]] = ("positive_cosine", "distillation", "kept")

    def __init__(self, networks: Mapping[str, Backbone], options: HalpCmdOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        self.weight, self.schedule = options.weight, Schedule(options)
        self.hallucinations = {name: Hallucination(options, options, generator) for name in networks}
        for name, hallucination in self.hallucinations.items():
            self.add_module(f"{name}_hallucination", hallucination)

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        self.schedule.at(done, epoch)

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = (
            {name: one.drawn(len(batch.clips), batch.generator) for name, one in self.hallucinations.items()}
            if self.schedule.making
            else {}
        )
        return self.made(batch, networks, drawn)

    def made(
        self, batch: Batch, networks: Mapping[str, Backbone], drawn: Mapping[str, Made]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step with these random choices by stream; empty: CMD's loss only."""
        queries, keys = self.encoded(batch, networks)
        loss, facts = self.compared(queries, keys)
        made = [self.hallucinations[name](queries[name], keys[name], one) for name, one in drawn.items()]
        if made:
            loss = loss + self.weight * torch.stack([closer for closer, _ in made]).sum()
        facts["kept"] = torch.stack([kept for _, kept in made]).mean() if made else torch.zeros_like(loss.detach())
        self.remember(keys, batch)
        if self.schedule.refitting:
            for name, one in self.hallucinations.items():
                one.refit(self.contrasts[name].queue, batch.generator)
        return loss, facts
