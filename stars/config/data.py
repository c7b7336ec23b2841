"""Settings from conversion of raw files to clips."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import Count, Fraction, Positive, Settings, key


class Denoise(Settings):
    """Two-body denoising of NTU clips with more than one body id (the order of the steps is fixed)."""

    min_frames: Count = key(12, "minimum number of frames per body id; ids with fewer are dropped as ghosts")
    max_spread: Positive = key(0.8, "maximum ratio of x extent to y extent of a plausible body in a frame")
    max_noisy_share: Fraction = key(
        0.69754, "a body id is dropped if at least this fraction of its frames is implausible"
    )


class Ingest(Settings):
    """Raw files to clips."""

    bodies: Count | None = key(None, "bodies per clip; null: as in the data set's description")
    max_frames: Count = key(300, "maximum number of frames per clip; later frames are dropped")
    denoise: Denoise = key(Denoise(), "two-body denoising (NTU layout only)")
    centre: Literal["first_frame_root", "none"] | None = key(
        None,
        "origin of a clip. first_frame_root: root joint of the first frame with body 1; none: the camera; null: "
        "as in the data set's description",
    )
    single_body: Literal["zeros", "copy"] | None = key(
        None, "second body of a one-body clip: zeros or a copy of the first; null: as in the data set's description"
    )
    joints: Literal["file", "common"] = key(
        "file",
        "joints of a clip. file: those of the file; common: the 16 common joints, so that encoders transfer "
        "between layouts (docs/skeletons.md)",
    )
    missing_list: str | None = key(
        None,
        "the authors' list of samples with missing skeletons (text file, one name per line); these clips are skipped",
    )
    complete: Literal["report", "require"] = key(
        "report",
        "if clips of the complete data set are missing. report: list them and continue; require: stop",
    )
    on_bad_file: Literal["error", "skip"] = key(
        "error",
        "if files are unreadable. error: list them all and stop; skip: record them in quality.json and continue",
    )


class Simulate(Settings):
    """Simulated raw files, in the layout of the data set's description."""

    actions: int = key(
        20,
        "action classes; at most as many as the simulator and the description define. If clips have two bodies, "
        "the last quarter are two-person actions",
        ge=4,
        le=50,
    )
    subjects: int = key(
        10,
        "subjects, each with its own bone lengths, tempo and style; at most as many as the description lists",
        ge=2,
        le=106,
    )
    cameras: int = key(
        3, "simultaneous camera views; at most as many as the layout's file names can encode", ge=1, le=3
    )
    setups: int = key(
        3, "camera heights and distances; at most as many as the layout's file names can encode", ge=1, le=32
    )
    repetitions: int = key(2, "repetitions of each action by each subject in each setup", ge=1, le=99)
    clips: Count | None = key(None, "number of clips, sampled evenly from all combinations; null: all")
    frames: tuple[int, int] = key((50, 110), "shortest and longest clip, in frames at 30 fps")
    heading: float = key(
        0.15, "standard deviation of a subject's heading relative to the middle camera, in radians", ge=0
    )
    tempo: float = key(0.1, "standard deviation of a clip's log tempo around its subject's tempo", ge=0)
    posture: float = key(
        1.0, "scale of posture differences between subjects and between clips; 1: a few degrees per joint", ge=0
    )
    fidgets: int = key(
        1, "maximum number of idle movements per clip: slow swings of the head, the trunk or an arm", ge=0, le=8
    )
    noise: float = key(
        0.0015,
        "standard deviation of a trunk joint's sensor noise, in metres: slow drift, plus jitter of a tenth of it",
        ge=0,
    )
    shadow: Fraction = key(
        0.0,
        "self-occlusion: how far joints hidden behind the trunk are pulled onto it, from 0 (not at all) to 1 (fully)",
    )
    occlusion: Fraction = key(0.25, "fraction of clips in which a limb is occluded and jitters")
    ghosts: Fraction = key(0.1, "fraction of clips with a ghost body")
    dropped: Fraction = key(0.1, "fraction of clips with frames in which no body is detected")
    switches: Fraction = key(0.1, "fraction of clips in which the tracker changes a body's id")
    seed: int = key(0, "random seed of the simulation", ge=0)


class Data(Settings):
    """A data set that this configuration uses."""

    dataset: str = key(..., "description of the data set: name of a YAML file in config/datasets, without .yaml")
    like: str | None = key(
        None,
        "another data set of this configuration, to read the same files (`dataset`, `raw`, `simulate`) with other"
        " settings",
    )
    raw: str | None = key(
        None,
        "raw files: a folder, a zip or a preprocessed data set, relative to the working directory; null: simulate them",
    )
    simulate: Simulate | None = key(None, "settings of the simulator, used without `raw`")
    ingest: Ingest = key(Ingest(), "conversion of raw files to clips")
    ingest_jobs: Literal["one", "setup"] = key("one", "jobs that read the raw files: one in total, or one per setup")
    splits: tuple[str, ...] = key(
        ("xsub",), "evaluation splits to use, by their names in the data set's description", min_length=1
    )
    protocols: tuple[Literal["linear", "knn", "finetune", "semi"], ...] = key(
        ("linear", "knn", "finetune", "semi"),
        "protocols to run on this data set and show in tables; for transfer and few-shot, see `transfer.pairs` and"
        " `few_shot.pairs`",
    )
    settings: dict[str, Any] = key(
        {},
        "overrides of `model`, `pretrain`, `tune`, `train`, `embed`, `joints`, `knn`, `linear` and `finetune` for this"
        " data set",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.raw is None) == (self.simulate is None):
            raise ValueError("set either raw (a folder or zip with the raw files) or simulate")
        return self
