"""Preparation of files for an encoder, exactly as for its training clips, according to its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stars.config import Embed, Ingest, Settings
from stars.config.reading import validate
from stars.data import common_joints
from stars.data.convert import bodies_of, joints_of
from stars.data.readers import Layout
from stars.data.skeleton import Skeleton
from stars.errors import InputError
from stars.pipeline.descriptions import describe, folders
from stars.pipeline.descriptions import skeleton as named_skeleton
from stars.provenance.files import read_json
from stars.provenance.lineage import located

RECORD = "record.json"
EXPORTED = "preprocessor_config.json"  # in an exported folder (stars.inference.folder)


class Preparation(Settings):
    """Settings from a raw file to a clip (`dataset`, `ingest`), and from the clip to its feature (`embed`).

    `like` is the description's name, if set; `skeleton` the layout of `.npy`, `.json` and `.csv` files, if set; `fps`
    the frame rate of the encoder's clips, to which other files are resampled.
    """

    dataset: Layout
    ingest: Ingest
    embed: Embed = Embed()
    like: str | None = None
    skeleton: Skeleton | None = None
    fps: float | None = None

    @classmethod
    def of(
        cls, encoder: Path, joints: int, like: str | None = None, skeleton: str | None = None, fps: float | None = None
    ) -> Preparation:
        """The preparation for an encoder with `joints` joints.

        Args:
            like: description of the data set whose files are read, a name in config/datasets or a path ending in .yaml;
                None: the encoder's. Bodies, centring and completion stay those of the encoder's clips, if recorded.
            skeleton: layout of joints of the files, a name in config/skeletons or a path ending in .yaml; None:
                recognised.
            fps: frames per second of the files; None: the skeleton's, otherwise the encoder's.

        Raises:
            InputError: the encoder's preparation is unknown, or the description has other joints.
        """
        found = _recorded(encoder)
        if like is not None:
            found = _described(like, joints, found)
        elif found is None and skeleton is not None:
            found = _of_sensor(named_skeleton(skeleton, "--skeleton"), joints)
        if found is None:
            raise InputError(
                f"{encoder}: no record beside it describes its clips: name their data set's description (--like)"
            )
        if joints_of(found.dataset, found.ingest) != joints:
            raise InputError(
                f"{encoder} was trained on {joints} joints, but {like or skeleton} has"
                f" {joints_of(found.dataset, found.ingest)}: name another description"
            )
        return found.model_copy(update={"fps": found.fps or found.dataset.fps}).of_sensor(skeleton, fps)

    def of_sensor(self, skeleton: str | None, fps: float | None) -> Preparation:
        """The same for files with another layout or frame rate; None: unchanged."""
        sensor = self.skeleton if skeleton is None else named_skeleton(skeleton, "--skeleton")
        if fps is None:
            return self.model_copy(update={"skeleton": sensor})
        if fps <= 0:
            raise InputError(f"--fps {fps:g}: must be above 0, the frames per second of your files")
        of_files = {
            "dataset": self.dataset.model_copy(update={"fps": fps}),
            "skeleton": sensor and sensor.model_copy(update={"fps": fps}),
        }
        return self.model_copy(update=of_files)


def recorded_input(beside: Path, record: Path, role: str) -> Path:
    """The file of an input role in `record`, at its current place below the results folder that contains `beside`."""
    try:
        path = Path(read_json(record)["inputs"][role]["path"])
    except (KeyError, TypeError):
        raise InputError(f"{record} has no input {role}: run its stage again") from None
    found = located(beside, path)
    if found is None:
        raise InputError(
            f"{path}, named in {record}, is missing: keep the results folder whole, or name a description (--like)"
        )
    return found


def features_record(encoder: Path) -> Path | None:
    """Record of the features of the encoder's own training clips."""
    clips = read_json(encoder.parent / RECORD)["inputs"]["clips"]["path"]
    records = sorted(encoder.parent.glob(f"features/*.{RECORD}"))
    return next((path for path in records if read_json(path)["inputs"]["clips"]["path"] == clips), None)


def _recorded(encoder: Path) -> Preparation | None:
    """The preparation in an exported folder or the records; None without either."""
    if (exported := encoder.with_name(EXPORTED)).is_file():
        return validate(Preparation, read_json(exported), str(exported))
    record = encoder.parent / RECORD
    if not record.is_file() or "clips" not in read_json(record).get("inputs", {}):
        return None
    store = recorded_input(encoder, record, "clips").parent / RECORD
    blocks: dict[str, Any] = {name: read_json(store)["settings"].get(name) for name in ("dataset", "ingest")}
    features = features_record(encoder)
    if features is not None:
        blocks["embed"] = read_json(features)["settings"]["embed"]
    found = validate(Preparation, blocks, str(store))
    return found.model_copy(update={"fps": found.dataset.fps})


def _described(like: str, joints: int, recorded: Preparation | None) -> Preparation:
    if not like.endswith(".yaml") and any((folder / f"{like}.yaml").exists() for folder in folders("skeletons")):
        raise InputError(f"--like {like}: this is a skeleton, not a data set's description: use --skeleton {like}")
    layout = Layout.of(describe(like, "--like"))
    if recorded is None:
        return Preparation(
            like=like, dataset=layout, ingest=Ingest(joints="file" if len(layout.joints) == joints else "common")
        )
    old, keys = recorded.dataset, recorded.ingest
    same = {
        "bodies": bodies_of(old, keys),
        "centre": keys.centre or old.centre,
        "single_body": keys.single_body or old.single_body,
    }
    return recorded.model_copy(update={"like": like, "dataset": layout, "ingest": keys.model_copy(update=same)})


def _of_sensor(sensor: Skeleton, joints: int) -> Preparation:
    """Preparation for an encoder without records: its joints are the sensor's, or the common joints."""
    layout = Layout(
        home="", reader="folder", bodies=2, joints=sensor.joints, root=sensor.root, centre="first_frame_root", single_body="zeros", actions={},
        subjects=None, setups=None, clips=None, listed=None, names=None,
    )  # fmt: skip
    common = joints != len(layout.joints) and joints == len(common_joints.JOINTS)
    return Preparation(dataset=layout, ingest=Ingest(joints="common" if common else "file"))
