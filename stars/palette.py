"""One colour for each class of a data set, the same in every figure and on the report page, and no two alike.

The first eight are those of Okabe and Ito, which colour-blind readers tell apart; each further one is, of many, the one
that is farthest from all before it, in the perceptual space OKLab (Ottosson, 2020).
"""

from __future__ import annotations

from functools import cache

import numpy as np

# the last, yellow, darkened for paper
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#B8A800")
LIGHTNESS, CHROMA, HUES = (0.42, 0.52, 0.62, 0.72), (0.07, 0.12, 0.17), 36  # of those that further ones are chosen from
PAPER = 0.78  # lightness above which a colour is too pale on white; on a dark page they lie between LOW and HIGH
LOW, HIGH = 0.62, 0.9
# Linear RGB → long, medium, short cones, and their cube roots → lightness, green–red, blue–yellow.
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@cache
def colours(count: int) -> tuple[str, ...]:
    """The first `count` colours, as #RRGGBB, for white paper; from the 150th or so on they begin again."""
    chosen = list(OKABE_ITO[:count])
    pool = _candidates()
    distance = np.min([np.linalg.norm(pool - _lab(colour), axis=1) for colour in OKABE_ITO], axis=0)
    for _ in range(min(count - len(chosen), len(pool))):
        place = int(distance.round(9).argmax())
        chosen.append(_hex(pool[place]))
        distance = np.minimum(distance, np.linalg.norm(pool - pool[place], axis=1))
    return tuple(chosen[index % len(chosen)] for index in range(count))


@cache
def on_dark(count: int) -> tuple[str, ...]:
    """Those colours made light enough for a dark page, their hues kept."""
    return tuple(_hex(_lighter(_lab(colour))) for colour in colours(count))


def _candidates() -> np.ndarray:
    """(N, 3) colours in OKLab that a screen can show."""
    angles = 2 * np.pi * np.arange(HUES) / HUES
    grid = [
        (light, chroma * np.cos(angle), chroma * np.sin(angle))
        for light in LIGHTNESS
        for chroma in CHROMA
        for angle in angles
    ]
    return np.array([one for one in grid if _shown(np.array(one))])


def _lighter(lab: np.ndarray) -> np.ndarray:
    """On a dark page black becomes nearly white, and other colours keep their order of lightness; as much chroma as
    a screen can show.
    """
    dark = lab[0] < min(LIGHTNESS) / 2
    light = HIGH if dark else np.interp(lab[0], (min(LIGHTNESS), PAPER), (LOW, HIGH - 0.05))
    return next(found for share in np.linspace(1, 0, 21) if _shown(found := np.array([light, *(share * lab[1:])])))


def _lab(colour: str) -> np.ndarray:
    encoded = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(CONES @ linear)


def _linear(lab: np.ndarray) -> np.ndarray:
    return np.linalg.solve(CONES, np.linalg.solve(LAB, lab) ** 3)


def _shown(lab: np.ndarray) -> bool:
    linear = _linear(lab)
    return bool((linear > -1e-3).all() and (linear < 1 + 1e-3).all())


def _hex(lab: np.ndarray) -> str:
    linear = _linear(lab).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(one)):02X}" for one in encoded)
