"""The door for every sensor: layouts that are told or recognised, axes and units, joints that are made of others,
and the line for what is odd.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from figure import KINECT, mediapipe, standing
from toy import SHAPE

import stars
from stars.backbones.transformer import Network
from stars.data import common_joints, completion, skeleton
from stars.data.readers import Layout, folder
from stars.data.skeleton import as_filed, in_metres_y_up
from stars.errors import InputError
from stars.inference.clips import resampled
from stars.inference.model import Model
from stars.pipeline.descriptions import describe, skeletons
from stars.training.weights import save_encoder


def encoder(path: Path, joints: int) -> Path:
    save_encoder(path, Network(SHAPE, joints))
    return path


@pytest.fixture(scope="module")
def common(tmp_path_factory) -> Model:
    model = stars.load(encoder(tmp_path_factory.mktemp("common") / "encoder.safetensors", 16), skeleton="kinect_v2")
    return replace(model, preparation=model.preparation.model_copy(update={"skeleton": None}))


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Model:
    """Of Kinect v2's own joints, in files of any layout."""
    return stars.load(encoder(tmp_path_factory.mktemp("own") / "encoder.safetensors", 25), like="demo")


def said(model: Model, given: object) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.read(given)
    return [str(one.message) for one in found]


def test_axes_and_units_are_undone_exactly():
    x = np.random.default_rng(0).normal(size=(5, 2, 4, 3)).astype(np.float32)
    for axes in (("x", "y", "z"), ("-x", "-y", "z"), ("z", "x", "-y")):
        for unit in ("m", "cm", "mm"):
            assert np.allclose(in_metres_y_up(as_filed(x, axes, unit), axes, unit), x, atol=1e-6)
    down = in_metres_y_up(np.array([[1.0, 2.0, 3.0]], np.float32), ("-x", "-y", "z"), "m")
    assert down.tolist() == [[-1, -2, 3]]
    assert np.allclose(
        in_metres_y_up(np.array([[1.0, 2.0, 3.0]], np.float32), ("z", "x", "-y"), "cm"), [[0.03, 0.01, -0.02]]
    )
    with pytest.raises(ValueError, match="axes must name x, y and z once each, found x, x, z"):
        skeleton.check_axes(("x", "x", "z"))


def test_joints_are_sums_that_move_with_the_body():
    x_tvc, known = standing(3).astype(np.float32), skeletons()
    for name, layout in known.items():
        for wanted in known.values():
            if completion.lacking(layout.joints, wanted.joints):
                continue
            poses = np.random.default_rng(1).normal(size=(4, len(layout.joints), 3)).astype(np.float32)
            made = completion.complete(poses, layout.joints, wanted.joints)
            assert np.allclose(completion.complete(poses + 2, layout.joints, wanted.joints), made + 2, atol=1e-4), name
            for place, joint in enumerate(wanted.joints):
                if joint in layout.joints:
                    assert np.array_equal(made[:, place], poses[:, layout.joints.index(joint)])
        poses = np.random.default_rng(2).normal(size=(4, len(layout.joints), 3)).astype(np.float32)
        shared = common_joints.to_common(poses, layout.joints)
        assert np.allclose(completion.complete(poses, layout.joints, common_joints.JOINTS), shared, atol=1e-5)
    seen = mediapipe(x_tvc) * (-1, -1, 1)
    back = completion.complete(seen.astype(np.float32), known["mediapipe33"].joints, KINECT)
    apart = np.linalg.norm((back - back[:, :1]) - (x_tvc - x_tvc[:, :1]), axis=-1).max(axis=0)
    assert apart.max() < 0.1  # of all 25 joints, those that MediaPipe does not have included
    assert completion.lacking(known["kinect_v2"].joints, known["coco17"].joints) == [
        "nose",
        "left eye",
        "right eye",
        "left ear",
        "right ear",
    ]


def test_mediapipe_is_recognised_turned_and_completed(own, common, tmp_path):
    clip = mediapipe(standing())
    (tmp_path / "a.json").write_text(
        json.dumps([[dict(zip("xyz", point, strict=True)) for point in frame] for frame in clip.tolist()])
    )
    lines = said(own, tmp_path / "a.json")
    assert (
        lines[0]
        == f"{tmp_path / 'a.json'}: 33 joints, read as mediapipe33, axes -x -y z; name another layout with --skeleton"
    )
    assert lines[1].startswith("the encoder's spine base, spine middle, neck, head") and lines[1].endswith(
        "are derived from other joints"
    )
    assert len(lines) == 2
    upright = own.read(standing())[0].x_tmvc
    assert np.abs(own.read(tmp_path / "a.json")[0].x_tmvc - upright).max() < 0.1
    told = stars.load(common.path, skeleton="mediapipe33")
    assert np.array_equal(told.read(clip)[0].x_tmvc, common.read(tmp_path / "a.json")[0].x_tmvc)
    assert len(said(told, clip)) == 1  # that joints are made, and nothing is recognised


