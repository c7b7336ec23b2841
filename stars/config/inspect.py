"""Settings of the quality page."""

from __future__ import annotations

from stars.config.base import Count, Positive, Settings, key


class Inspect(Settings):
    """What makes a clip suspicious on the quality page. Suspicious clips are only reported, never excluded."""

    speed: Positive = key(
        25.0,
        "jump: speed that a joint exceeds between two frames, in m/s; the fastest throws and kicks come close",
    )
    still: Positive = key(
        0.0002, "still frame: largest motion of any joint to the next frame, in metres; sensor noise alone is larger"
    )
    frozen: Positive = key(0.5, "frozen body: minimum time that it is still, in seconds")
    limb: Positive = key(0.25, "huge limb: length by which a bone exceeds its median in the data set, in metres")
    shown: Count = key(12, "suspicious clips to show with pictures, worst first; suspicious.csv lists all")
