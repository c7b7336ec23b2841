"""Simulated clips beside real ones of the same skeleton: `python benchmarks/realism.py --out docs/pictures/simulator
NAME=CLIPS …` (`make realism`).

Each NAME=CLIPS is a data set's folder of clips; the first is what the others are held against. Writes OUT.svg and
OUT.png, six panels, and prints the numbers behind them as a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from matplotlib.ticker import FuncFormatter, NullFormatter

from stars import figure_style as style
from stars.data.dataset import FOLDER, Dataset
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.palette import OKABE_ITO

WINDOW = 32  # frames of one spectrum, so that the shortest clips have one
ROWS = {
    "frames": "frames per clip, 5 / 50 / 95 %",
    "stretch": "spread of a bone's length within a clip, % of its mean, 5 / 50 / 95 %",
    "people": "spread of a bone's length between people, % of its mean",
    "speed": "joint speed in m/s, 50 / 95 / 99 %",
    "fast": "power of the speed above 5 Hz, % of the total",
    "noise": "jitter of the trunk in mm, 5 / 50 / 95 %",
    "absent": "frames without a body, %",
}


@dataclass(frozen=True)
class Measured:
    """What is known of one data set's clips."""

    frames: np.ndarray  # (clips,)
    stretch: np.ndarray  # (clips,) spread of bone lengths over a clip's frames, mean over bones, % of the mean
    people: float  # spread of bone lengths over people, mean over bones, % of the mean
    speed: np.ndarray  # (frames x joints,) m/s
    frequency: np.ndarray  # (F,) Hz
    power: np.ndarray  # (F,) power of the joints' velocity, (m/s)² a Hz
    noise: np.ndarray  # (clips,) mm
    absent: float  # % of frames

    def numbers(self) -> dict[str, str]:
        """A cell for each of ROWS."""
        fast = self.power[self.frequency >= 5].sum() / self.power[1:].sum()
        return {
            "frames": _shares(self.frames, "{:.0f}"),
            "stretch": _shares(self.stretch, "{:.1f}"),
            "people": f"{self.people:.1f}",
            "speed": _shares(self.speed, "{:.2f}", (50, 95, 99)),
            "fast": f"{100 * fast:.1f}",
            "noise": _shares(self.noise, "{:.2f}"),
            "absent": f"{self.absent:.2f}",
        }


def _shares(values: np.ndarray, form: str, at: Sequence[float] = (5, 50, 95)) -> str:
    return " / ".join(form.format(value) for value in np.percentile(values, at))


def measure(store: ClipStore, dataset: Dataset) -> Measured:
    """The first body of every clip, in frames where it is seen; a stretch of such frames is taken by itself."""
    bones = [(joint, parent) for joint, parent in enumerate(dataset.parents) if joint != parent]
    ends, starts = np.array(bones).T
    trunk = [dataset.root, dataset.parents[dataset.root]]
    trunk = sorted({*trunk, *(end for end, start in bones if start == dataset.root)})
    stretch, lengths, speeds, powers, noise, absent = [], {}, [], [], [], 0
    for row, x_tvc in _bodies(store):
        seen = np.abs(x_tvc).sum((1, 2)) > 0
        absent += int((~seen).sum())
        length = np.linalg.norm(x_tvc[seen][:, ends] - x_tvc[seen][:, starts], axis=-1)  # (T, bones)
        stretch.append(100 * np.mean(length.std(0) / length.mean(0)))
        lengths.setdefault(row.subject, []).append(np.median(length, 0))
        jitter = []
        for part in _stretches(x_tvc, seen):
            velocity = np.diff(part, axis=0) * dataset.fps
            speeds.append(np.linalg.norm(velocity, axis=-1).ravel())
            powers += [
                _power(velocity[at : at + WINDOW], dataset.fps) for at in range(0, len(velocity) - WINDOW + 1, WINDOW)
            ]
            bent = part[1:-1] - (part[:-2] + part[2:]) / 2  # of white noise, sqrt(1.5) of its spread
            jitter.append(bent[:, trunk].ravel())
        noise.append(1000 * np.concatenate(jitter).std() / np.sqrt(1.5))
    people = np.array([np.mean(mine, 0) for mine in lengths.values()])
    frames = store.table["frames"].to_numpy()
    return Measured(
        frames, np.array(stretch), float(100 * np.mean(people.std(0) / people.mean(0))), np.concatenate(speeds),
        np.fft.rfftfreq(WINDOW, 1 / dataset.fps), np.mean(powers, 0), np.array(noise), 100 * absent / frames.sum(),
    )  # fmt: skip


