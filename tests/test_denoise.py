"""What denoising decides about each body id equals a slow version of the published rule."""

import os
from pathlib import Path

import numpy as np
import yaml

from stars.config import Denoise
from stars.data.dataset import FOLDER, Dataset
from stars.data.denoise import Step, decide
from stars.data.readers import Layout, ntu

PARITY = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data/parity"))
LAYOUT = Layout.of(Dataset(**yaml.safe_load((FOLDER / "ntu60.yaml").read_text())))


def slow(data: bytes) -> dict[int, tuple[Step, int | None]]:
    """What becomes of each body id, by the published rule, a sighting at a time; the actor's intervals include both
    ends.
    """
    words, joints, frames, frame = iter(data.split()), {}, {}, 0
    for _ in range(int(next(words))):
        bodies = int(next(words))
        for _ in range(bodies):
            head = [next(words) for _ in range(11)]
            pose = np.array([[float(next(words)) for _ in range(12)][:3] for _ in range(int(head[10]))], np.float32)
            joints.setdefault(int(head[0]), []).append(pose)
            own = frames.setdefault(int(head[0]), [])
            own.append(own[-1] + 1 if own else frame)
        frame += bodies > 0
    if len(joints) == 1:
        return dict.fromkeys(joints, (Step.ALONE, 0))
    told = {body: (Step.FRAMES, None) for body in joints if len(frames[body]) <= 11}
    left = [body for body in joints if body not in told]
    motion = {body: np.var(np.concatenate(joints[body]), axis=0).sum() for body in left}
    for body in list(left):
        if len(left) == 1:
            break
        good = [pose for pose in joints[body] if np.ptp(pose[:, 0]) <= np.float32(0.8) * np.ptp(pose[:, 1])]
        if 1 - len(good) / len(joints[body]) >= 0.69754:
            told[body] = (Step.SPREAD, None)
            left.remove(body)
        elif len(good) < len(joints[body]):
            motion[body] = min(motion[body], np.var(np.concatenate(good), axis=0).sum())
    left.sort(key=lambda body: -motion[body])
    intervals = [None, (0, 0)]
    for body in left:
        start, end = frames[body][0], frames[body][-1]
        for actor, held in enumerate(intervals):
            if held is None or min(held[1], end) - max(held[0], start) <= 0:
                first = actor not in [kept for _, kept in told.values()]
                told[body] = (Step.ACTOR if first else Step.MERGED, actor)
                intervals[actor] = (start, end) if held is None else (min(held[0], start), max(held[1], end))
                break
        else:
            told[body] = (Step.NOBODY, None)
    return told


def test_decisions_equal_the_published_rule():
    steps = set()
    for path in sorted((PARITY / "ntu_denoise_raw").iterdir()):
        decisions = decide(ntu.read(path.read_bytes(), path.name, LAYOUT), Denoise())
        assert {case.id: (case.step, case.actor) for case in decisions} == slow(path.read_bytes()), path.name
        steps |= {case.step for case in decisions}
    assert steps == set(Step)
