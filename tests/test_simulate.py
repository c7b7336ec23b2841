"""The simulator: its files against a slow, obvious parser; its people; its sensor's mistakes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from stars.config import Simulate
from stars.data.dataset import Dataset
from stars.data.simulate import files, plan, recordings, simulate
from stars.data.simulate import kinematics as k
from stars.data.simulate.actions import ACTIONS, PAIRS, chosen
from stars.data.simulate.layouts.ntu import name_of, skeleton_text
from stars.data.simulate.performance import Performance, perform, performer
from stars.data.simulate.sensor import Track, _shadowed
from stars.data.simulate.stage import SimulateStage
from stars.errors import InputError
from stars.pipeline.descriptions import describe

ROOT = Path(__file__).resolve().parents[1]
DEMO = Dataset.model_validate(yaml.safe_load((ROOT / "config/datasets/demo.yaml").read_text()))
FIFTY = describe("simulated50", "")
SMALL = SimulateStage.of(DEMO, Simulate(actions=8, subjects=3, setups=2, repetitions=2, clips=24))
CLEAN = {"occlusion": 0, "ghosts": 0, "dropped": 0, "switches": 0}


def parse(text: bytes) -> list[list[tuple[str, np.ndarray]]]:
    """Frames of (id, 25 x 12 numbers) bodies, a line at a time, as reference.md describes NTU's layout."""
    lines = iter(text.decode("ascii").splitlines())
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            head = next(lines).split()
            assert len(head) == 10
            assert next(lines) == "25"
            bodies.append((head[0], np.array([[float(word) for word in next(lines).split()] for _ in range(25)])))
            assert bodies[-1][1].shape == (25, 12)
        frames.append(bodies)
    assert next(lines, None) is None
    return frames


def filmed(**changes: float) -> list[list[Track]]:
    """Tracks of each clip of a small data set."""
    settings = SMALL.model_copy(update={**CLEAN, **changes})
    return [recording.tracks for recording in recordings(settings, plan(settings))]


def test_text_holds_the_joints_ids_and_states():
    for tracks in filmed(occlusion=1, ghosts=1, dropped=1, switches=1):
        frames = parse(skeleton_text(tracks, SMALL.order))
        assert len(frames) == len(tracks[0].seen)
        for index, bodies in enumerate(frames):
            seen = [track for track in tracks if track.seen[index]]
            assert [name for name, _ in bodies] == [str(track.ids[index]) for track in seen]
            for track, (name, numbers) in zip(seen, bodies, strict=True):
                assert len(name) == 17
                np.testing.assert_allclose(numbers[:, :3], track.joints[index], atol=5.1e-7)
                np.testing.assert_array_equal(numbers[:, 11], track.states[index])
                np.testing.assert_allclose(numbers[:, 3], 256 + 365 * numbers[:, 0] / numbers[:, 2], atol=2e-3)
                np.testing.assert_allclose((numbers[:, 7:11] ** 2).sum(1), 1, atol=1e-4)


def test_same_settings_same_bytes_as_zip_or_folder(tmp_path):
    for name in ("a.zip", "b.zip", "c"):
        simulate(tmp_path / name, SMALL)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(archive.namelist()) == 24
        assert sorted(archive.namelist()) == sorted(file.name for file in (tmp_path / "c").iterdir())
        assert all(archive.read(file.name) == file.read_bytes() for file in (tmp_path / "c").iterdir())
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a.zip",
        "a.zip.record.json",
        "b.zip",
        "b.zip.record.json",
        "c",
        "c.record.json",
    ]
    with pytest.raises(InputError, match="is not empty"):
        simulate(tmp_path / "c", SMALL)


def test_a_clip_does_not_depend_on_how_many_are_asked_for():
    more = SMALL.model_copy(update={"clips": 96})
    few, many = dict(files(SMALL, plan(SMALL))), dict(files(more, plan(more)))
    assert len(many) == 96
    assert few.items() <= many.items()
    other = SMALL.model_copy(update={"seed": 1})
    assert not set(few.values()) & set(dict(files(other, plan(other))).values())


