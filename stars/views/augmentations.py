"""Augmentations of contrastive methods, by their names in the configuration.

Definitions and default strengths follow CrosSCLR (Li et al., CVPR 2021), AimCLR (Guo et al., AAAI 2022), CMD (Mao et
al., ECCV 2022) and Hi-TRS (Chen et al., ECCV 2022).
"""

from __future__ import annotations

from stars.views.augmentation import Augmentation
from stars.views.in_space import AxisMask, Rotate, Scale, Shear, Turn
from stars.views.in_time import Between, Blur, PadCrop, Stretch, Trim
from stars.views.on_joints import Corrupt, Noise, Offset, Swap

KNOWN: dict[str, type[Augmentation]] = {
    "pad_crop": PadCrop,
    "shear": Shear,
    "turn": Turn,
    "rotate": Rotate,
    "swap": Swap,
    "noise": Noise,
    "blur": Blur,
    "stretch": Stretch,
    "scale": Scale,
    "axis_mask": AxisMask,
    "corrupt": Corrupt,
    "offset": Offset,
    "between": Between,
    "trim": Trim,
}
