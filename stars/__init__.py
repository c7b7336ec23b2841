"""STARS: self-supervised tuning for 3D action recognition in skeleton sequences.

    import stars

    model = stars.load("results/demo_xsub/stars/encoder.safetensors")
    features = model.embed("recordings")
    library = model.library("library")
    predictions = library.predict("recordings")

What `stars.load` returns is documented in `stars.inference`; everything else here serves the workflow and the command
`stars`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stars.inference.model import Model, Precision

__all__ = ["load"]


def load(
    path: str | Path,
    like: str | None = None,
    device: str = "cpu",
    precision: Precision | None = None,
    skeleton: str | None = None,
    fps: float | None = None,
) -> Model:
    """A trained encoder, ready for clips of one's own.

    Args:
        path: its encoder.safetensors, of which the records in its results folder say how clips are prepared; or a
            folder of `stars export --format safetensors`, which needs nothing else.
        like: description of the data set whose files it is given, a name in config/datasets or a path ending in .yaml;
            needed where the encoder lies by itself, or where the files are of another layout. None: its own data set's.
        device: cpu or cuda.
        skeleton: layout of joints of .npy, .json and .csv files, a name in config/skeletons or a path ending in .yaml;
            None: it is recognised.
        fps: frames a second of the files, if not the encoder's.
        precision: of matrix products, fp32 or bf16, or whichever is quicker here; None: that of the encoder's features.

    Raises:
        stars.errors.InputError: no encoder; or nothing says how clips are prepared for it.
    """
    from stars.inference.model import Model  # heavy, and `import stars` is not

    return Model.load(path, like, device, precision, skeleton, fps)
