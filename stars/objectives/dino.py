"""Self-distillation without labels (paper §4.4, Tables 10 and 11; Caron et al., DINO, ICCV 2021).

As in DINOv2 (Oquab et al., 2023) the teacher's outputs are centred by Sinkhorn–Knopp (Caron et al., SwAV, NeurIPS
2020), and the student's outputs or features are spread by KoLeo (Sablayrolles et al., ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax, normalize

from stars.backbones.base import Backbone
from stars.config import Dino, Sampling, Settings
from stars.objectives.base import Batch, Objective
from stars.objectives.heads import start
from stars.objectives.teacher import Teacher, momentum_at

GLOBAL = ("global_0", "global_1")
SMALLEST = 1e-8  # lower bound of distances before the logarithm


def dino_loss(student_views: list[Tensor], targets: list[Tensor], temperature: float) -> Tensor:
    """Mean over clips and over pairs of a target and another view of −Σ_k target_k · log softmax(student/τ)_k (DINO's
    Eq. 3).

    Args:
        student_views: outputs (B, K), global views first.
        targets: the teacher's assignments (B, K) of the global views, rows summing to 1.
    """
    logs = [log_softmax(view / temperature, dim=1) for view in student_views]
    terms = [
        -(target * log).sum(dim=1).mean() for i, target in enumerate(targets) for j, log in enumerate(logs) if i != j
    ]
    return torch.stack(terms).mean()


def sinkhorn_knopp(outputs_nk: Tensor, temperature: float, iterations: int) -> Tensor:
    """Assignments (N, K) that sum to 1 over prototypes and, nearly, to N/K over rows: exp(output/τ) normalised
    alternately, columns first.
    """
    # Subtracting the largest output changes no share and keeps exp finite.
    shares = ((outputs_nk - outputs_nk.max()) / temperature).exp()
    rows, prototypes = shares.shape
    for _ in range(iterations):
        shares = shares / shares.sum(dim=0) * (rows / prototypes)
        shares = shares / shares.sum(dim=1, keepdim=True)
    return shares


def koleo(features_bc: Tensor) -> Tensor:
    """−mean of the log distance of each L2-normalised row (B, C) to its nearest other row: lower when features
    spread evenly.
    """
    unit_bc = normalize(features_bc, dim=1)
    with torch.no_grad():
        nearest_b = (unit_bc @ unit_bc.T).fill_diagonal_(-torch.inf).argmax(dim=1)
    distances_b = (unit_bc - unit_bc[nearest_b]).norm(dim=1)
    return -(distances_b + SMALLEST).log().mean()


def koleo_by(features_bc: Tensor, clips: int | None) -> Tensor:
    """Mean of `koleo` over groups of at least `clips` rows; None: over all rows together."""
    groups = max(1, len(features_bc) // clips) if clips else 1
    return torch.stack([koleo(group_bc) for group_bc in features_bc.tensor_split(groups)]).mean()


class Prototypes(nn.Module):
    """Three layers with GELU, normalisation, and cosines to the prototypes: y (B, C) → (B, K), in [−1, 1]."""

    def __init__(self, width: int, options: Dino) -> None:
        super().__init__()
        hidden = options.hidden
        self.layers = nn.Sequential(
            *(
                nn.Linear(width, hidden),
                nn.GELU(),
                nn.Linear(hidden, hidden),
                nn.GELU(),
                nn.Linear(hidden, options.bottleneck),
            )
        )
        self.prototypes = nn.Parameter(torch.empty(options.prototypes, options.bottleneck))
        nn.init.normal_(self.prototypes)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, y_bc: Tensor) -> Tensor:
        return linear(normalize(self.layers(y_bc), dim=1), normalize(self.prototypes, dim=1))


def head(width: int, options: Dino) -> nn.Module:
    """y (B, C) → outputs (B, K): one linear layer as released, or DINO's prototypes."""
    if options.head == "prototypes":
        return Prototypes(width, options)
    layer = nn.Linear(width, options.outputs)
    start(layer, options)
    return layer


class Loss(Objective):
    """DINO with its head and teacher. Metric: mean entropy of the teacher's assignments in nats, 0 if all are the
    same prototype.
    """

    Options = Dino
    views: ClassVar = {"global": ["crop"], "local": [{"crop": {"share": [0.4, 0.8], "min_frames": 1}}]}
    only_tuning = ("global_crop", "local_crop")
    columns = ("teacher_entropy",)

    def __init__(self, networks: Mapping[str, Backbone], options: Dino, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (encoder,) = networks.values()
        self.options = options
        self.projector = head(encoder.width, options)
        self.teacher = Teacher(encoder, self.projector)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        assert isinstance(options, Dino)
        return 2 + options.local_views, 2

    def crops(self, sampling: Sampling) -> dict[str, Sampling]:
        options = self.options
        whole = sampling.model_copy(update={"crop": options.global_crop}) if options.global_crop else sampling
        local = sampling.model_copy(update={"crop": options.local_crop, "min_frames": 1})
        return dict.fromkeys(GLOBAL, whole) | {f"local_{number}": local for number in range(options.local_views)}

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"projector": self.projector})

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (encoder,) = networks.values()
        options, y_views = self.options, batch.features(encoder, *batch.views)
        taught = self._scaled(self.teacher(batch, *GLOBAL))
        outputs = self._scaled([self.projector(y_bc) for y_bc in y_views])
        with torch.no_grad():
            targets = sinkhorn_knopp(torch.cat(taught), options.teacher_temperature, options.sinkhorn_iterations)
        loss = dino_loss(outputs, list(targets.chunk(len(GLOBAL))), options.student_temperature)
        if options.koleo_weight > 0:
            spread = outputs if options.koleo_on == "outputs" else y_views
            loss = (
                loss
                + options.koleo_weight
                * torch.stack([koleo_by(view_bc, options.koleo_clips) for view_bc in spread[: len(GLOBAL)]]).sum()
            )
        return loss, {"teacher_entropy": torch.special.entr(targets).sum(dim=1).mean()}

    def _scaled(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        return [normalize(view_bk, dim=1) if self.options.normalise else view_bk for view_bk in outputs]

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.teacher.head.load_state_dict(self.projector.state_dict())

    def after(self, networks: Mapping[str, Backbone], done: int, steps: int) -> None:
        (encoder,), options = networks.values(), self.options
        momentum = momentum_at(done, options.momentum_length * steps, options.momentum, options.momentum_end)
        self.teacher.ema_update(encoder, self.projector, momentum)

    def result(self, networks: Mapping[str, Backbone]) -> Mapping[str, Backbone]:
        return dict.fromkeys(networks, self.teacher.encoder) if self.options.output == "teacher" else networks