def test_the_sample_is_even_over_actions_and_subjects():
    def stage(**settings) -> SimulateStage:
        return SimulateStage.of(DEMO, Simulate(**settings))

    settings = stage(actions=8, subjects=5, cameras=3, clips=240)
    pairs = [(performance.subject, performance.action) for performance, cameras in plan(settings) for _ in cameras]
    assert {pairs.count(pair) for pair in set(pairs)} == {6}
    assert len(set(pairs)) == 40
    assert sum(len(cameras) for _, cameras in plan(stage(clips=50))) == 50
    assert sum(len(cameras) for _, cameras in plan(stage(actions=4, subjects=2, repetitions=1, setups=1))) == 24


def test_bones_keep_their_length():
    everyone = [perform(0, Performance(1, 2, 1, action), Simulate(frames=(40, 60), subjects=5)) for action in ACTIONS]
    for people in everyone:
        for joint, (parent, _) in k.BONES.items():
            length = np.linalg.norm(people[:, :, joint] - people[:, :, parent], axis=-1)
            np.testing.assert_allclose(length, np.broadcast_to(length[:, :1], length.shape), rtol=1e-9)
    own = [np.linalg.norm(performer(0, subject).offsets, axis=1) for subject in (1, 2)]
    assert np.abs(own[0] - own[1]).max() > 0.01
    np.testing.assert_allclose(own[0][[4, 13]], own[0][[8, 17]])  # left as right


def test_an_angle_turns_what_lies_beyond_its_joint():
    angles = np.zeros((1, k.JOINTS, 3))
    angles[0, k.R_SHOULDER, k.X] = -np.pi / 2  # the right arm is raised forward
    pose, rest = k.forward(angles, k.rest_offsets())[0], k.forward(0 * angles, k.rest_offsets())[0]
    arm = np.linalg.norm(rest[10, 1:] - rest[8, 1:])
    np.testing.assert_allclose(pose[10] - pose[8], [-0.02, 0, arm], atol=1e-12)
    still = [joint for joint in range(k.JOINTS) if joint not in k.LIMBS[1]]
    np.testing.assert_allclose(pose[still], rest[still])


def test_who_acts_together():
    assert chosen(20) == tuple(range(1, 21))
    assert (
        sorted(chosen(50)) == sorted(ACTIONS)
        and len([action for action in ACTIONS.values() if action.people == 2]) >= 10
    )
    assert chosen(12, range(1, 21)) == (*range(1, 10), 16, 17, 18)
    pairs = [action for action in ACTIONS if ACTIONS[action].people == 2]
    for action in ACTIONS:
        people = perform(3, Performance(1, 1, 1, action), Simulate(frames=(40, 60), subjects=4))
        assert len(people) == (2 if action in pairs else 1)
        assert people[..., 1].min() > -0.2  # nobody sinks into the floor
    gaps = {}
    for action in (18, 19):
        first, second = perform(3, Performance(1, 1, 1, action), Simulate(frames=(60, 60), subjects=4))[:, :, 0]
        gaps[ACTIONS[action].name] = np.linalg.norm(first[-1] - second[-1]) - np.linalg.norm(first[0] - second[0])
    assert gaps["walk together"] < -0.1
    assert gaps["walk apart"] > 0.1


def test_description_agrees_with_the_simulator():
    for described, most in ((DEMO, 20), (FIFTY, 50)):
        assert described.actions == {number: action.name for number, action in ACTIONS.items() if number <= most}
        assert described.two_person == tuple(
            number for number, action in ACTIONS.items() if action.people == 2 and number <= most
        )
    assert set(DEMO.mirror) == set(k.LEFT_RIGHT)
    assert DEMO.joints == k.NAMES and SMALL.order == list(range(k.JOINTS))
    bones = {frozenset((joint, parent)) for joint, (parent, _) in k.BONES.items()}
    assert {frozenset((joint, parent)) for joint, parent in enumerate(DEMO.parents) if joint != parent} == bones
    assert name_of(Performance(1, 2, 3, 4), 5) == "S001C005P002R003A004.skeleton"


def test_without_defects_there_are_none():
    for tracks in filmed():
        for track in tracks:
            assert track.seen.all()
            assert len(set(track.ids)) == 1
            assert (track.states == 2).all()
        assert len({track.ids[0] for track in tracks}) == len(tracks) <= 2


