"""A view as the configuration names it: a list of augmentations, in order, each a name or a name with settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Generator, Tensor

from stars.config import Sampling
from stars.config.base import Count, Fraction, Settings, key
from stars.config.reading import nearest, validate
from stars.data.bodies import unknown
from stars.data.device import sent
from stars.errors import InputError
from stars.views.augmentations import KNOWN, Augmentation, Draws, Linear
from stars.views.crop import Clips, View, mapped, random_views
from stars.views.spatial import Pairs

WHOLE = Sampling(crop=(1.0, 1.0), min_frames=1, rotation=0.0)


class Crop(Settings):
    """A random stretch of a clip, resized; it comes first."""

    share: tuple[Fraction, Fraction] = key((0.5, 1.0), "share of a clip's frames kept, drawn uniformly from this range")
    min_frames: Count = key(64, "shortest crop in frames (a shorter clip is kept whole)")


class Either(Augmentation):
    """One of two lists of augmentations, each clip by itself, with probability ½."""

    keeps_bodies = False

    ways: tuple[tuple[Any, ...], tuple[Any, ...]] = Field(description="the two lists")

    def steps(self) -> list[list[Augmentation]]:
        """Both lists."""
        return [[_step(item, f"either[{number}]") for item in way] for number, way in enumerate(self.ways)]

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        first_b = torch.rand(shape[0], generator=generator) < 0.5
        return (first_b, *(tensor for way in self.steps() for step in way for tensor in step.draw(shape, generator)))

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        left, ways = list(draws[1:]), []
        for way in self.steps():
            made = x_bmtvc
            for step in way:
                made, left = step.apply(made, tuple(left[: step.drawn]), mirror), left[step.drawn :]
            ways.append(made)
        first_b = sent(draws[0], x_bmtvc.device)[:, None, None, None, None]
        return torch.where(first_b, ways[0], ways[1])


@dataclass(frozen=True)
class ViewSpec:
    """How a view of a clip is cut, and the steps after that."""

    crop: Sampling
    steps: tuple[Augmentation, ...]

    @classmethod
    def of(cls, items: Sequence[Any], where: str) -> ViewSpec:
        """A list such as ["crop", {"shear": {"amplitude": 1}}]; InputError naming the first item that is not right."""
        crop, steps = WHOLE, []
        for number, item in enumerate(items):
            name, options = _named(item, f"{where}[{number}]")
            if name == "crop":
                if number:
                    raise InputError(f"{where}[{number}]: crop comes first, and once: move it")
                told = validate(Crop, options, where, f"[{number}].crop")
                crop = Sampling(crop=told.share, min_frames=told.min_frames, rotation=0.0)
            else:
                steps.append(_step(item, f"{where}[{number}]"))
        return cls(crop, tuple(steps))

    def augmented(self, view: View, mirror: Pairs, generator: Generator) -> View:
        """The view after its steps; matrices of steps that follow one another are multiplied first."""
        x_bmtvc, waiting = view.x_bmtvc, []
        for step in self.steps:
            draws = step.draw(x_bmtvc.shape, generator)
            if isinstance(step, Linear):
                waiting.append(step.matrices(draws))
                continue
            x_bmtvc, waiting = step.apply(_mapped(x_bmtvc, waiting), draws, mirror), []
        x_bmtvc = _mapped(x_bmtvc, waiting)
        kept = all(step.keeps_bodies for step in self.steps)
        return View(x_bmtvc, view.bodies if kept else unknown(x_bmtvc))


def _mapped(x_bmtvc: Tensor, matrices: list[Tensor]) -> Tensor:
    return mapped(x_bmtvc, functools.reduce(lambda before, after: after @ before, matrices)) if matrices else x_bmtvc


def _named(item: Any, where: str) -> tuple[str, Any]:
    if isinstance(item, str):
        return item, {}
    if isinstance(item, Mapping) and len(item) == 1:
        ((name, options),) = item.items()
        return str(name), options
    raise InputError(
        f"{where}: expected the name of an augmentation, or one name with its settings, e.g. {{shear: {{amplitude: 1}}}}, found {item!r}"
    )


def _step(item: Any, where: str) -> Augmentation:
    name, options = _named(item, where)
    if name == "either":
        either = validate(Either, {"ways": options}, where, "either")
        either.steps()
        return either
    if name not in KNOWN:
        raise InputError(f"{where}: no augmentation {name}{nearest(name, ('crop', 'either', *KNOWN))}")
    return validate(KNOWN[name], options or {}, where, name)


def make_views(
    clips: Clips, rows: Tensor, frames: int, specs: Mapping[str, ViewSpec], mirror: Pairs, generator: Generator, shared: bool = False
) -> dict[str, View]:
    """Views of the clips `rows` by name, (B, M, T, V, 3) each; with `shared`, those that are cut alike come from one crop."""
    cut = random_views(clips, rows, frames, [spec.crop for spec in specs.values()], shared, generator)
    return {name: spec.augmented(view, mirror, generator) for (name, spec), view in zip(specs.items(), cut, strict=True)}
