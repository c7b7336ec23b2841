"""How a file becomes what an encoder reads: exactly as its training's clips did, as the records beside it say."""

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
EXPORTED = "preprocessor_config.json"  # beside the weights of an exported folder (stars.inference.folder)


class Preparation(Settings):
    """From a raw file to a clip (`dataset`, `ingest`), and from the clip to its feature (`embed`).

    `like` names the description, where one was named; `skeleton` is the layout of `.npy`, `.json` and `.csv` files that was; `fps` is that of the
    encoder's clips, to which files of another rate are resampled.
    """

    dataset: Layout
    ingest: Ingest
    embed: Embed = Embed()
    like: str | None = None
    skeleton: Skeleton | None = None
    fps: float | None = None

    @classmethod
    def of(cls, encoder: Path, joints: int, like: str | None = None, skeleton: str | None = None, fps: float | None = None) -> Preparation:
        """That of an encoder with so many joints.

        Args:
            like: description of the data set whose files are read, a name in config/datasets or a path ending in .yaml; None: the
                encoder's own. Bodies, centring and completion stay those of the encoder's clips, where these are recorded.
            skeleton: layout of joints of the files, a name in config/skeletons or a path ending in .yaml; None: it is recognised.
            fps: frames a second of the files; None: as the skeleton says, else the encoder's.

        Raises:
            InputError: nothing says what the encoder reads, or the description has other joints.
        """
        found = _recorded(encoder)
        if like is not None:
            found = _described(like, joints, found)
        elif found is None and skeleton is not None:
            found = _of_sensor(named_skeleton(skeleton, "--skeleton"), joints)
        if found is None:
            raise InputError(f"{encoder}: no record beside it says what its clips were made of: name their data set's description (--like)")
        if joints_of(found.dataset, found.ingest) != joints:
            raise InputError(
                f"{encoder} was trained on {joints} joints, but {like or skeleton} has {joints_of(found.dataset, found.ingest)}: name another "
                "description"
            )
        return found.model_copy(update={"fps": found.fps or found.dataset.fps}).of_sensor(skeleton, fps)

    def of_sensor(self, skeleton: str | None, fps: float | None) -> Preparation:
        """The same for files of another layout of joints, or of another rate; None: as it is."""
        sensor = self.skeleton if skeleton is None else named_skeleton(skeleton, "--skeleton")
        if fps is None:
            return self.model_copy(update={"skeleton": sensor})
        if fps <= 0:
            raise InputError(f"--fps {fps:g}: give the frames a second of your files, above 0")
        of_files = {"dataset": self.dataset.model_copy(update={"fps": fps}), "skeleton": sensor and sensor.model_copy(update={"fps": fps})}
        return self.model_copy(update=of_files)


def recorded_input(beside: Path, record: Path, role: str) -> Path:
    """The file that `record` names as its input of that role; wherever their results folder, above `beside`, lies now."""
    try:
        path = Path(read_json(record)["inputs"][role]["path"])
    except (KeyError, TypeError):
        raise InputError(f"{record} names no input {role}: make what it stands beside again") from None
    found = located(beside, path)
    if found is None:
        raise InputError(f"{path}, named in {record}, is not there: keep the results folder whole, or name a description (--like)")
    return found


def features_record(encoder: Path) -> Path | None:
    """Record of the features of the encoder's own training clips."""
    clips = read_json(encoder.parent / RECORD)["inputs"]["clips"]["path"]
    records = sorted(encoder.parent.glob(f"features/*.{RECORD}"))
    return next((path for path in records if read_json(path)["inputs"]["clips"]["path"] == clips), None)


def _recorded(encoder: Path) -> Preparation | None:
    """What an exported folder or the records say; None where neither stands beside the encoder."""
    if (told := encoder.with_name(EXPORTED)).is_file():
        return validate(Preparation, read_json(told), str(told))
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
        raise InputError(f"--like {like}: it names the description of a data set: say which joints your files have with --skeleton {like}")
    layout = Layout.of(describe(like, "--like"))
    if recorded is None:
        return Preparation(like=like, dataset=layout, ingest=Ingest(joints="file" if len(layout.joints) == joints else "common"))
    old, keys = recorded.dataset, recorded.ingest
    same = {"bodies": bodies_of(old, keys), "centre": keys.centre or old.centre, "single_body": keys.single_body or old.single_body}
    return recorded.model_copy(update={"like": like, "dataset": layout, "ingest": keys.model_copy(update=same)})


def _of_sensor(sensor: Skeleton, joints: int) -> Preparation:
    """Of an encoder of which nothing is known: its joints are the sensor's, or the common ones."""
    layout = Layout(
        home="", reader="folder", bodies=2, joints=sensor.joints, root=sensor.root, centre="first_frame_root", single_body="zeros", actions={},
        subjects=None, setups=None, clips=None, listed=None, names=None,
    )  # fmt: skip
    common = joints != len(layout.joints) and joints == len(common_joints.JOINTS)
    return Preparation(dataset=layout, ingest=Ingest(joints="common" if common else "file"))
