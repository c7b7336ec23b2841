"""How long the report's explorer takes for a frame while every point glides, and how large the page is: `python
benchmarks/report.py --points 2000`.

Points, clips and labels are made up; the page, its scripts and the browser are real.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser import browser

from stars.report.document import render

GLIDE = """new Promise(done => {
  const times = []; let last = performance.now(); const until = last + 850;
  document.querySelectorAll('#methods button')[METHOD].click();
  const step = now => { times.push(now - last); last = now; now < until ? requestAnimationFrame(step) : done(times); };
  requestAnimationFrame(step);
})"""
DRAW = """(() => {
  const real = requestAnimationFrame; let spent = [];
  window.requestAnimationFrame = call => real(now => { const start = performance.now(); call(now); spent.push(performance.now() - start); });
  window.takeSpent = () => { const found = spent; spent = []; return found; };
})()"""


def explorer(points: int, clips: int, classes: int) -> dict:
    """Data of an explorer with two methods."""
    draw = np.random.default_rng(0)
    joints, frames = 25, 40
    action = draw.integers(0, classes, points)
    methods = []
    for name in ("one", "two"):
        xy = draw.normal(size=(classes, 2))[action] + 0.15 * draw.normal(size=(points, 2))
        flat = (xy / np.abs(xy).max()).round(4).ravel().tolist()
        near = draw.integers(0, points, (points, 5))
        told = {
            "title": name,
            "top1": 50,
            "from": "",
            "mapped": "",
            "guessed": "",
            "predicted": draw.permutation(action).tolist(),
        }
        confusion = np.zeros((classes, classes), int)
        np.add.at(confusion, (action, told["predicted"]), 1)
        methods.append(
            told
            | {
                "confusion": confusion.ravel().tolist(),
                "neighbours": near.tolist(),
                "cosines": np.ones((points, 5)).tolist(),
            }
            | {"tsne": flat, "pca": flat}
        )
    packed = {
        "rate": 15,
        "bones": [[joint, joint + 1] for joint in range(joints - 1)],
        "sides": [0] * joints,
        "frames": [frames] * clips,
        "bodies": [1] * clips,
        "low": [[0, 0, 0]] * clips,
        "step": [[0.005, 0.007, 0.003]] * clips,
        "joints": base64.b64encode(draw.integers(0, 255, clips * frames * joints * 3, np.uint8).tobytes()).decode(),
    }
    numbers = {column: draw.integers(1, 4, points).tolist() for column in ("subject", "camera", "setup", "frames")}
    clip = [index if index < clips else -1 for index in range(points)]
    told = {
        "title": "made up",
        "k": 10,
        "tested": points,
        "fps": 30,
        "classes": [f"class {label}" for label in range(classes)],
    }
    return (
        told
        | numbers
        | {
            "names": [f"S{index:05}" for index in range(points)],
            "action": action.tolist(),
            "clip": clip,
            "clips": packed,
            "methods": methods,
            "shown": 0,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--classes", type=int, default=60)
    chosen = parser.parse_args()
    data = {
        "lineage": {"files": [], "records": []},
        "explorers": [explorer(chosen.points, chosen.clips, chosen.classes)],
    }
    empty = {"tables": [], "figures": [], "qualities": [], "preset": "paper", "departures": [], "choices": []}
    with tempfile.TemporaryDirectory() as folder, browser() as page:
        path = Path(folder) / "index.html"
        path.write_text(render(data, explorers=["made up"], **empty))
        page.open(path)
        page.wait("document.querySelectorAll('#strip canvas').length > 0")
        page.run(DRAW)
        between, spent = [], []
        for turn in range(6):
            between += page.run(GLIDE.replace("METHOD", str(1 - turn % 2)))
            spent += page.run("takeSpent()")
        assert page.errors == [], page.errors
        spent = [time for time in spent if time > 0.2]  # the other half is the clock above
        print(
            f"{chosen.points} points, {chosen.classes} classes, {chosen.clips} clips:"
            f" {path.stat().st_size / 1e6:.2f} MB"
        )
        for what, times in (("script's time a frame", spent), ("time between frames", between)):
            print(
                f"{what}: median {np.median(times):.1f} ms, 95 % below {np.percentile(times, 95):.1f} ms, {len(times)}"
                " frames"
            )


if __name__ == "__main__":
    main()