def test_every_defect_occurs():
    for clean, hidden in zip(filmed(), filmed(occlusion=1), strict=True):
        moved = [np.flatnonzero((track.states == 1).any(0)).tolist() for track in hidden]
        assert [limb for limb in moved if limb] == [list(limb) for limb in k.LIMBS if list(limb) in moved]
        assert any(moved)
        assert len(clean) == len(hidden)
    assert all(any(len(set(track.ids)) == 2 for track in tracks) for tracks in filmed(switches=1))
    for tracks in filmed(dropped=1):
        assert 0 < (~np.any([track.seen for track in tracks], axis=0)).sum() <= 8
    kinds = set()
    for clean, haunted in zip(filmed(), filmed(ghosts=1), strict=True):
        assert len(haunted) == len(clean) + 1
        ghost = haunted[-1]
        spread = np.ptp(ghost.joints[ghost.seen], axis=1)
        wide = np.mean(spread[:, 0] > 0.8 * spread[:, 1]) > 0.7
        assert wide or ghost.seen.sum() < 12  # what denoising can tell from a person
        kinds.add(bool(wide))
    assert kinds == {True, False}


def test_a_fine_pair_shares_people_and_tempo_and_moves_differently():
    assert len({frozenset(pair) for pair in PAIRS}) >= 10
    for pair in PAIRS:
        first, second = (ACTIONS[number] for number in pair)
        assert (first.people, first.tempo) == (second.people, second.tempo)
        one, other = (
            perform(3, Performance(1, 1, 1, number), Simulate(frames=(60, 60), subjects=4)) for number in pair
        )
        assert np.abs(one - other).max() > 0.1, pair


def test_a_trunk_hides_what_is_behind_it_and_nothing_else():
    body = k.forward(np.zeros((1, k.JOINTS, 3)), k.rest_offsets()) + np.array([0, 0, 3.0])
    middle = body[0, [k.PELVIS, k.CHEST]].mean(0)
    # along the line of sight, and off it
    behind, before, beside = middle * 1.1, middle * 0.9, middle * 1.1 + np.array([0.5, 0, 0])
    for place, moves in ((behind, True), (before, False), (beside, False)):
        views = body[None].copy()
        views[0, 0, 11] = place
        seen = _shadowed(views, 1.0)
        np.testing.assert_array_equal(np.delete(seen[0, 0], 11, 0), np.delete(_shadowed(body[None], 1.0)[0, 0], 11, 0))
        assert (np.abs(seen[0, 0, 11] - place).max() > 0.05) == moves
        np.testing.assert_allclose(_shadowed(views, 0.5), (seen + views) / 2, atol=1e-12)


def test_posture_and_fidgets_change_how_people_stand_and_what_they_do_besides():
    def acted(**keys) -> np.ndarray:
        return np.stack(
            [
                perform(0, Performance(1, subject, 1, 10), Simulate(frames=(60, 60), subjects=9, **keys))[0]
                for subject in range(1, 9)
            ]
        )

    def spread(x: np.ndarray) -> float:  # of the first frame between people, about each one's pelvis
        return (x[:, 0] - x[:, 0, [k.PELVIS]]).std(0).mean()

    def moved(x: np.ndarray) -> float:  # an action of the head: what arms do is done besides
        return np.abs(np.diff(x[:, :, 4:12] - x[:, :, [k.PELVIS]], axis=1)).mean()

    assert spread(acted(posture=0)) < spread(acted()) < spread(acted(posture=3))
    assert moved(acted(fidgets=0)) < moved(acted()) < moved(acted(fidgets=8))


def test_what_is_held_against_real_clips_is_what_scale_simulates():
    scale, realism = (
        yaml.safe_load((ROOT / name).read_text())["data"]
        for name in ("config/scale.yaml", "config/compare/realism.yaml")
    )
    sizes = {"actions", "subjects", "setups", "repetitions", "clips"}
    keys = [
        {key: value for key, value in data["simulate"].items() if key not in sizes}
        for data in (scale["scale"], realism["simulated_hard"])
    ]
    assert keys[0] == keys[1] and keys[0]