def _bodies(store: ClipStore) -> Iterator[tuple]:
    for row, (start, end) in zip(
        store.table.itertuples(), zip(store.offsets, store.offsets[1:], strict=False), strict=True
    ):
        yield row, np.asarray(store.frames[start:end, 0], dtype=np.float64)


def _stretches(x_tvc: np.ndarray, seen: np.ndarray) -> list[np.ndarray]:
    """Runs of at least three frames in which the body is seen."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen, [0]])))
    return [x_tvc[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= 3]


def _power(velocity: np.ndarray, fps: float) -> np.ndarray:
    """(F,) power of a velocity (WINDOW, V, 3), sum over axes and mean over joints, under a Hann window; (m/s)² a Hz."""
    window = np.hanning(WINDOW)[:, None, None]
    spectrum = np.abs(np.fft.rfft(velocity * window, axis=0)) ** 2
    return 2 * spectrum.sum(2).mean(1) / (fps * (np.hanning(WINDOW) ** 2).sum())


def draw(measured: Mapping[str, Measured], stem: Path) -> None:
    """Six panels, a line for each data set."""
    with style.figure(height=7.2, width=7.2) as drawn:
        panels = drawn.subplots(3, 2).ravel()
        plain = FuncFormatter(lambda value, _: f"{value:g}")  # no mathematical text in this style
        for colour, (name, each) in zip(OKABE_ITO, measured.items(), strict=False):
            _distribution(panels[0], each.frames, colour, name)
            _distribution(panels[1], each.stretch, colour, name)
            _distribution(panels[2], each.speed, colour, name)
            panels[3].plot(each.frequency[1:], each.power[1:], color=colour)
            _distribution(panels[4], each.noise, colour, name)
        names, colours = list(measured), OKABE_ITO[: len(measured)]
        panels[5].barh(names, [each.people for each in measured.values()], color=colours)
        panels[5].invert_yaxis()
        panels[5].set_yticks([])
        titles = (
            "Clip length",
            "Bone length within a clip",
            "Joint speed",
            "Spectrum of the velocity",
            "Jitter of the trunk",
            "Bone length between people",
        )
        units = ("frames", "spread, % of the mean", "m/s", "Hz", "mm", "spread, % of the mean")
        for panel, title, unit in zip(panels, titles, units, strict=True):
            panel.set(title=title, xlabel=unit)
        for panel in (panels[0], panels[1], panels[2], panels[4]):
            panel.set(ylim=(0, 1), ylabel="share below")
        panels[2].set(xscale="log", xlim=(1e-3, 1e1))
        panels[3].set(yscale="log", ylabel="(m/s)² / Hz")
        panels[4].set(xscale="log")
        for axis in (panels[2].xaxis, panels[3].yaxis, panels[4].xaxis):
            axis.set_major_formatter(plain)
            axis.set_minor_formatter(NullFormatter())
        drawn.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(measured), frameon=False
        )
        style.save(drawn, stem)


def _distribution(panel, values: np.ndarray, colour: str, name: str) -> None:
    """Share of values below each, at five hundred places."""
    shares = np.linspace(0, 1, 501)
    panel.plot(np.quantile(values, shares), shares, color=colour, label=name)


def table(measured: Mapping[str, Measured]) -> str:
    """Rows of numbers, a column for each data set."""
    cells = {name: each.numbers() for name, each in measured.items()}
    lines = [f"| | {' | '.join(cells)} |", "|---" * (1 + len(cells)) + "|"]
    return "\n".join(
        [*lines, *(f"| {title} | {' | '.join(each[row] for each in cells.values())} |" for row, title in ROWS.items())]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="figure, without its ending")
    parser.add_argument("--dataset", default="utd_mhad", help="description of the skeleton, in config/datasets")
    parser.add_argument("clips", nargs="+", help="NAME=CLIPS")
    chosen = parser.parse_args()
    dataset = Dataset(**yaml.safe_load((FOLDER / f"{chosen.dataset}.yaml").read_text(encoding="utf-8")))
    if wrong := [each for each in chosen.clips if "=" not in each]:
        parser.error(f"{wrong[0]} is not NAME=CLIPS: give each folder of clips a name")
    try:
        measured = {
            name: measure(ClipStore.open(folder), dataset)
            for name, _, folder in (each.partition("=") for each in chosen.clips)
        }
    except InputError as error:
        parser.error(str(error))
    draw(measured, chosen.out)
    print(table(measured))


if __name__ == "__main__":
    main()