def test_bare_headers_are_the_layout_s_order(own, tmp_path):
    clip = standing()
    for first, form in ((0, "{}{}"), (1, "{}_{}")):
        text = io.StringIO()
        names = [form.format(axis, number) for number in range(first, first + 25) for axis in "xyz"]
        csv.writer(text).writerows([["time", *names], *[[0.1, *row] for row in clip.reshape(len(clip), -1).tolist()]])
        (tmp_path / "a.csv").write_text(text.getvalue())
        assert np.array_equal(own.read(tmp_path / "a.csv")[0].x_tmvc, own.read(clip)[0].x_tmvc)
    layout = Layout.of(describe("demo", "a"))
    with pytest.raises(
        InputError, match="line 1: expected the columns x, y and z of 25 joints, x0 to z24, found 6, up to number 1"
    ):
        folder.read(b"x0,y0,z0,x1,y1,z1\n1,2,3,4,5,6\n", "a.csv", layout)


def unit_file(folder: Path, **keys: object) -> str:
    path = folder / "sensor.yaml"
    path.write_text(yaml.safe_dump({"skeleton": "kinect_v2", **keys}))
    return str(path)


def test_a_file_of_one_s_own_says_unit_axes_and_rate(own, tmp_path):
    clip = standing()
    millimetres = stars.load(own.path, like="demo", skeleton=unit_file(tmp_path, unit="mm", axes=["-x", "-y", "z"]))
    assert np.allclose(millimetres.read(clip * (-1000, -1000, 1000))[0].x_tmvc, own.read(clip)[0].x_tmvc, atol=1e-5)
    quick = stars.load(own.path, like="demo", skeleton=unit_file(tmp_path, fps=60))
    assert said(quick, clip) == ["clip 0: 60 frames per second, the encoder's clips have 30: resampled"]
    assert len(quick.read(clip)[0].x_tmvc) == 20 == len(stars.load(own.path, like="demo", fps=60).read(clip)[0].x_tmvc)
    with pytest.raises(InputError, match=r"unknown key units: did you mean unit\?"):
        stars.load(own.path, like="demo", skeleton=unit_file(tmp_path, units="mm"))
    with pytest.raises(InputError, match="--skeleton: no kinect in config/skeletons: did you mean kinect_v"):
        stars.load(own.path, like="demo", skeleton="kinect")
    with pytest.raises(
        InputError,
        match="--like mediapipe33: this is a skeleton, not a data set's description: use --skeleton mediapipe33",
    ):
        stars.load(own.path, like="mediapipe33")


def test_resampling_keeps_the_movement_and_who_is_absent():
    x = np.zeros((9, 2, 1, 3), np.float32)
    x[:, 0] = np.arange(1, 10)[:, None, None]
    x[4:, 1] = 5
    half = resampled(x, 0.5)
    assert half[:, 0, 0, 0].tolist() == [1, 3, 5, 7] and half[:, 1, 0, 0].tolist() == [0, 0, 5, 5]
    double = resampled(x, 2.0)
    assert np.allclose(double[:, 0, 0, 0], np.minimum(np.arange(18) / 2, 8) + 1) and set(
        double[:, 1, 0, 0].tolist()
    ) == {0.0, 5.0}


ODD = {
    "upside down": (lambda x: x * (-1, -1, 1), "the body is upside down along y"),
    "lying": (lambda x: x[..., [1, 0, 2]] * (1, -1, 1), "the body lies along x, where y is up"),
    "mirrored": (
        lambda x: x * (-1, 1, 1),
        "left and right are mirrored: change one sign of axes in a file for --skeleton, e.g. axes: [-x, y, z]",
    ),
    "millimetres": (lambda x: x * 1000, "the body is 1,551 m tall, about 1,000 times too large, as if in mm"),
    "centimetres": (lambda x: x * 100, "the body is 155 m tall, about 100 times too large, as if in cm"),
    "one place": (lambda x: x[:, :1] + 0 * x, "all joints are at one place"),
    "frozen": (lambda x: np.repeat(x[:1], 40, axis=0), "the body does not move"),
    "one frame": (lambda x: x[:1], "one frame long: an action needs several"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_is_one_line(own, what):
    change, expected = ODD[what]
    assert said(own, change(standing())) == [f"clip 0: {expected}"]


def test_nothing_is_odd_about_a_person_and_pixels_are_refused(own):
    assert said(own, standing()) == []
    with pytest.raises(InputError, match="clip 0: all joints are in one plane, like pixels without depth"):
        own.read(standing() * (300, 300, 0))
    lines = said(own, standing() * (0.2, 0.4, 0.1) + (0.5, 0.1, 0.1))
    assert any("coordinates from 0 to 1, as in a picture" in line for line in lines)


def test_what_is_odd_about_several_clips_is_one_line_with_their_number(own):
    mirrored = standing() * (-1, 1, 1)
    (line,) = said(own, [standing(), mirrored, mirrored, mirrored])
    assert line.startswith("clip 1 and 2 more: left and right are mirrored")


def test_joints_that_nothing_gives_are_refused_with_a_way_out(tmp_path):
    model = stars.load(encoder(tmp_path / "encoder.safetensors", 33), skeleton="mediapipe33")
    model = replace(model, preparation=model.preparation.model_copy(update={"skeleton": None}))
    with pytest.raises(
        InputError,
        match=(
            r"the encoder needs nose, left eye inner.* which cannot be derived from these 25 joints: use an encoder on"
            r" the common"
        ),
    ):
        model.read(standing())
