"""Settings of the quality page."""

from __future__ import annotations

from stars.config.base import Count, Positive, Settings, key


class Inspect(Settings):
    """What makes a clip suspicious on the quality page. Nothing is left out for it; it is only shown."""

    speed: Positive = key(
        25.0,
        "a jump: a joint moves faster than this from one frame to the next, metres a second; the fastest throws and kicks come near it",
    )
    still: Positive = key(
        0.0002, "a frame is still when no joint moves farther than this to the next, metres; a sensor's noise alone moves more"
    )
    frozen: Positive = key(0.5, "frozen: a body is still for at least this time, seconds")
    limb: Positive = key(0.25, "a huge limb: a bone is longer than its median in the data set by more than this, metres")
    shown: Count = key(12, "suspicious clips to show with pictures, worst first; suspicious.csv lists all")
