"""Settings from conversion of raw files to clips."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import Count, Fraction, Positive, Settings, key


class Denoise(Settings):
    """Two-body denoising of NTU clips with more than one body id (the order of the steps is fixed)."""

    min_frames: Count = key(12, "frames in which a body id must be seen; ids seen in fewer are dropped as ghosts")
    max_spread: Positive = key(0.8, "a body's frame is plausible while its x extent is at most this many times its y extent")
    max_noisy_share: Fraction = key(0.69754, "a body id is dropped when at least this share of its frames is implausible")


class Ingest(Settings):
    """Raw files to clips."""

    bodies: Count | None = key(None, "bodies per clip; null: as in the data set's description")
    max_frames: Count = key(300, "frames of a clip to keep, from its start")
    denoise: Denoise = key(Denoise(), "two-body denoising (NTU layout only)")
    centre: Literal["first_frame_root", "none"] | None = key(
        None,
        "origin of a clip: the root joint of the first frame in which body 1 is present, or the camera; null: as in the data set's description",
    )
    single_body: Literal["zeros", "copy"] | None = key(
        None, "second body of a one-body clip: zeros, or a copy of the first; null: as in the data set's description"
    )
    joints: Literal["file", "common"] = key(
        "file",
        "joints of a clip: the file's, or the 16 that Kinect v1 and v2, COCO, MediaPipe and SMPL share, by name (docs/skeletons.md): encoders "
        "transfer between data sets of different layouts",
    )
    missing_list: str | None = key(
        None, "the authors' list of samples with missing skeletons (text file, one name per line); these clips are skipped"
    )
    complete: Literal["report", "require"] = key(
        "report",
        "if clips are missing from the complete data set: report them and continue, or require them all and stop",
    )
    on_bad_file: Literal["error", "skip"] = key(
        "error", "unreadable files. error: stop and list them all; skip: skip them and record each in quality.json"
    )


class Simulate(Settings):
    """Synthetic raw files, in the layout that the data set's description names."""

    actions: int = key(
        20,
        "action classes, as many as the simulator and the description have; the last quarter are two-person where clips hold two",
        ge=4,
        le=50,
    )
    subjects: int = key(10, "performers, each with own bone lengths, tempo and style; as many as the description has", ge=2, le=106)
    cameras: int = key(3, "camera angles filmed at once, as many as the layout's file names can tell", ge=1, le=3)
    setups: int = key(3, "camera heights and distances, as many as the layout's file names can tell", ge=1, le=32)
    repetitions: int = key(2, "times a subject performs each action in a setup", ge=1, le=99)
    clips: Count | None = key(None, "clips written, an even sample of all combinations; null: every combination")
    frames: tuple[int, int] = key((50, 110), "shortest and longest clip, frames at 30 a second")
    heading: float = key(0.15, "how far people turn away from the camera in the middle, standard deviation in radians", ge=0)
    tempo: float = key(0.1, "how much faster or slower a performance is than the person's habit, standard deviation of the logarithm", ge=0)
    posture: float = key(1.0, "how differently people stand, from person to person and from clip to clip; 1: a few degrees a joint", ge=0)
    fidgets: int = key(1, "movements that mean nothing in a clip, at most: the head, the trunk or an arm swings slowly", ge=0, le=8)
    noise: float = key(
        0.0015, "sensor noise of a joint of the trunk, standard deviation in metres: a slow drift, and a tenth of it jitter", ge=0
    )
    shadow: Fraction = key(
        0.0,
        "how far a joint that the camera sees only through the trunk is pulled onto the trunk: 0 not at all, 1 all the way; each camera hides others",
    )
    occlusion: Fraction = key(0.25, "share of clips in which a limb is occluded and jitters")
    ghosts: Fraction = key(0.1, "share of clips with a ghost body")
    dropped: Fraction = key(0.1, "share of clips with frames in which no body is seen")
    switches: Fraction = key(0.1, "share of clips in which the tracker changes a body's id")
    seed: int = key(0, "seed of everything random in the simulation", ge=0)


class Data(Settings):
    """A data set that this configuration uses."""

    dataset: str = key(..., "description of the data set: name of a YAML file in config/datasets, without .yaml")
    like: str | None = key(
        None,
        "data set of this configuration to take `dataset`, `raw` and `simulate` from: the same files, read differently",
    )
    raw: str | None = key(
        None, "raw files: a folder, a zip or a preprocessed data set; relative to the working directory. null: simulate them"
    )
    simulate: Simulate | None = key(None, "settings of the simulator, used without `raw`")
    ingest: Ingest = key(Ingest(), "conversion of raw files to clips")
    ingest_jobs: Literal["one", "setup"] = key(
        "one", "jobs that read the raw files: one in total, or one per setup of the data set's description"
    )
    splits: tuple[str, ...] = key(("xsub",), "evaluation splits to use, by their names in the data set's description", min_length=1)
    protocols: tuple[Literal["linear", "knn", "finetune", "semi"], ...] = key(
        ("linear", "knn", "finetune", "semi"),
        "protocols to run on this data set and show in tables; sources and targets of transfer and few-shot are set in `transfer` and `few_shot`",
    )
    settings: dict[str, Any] = key(
        {}, "differences of `model`, `pretrain`, `tune`, `embed`, `joints`, `knn`, `linear`, `finetune` for this data set only"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.raw is None) == (self.simulate is None):
            raise ValueError("give either raw (a folder or zip with the raw files) or simulate")
        return self
