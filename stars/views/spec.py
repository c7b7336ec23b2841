"""Views as configured: an ordered list of augmentations, each a name or a name with settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from stars.config import Sampling
from stars.config.base import Count, Fraction, Settings, key
from stars.config.reading import Block, nearest, validate
from stars.data.bodies import unknown
from stars.data.device import sent
from stars.errors import InputError, shown
from stars.views.augmentation import Augmentation, Draws, Linear
from stars.views.augmentations import KNOWN
from stars.views.crop import Clips, View, mapped, random_views
from stars.views.spatial import Pairs

WHOLE = Sampling(crop=(1.0, 1.0), min_frames=1, rotation=0.0)


class Crop(Settings):
    """A random crop of a clip, resized; only allowed as the first item."""

    share: tuple[Fraction, Fraction] = key((0.5, 1.0), "range of the share of frames kept, sampled uniformly")
    min_frames: Count = key(64, "shortest crop in frames (shorter clips are kept whole)")

    @model_validator(mode="after")
    def _ordered(self) -> Crop:
        if self.share[0] > self.share[1]:
            raise ValueError(f"share must be [smallest, largest], found {list(self.share)}")
        return self


class Either(Augmentation):
    """Applies one of several lists of augmentations, chosen per clip with equal probability."""

    ways: tuple[tuple[Augmentation, ...], ...] = Field(description="the lists, at least two", min_length=2)

    @property
    def keeps_bodies(self) -> bool:
        return all(step.keeps_bodies for way in self.ways for step in way)

    @property
    def needs_mirror(self) -> bool:
        return any(step.needs_mirror for way in self.ways for step in way)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        way_b = (torch.rand(shape[0], generator=generator) * len(self.ways)).long()
        return (way_b, *([step.draw(shape, generator) for step in way] for way in self.ways))

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        way_b, *drawn = draws
        way_b1111 = sent(way_b, x_bmtvc.device)[:, None, None, None, None]
        made, *others = (
            _applied(way, x_bmtvc, of_steps, mirror) for way, of_steps in zip(self.ways, drawn, strict=True)
        )
        for number, other in enumerate(others, 1):
            made = torch.where(way_b1111 == number, other, made)
        return made


@dataclass(frozen=True)
class ViewSpec:
    """A view's crop and the steps after it."""

    crop: Sampling
    steps: tuple[Augmentation, ...]

    @classmethod
    def of(cls, items: Sequence[Any], where: str) -> ViewSpec:
        """A list such as ["crop", {"shear": {"amplitude": 1}}]; InputError naming the first invalid item."""
        named = _list(items, where)
        if not named or named[0][0] != "crop":
            return cls(WHOLE, _steps(named, where))
        options = _settings(Crop, *named[0], f"{where}[0]")
        crop = Sampling(crop=options.share, min_frames=options.min_frames, rotation=0.0)
        return cls(crop, _steps(named[1:], where, 1))

    @property
    def needs_mirror(self) -> bool:
        """Whether a step has no effect without pairs of left and right joints."""
        return any(step.needs_mirror for step in self.steps)

    def draw(self, shape: Sequence[int], generator: Generator) -> list[Draws]:
        """Sample the steps' random parameters for clips of shape (B, M, T, V, 3)."""
        return [step.draw(shape, generator) for step in self.steps]

    def augmented(self, view: View, mirror: Pairs, generator: Generator) -> View:
        """Apply the steps to a view."""
        x_bmtvc = _applied(self.steps, view.x_bmtvc, self.draw(view.x_bmtvc.shape, generator), mirror)
        kept = all(step.keeps_bodies for step in self.steps)
        return View(x_bmtvc, view.bodies if kept else unknown(x_bmtvc))


def _applied(steps: Sequence[Augmentation], x_bmtvc: Tensor, drawn: Sequence[Draws], mirror: Pairs) -> Tensor:
    """Apply steps to clips; matrices of consecutive linear steps are multiplied first."""
    waiting: list[Tensor] = []
    for step, draws in zip(steps, drawn, strict=True):
        if isinstance(step, Linear):
            waiting.append(step.matrices(draws))
        else:
            x_bmtvc, waiting = step.apply(_mapped(x_bmtvc, waiting), draws, mirror), []
    return _mapped(x_bmtvc, waiting)


def _mapped(x_bmtvc: Tensor, matrices: list[Tensor]) -> Tensor:
    return mapped(x_bmtvc, functools.reduce(lambda before, after: after @ before, matrices)) if matrices else x_bmtvc


def _list(items: Any, where: str) -> list[tuple[str, Any]]:
    """Names and settings of a list's items."""
    if isinstance(items, str | Mapping) or not isinstance(items, Sequence):
        raise InputError(f"{where}: expected a list of augmentations, e.g. [crop, shear], found {shown(items)}")
    return [_named(item, f"{where}[{number}]") for number, item in enumerate(items)]


def _named(item: Any, where: str) -> tuple[str, Any]:
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping) and len(item) == 1:
        ((name, options),) = item.items()
        return str(name), options
    raise InputError(
        f"{where}: expected the name of an augmentation, or one name with its settings, e.g. {{shear: {{amplitude:"
        f" 1}}}}, found {shown(item)}"
    )


def _steps(named: Sequence[tuple[str, Any]], where: str, start: int = 0) -> tuple[Augmentation, ...]:
    return tuple(_step(name, options, f"{where}[{number}]") for number, (name, options) in enumerate(named, start))


def _step(name: str, options: Any, where: str) -> Augmentation:
    if name == "crop":
        raise InputError(f"{where}: crop is only allowed as the first item of a view: move it")
    if name == "either":
        return _either(options, f"{where}.either")
    if name not in KNOWN:
        raise InputError(f"{where}: no augmentation {name}{nearest(name, ('crop', 'either', *KNOWN))}")
    return _settings(KNOWN[name], name, options, where)


def _either(options: Any, where: str) -> Either:
    if isinstance(options, str | Mapping) or not isinstance(options, Sequence) or len(options) < 2:
        raise InputError(
            f"{where}: expected two lists of augmentations, or more, e.g. [[shear], [corrupt]], found {shown(options)}"
        )
    lists = [[way] if isinstance(way, str | Mapping) else way for way in options]
    return Either(
        ways=tuple(_steps(_list(way, f"{where}[{number}]"), f"{where}[{number}]") for number, way in enumerate(lists))
    )


def _settings(kind: type[Block], name: str, options: Any, where: str) -> Block:
    """An item's settings; defaults if it is only a name."""
    if options is not None and not isinstance(options, Mapping):
        raise InputError(
            f"{where}: {name} takes settings by name ({', '.join(kind.model_fields)}), found {shown(options)}"
        )
    return validate(kind, options or {}, where, name)


def make_views(
    clips: Clips,
    rows: Tensor,
    frames: int,
    specs: Mapping[str, ViewSpec],
    mirror: Pairs,
    generator: Generator,
    shared: bool = False,
) -> dict[str, View]:
    """Views of the clips `rows` by name, (B, M, T, V, 3) each; with `shared`, equal crop settings share one crop."""
    cut = random_views(clips, rows, frames, [spec.crop for spec in specs.values()], shared, generator)
    return {
        name: spec.augmented(view, mirror, generator) for (name, spec), view in zip(specs.items(), cut, strict=True)
    }
