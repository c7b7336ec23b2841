"""Sixty clips of UTD-MHAD as two other sensors would write them: a folder to try `stars evaluate`, `fit` and `predict`
on.

    python benchmarks/own_clips.py UTD-MHAD OUT

OUT/mediapipe33 holds .json files of 33 world landmarks, counted from the hips; OUT/coco17 .csv files of 17 lifted
keypoints; y points down in both. In each: library/ACTION/s{subject}_t{trial}, four actions by five subjects, three
times; recordings/{action}_s6, one clip of each by a sixth person and one of an action that the library lacks; long,
these in a row. Shoulders, elbows, wrists, hips, knees and ankles are the Kinect's. It sees no face and no fingers, so
theirs lie at fixed distances before head and hands.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from stars.data.readers import Layout, utd_mhad
from stars.data.sources import Source
from stars.pipeline.descriptions import describe, skeletons

ACTIONS = {1: "swipe left", 3: "wave", 5: "throw", 19: "knock"}
UNKNOWN = {27: "squat"}
SUBJECTS, TRIALS, NEW = range(1, 6), range(1, 4), 6
# metres to the person's left, up and forward of the head's middle
FACE = {
    "nose": (0, 0, 0.1), "left eye inner": (0.02, 0.03, 0.08), "left eye": (0.03, 0.03, 0.08), "left eye outer": (0.04, 0.03, 0.07),
    "left ear": (0.07, 0.01, 0), "left mouth": (0.02, -0.04, 0.08),
}  # fmt: skip
# of the way from the wrist to the middle of the hand, and of that from the ankle to the foot
ENDS = {"index": ("wrist", "hand", 1.9), "pinky": ("wrist", "hand", 1.7), "thumb": ("wrist", "hand", 1.1), "heel": ("ankle", "foot", -0.3),
        "foot index": ("ankle", "foot", 1.0)}  # fmt: skip


def seen(x_tvc: np.ndarray, joints: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    """Poses (T, 20, 3) of a Kinect on the joints of a layout with a face, y up."""
    joint = {name: x_tvc[:, place] for place, name in enumerate(joints)}
    up = _unit(joint["head"] - joint["shoulder centre"])
    left = joint["left shoulder"] - joint["right shoulder"]
    left = _unit(left - (left * up).sum(axis=-1, keepdims=True) * up)
    turn = np.stack([left, up, np.cross(left, up)], axis=1)
    return np.stack([_joint(name, joint, turn) for name in wanted], axis=1)


def _joint(name: str, joint: dict[str, np.ndarray], turn: np.ndarray) -> np.ndarray:
    if name in joint:
        return joint[name]
    side, _, part = name.partition(" ")
    if part in ENDS:
        start, end, share = ENDS[part]
        return joint[f"{side} {start}"] + share * (joint[f"{side} {end}"] - joint[f"{side} {start}"])
    place = np.array(FACE[name.replace("right", "left")]) * (-1 if side == "right" else 1, 1, 1)
    return joint["head"] + place @ turn


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def as_json(x_tvc: np.ndarray) -> str:
    """MediaPipe's world landmarks: metres from the middle of the hips, which every frame has at 0."""
    names = skeletons()["mediapipe33"].joints
    hips = x_tvc[:, [names.index("left hip"), names.index("right hip")]].mean(axis=1, keepdims=True)
    points = [
        [dict(zip("xyz", point, strict=True)) for point in frame]
        for frame in np.round((x_tvc - hips) * (-1, -1, 1), 4).tolist()
    ]
    return json.dumps({"frames": [{"pose_world_landmarks": frame} for frame in points]})


def as_csv(x_tvc: np.ndarray) -> str:
    """A row a frame, a column a coordinate."""
    head = [f"{name.replace(' ', '_')}_{axis}" for name in skeletons()["coco17"].joints for axis in "xyz"]
    rows = (x_tvc * (-1, -1, 1)).reshape(len(x_tvc), -1)
    return "\n".join([",".join(head), *(",".join(f"{value:.4f}" for value in row) for row in rows)]) + "\n"


WRITERS = {"mediapipe33": (".json", as_json), "coco17": (".csv", as_csv)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, metavar="UTD-MHAD", help="folder or zip of its skeleton files")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    chosen = parser.parse_args()
    layout = Layout.of(describe("utd_mhad", "utd_mhad"))
    source = Source.open(chosen.raw, utd_mhad.SUFFIXES)
    files = {Path(name).name: name for name in source.files}

    def clip(action: int, subject: int, trial: int) -> np.ndarray:
        name = files[f"a{action}_s{subject}_t{trial}_skeleton.mat"]
        return utd_mhad.read(source.read(name), name, layout)[:, 0]

    known = {f"library/{name}/s{subject}_t{trial}": clip(action, subject, trial)
             for action, name in ACTIONS.items() for subject in SUBJECTS for trial in TRIALS}  # fmt: skip
    new = {f"recordings/{name}_s{NEW}": clip(action, NEW, 1) for action, name in (ACTIONS | UNKNOWN).items()}
    for called, (ending, text) in WRITERS.items():
        wanted = skeletons()[called].joints
        for stem, x_tvc in {**known, **new, "long": np.concatenate(list(new.values()))}.items():
            path = chosen.out / called / f"{stem}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(seen(x_tvc, layout.joints, wanted)))
        print(f"{chosen.out / called}: {len(known)} clips in library/, {len(new)} in recordings/, and long{ending}")


if __name__ == "__main__":
    main()
