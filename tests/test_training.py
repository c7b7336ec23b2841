"""Both stages end to end at toy size: repeatable, resumable to the byte, and refusing what they cannot use."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, normalize

from stars.backbones.transformer import Network
from stars.config import Checkpoint, Model, Nnclr, Optimiser, Pretrain, Sampling, Tune, TuneOptimiser
from stars.data.store import COLUMNS, ClipStore
from stars.errors import InputError, Interrupted
from stars.objectives import nnclr
from stars.objectives.mamp import bodies_of
from stars.training import checkpoint as checkpoint_module
from stars.training import pretrain as pretrain_module
from stars.training import run
from stars.training import tune as tune_module
from stars.training.checkpoint import Work
from stars.training.optimiser import optimiser_of
from stars.training.plan import Plan
from stars.training.pretrain import PretrainStage, pretrain
from stars.training.scratch import ScratchStage, scratch
from stars.training.trained import Trained
from stars.training.tune import TuneStage, tune, tuning
from stars.training.weights import load_encoder, save_encoder
from stars.views.crop import Clips, random_crop, rotate

MODEL = Model(
    frames=16, segment=4, width=16, heads=2, depth=4, hidden=32, decoder_width=16, decoder_depth=1, decoder_hidden=32
)
SAMPLING = Sampling(min_frames=8)
PRETRAIN = Pretrain(
    sampling=SAMPLING, optimiser=Optimiser(epochs=2.5, warmup_epochs=0.5, batch=4, lr=1e-2, min_lr=1e-3)
)
NNCLR = Nnclr(queue=16, predictor_hidden=32)
TUNE = Tune(
    nnclr=NNCLR, sampling=SAMPLING, optimiser=TuneOptimiser(epochs=2.5, warmup_epochs=0, batch=4, lr=1e-3, min_lr=0.0)
)
CLIPS = 14
MIRROR = ((1, 2), (3, 4))


def write_clips(folder: Path, spoil: int | None = None) -> Path:
    """A store of random walks, every other clip with one body only."""
    numbers = np.random.default_rng(0)

    def stream():
        for i in range(CLIPS):
            x_tmvc = numbers.normal(0, 0.05, (20 + i, 2, 5, 3)).cumsum(0).astype(np.float32)
            if i % 2:
                x_tmvc[:, 1] = 0
            if i == spoil:
                x_tmvc[:, 0, 0, 0] = np.nan
            row = {column: 0 for column in COLUMNS if column != "frames"}
            yield {**row, "name": f"clip{i:02}", "action_name": "a", "source": f"{i}", "sha256": "0"}, x_tmvc

    ClipStore.write(folder / "clips", stream(), bodies=2, joints=5)
    np.save(folder / "train.npy", np.arange(CLIPS))
    return folder


class Bench:
    """A folder with clips in which stages run, by default never saving between."""

    def __init__(self, folder: Path, data: Path, seconds: float = 1e6) -> None:
        self.folder, self.clips, self.train = folder, data / "clips", data / "train.npy"
        self.checkpoint = Checkpoint(folder=str(folder / ".work"), seconds=seconds)

    def pretrain(self, out: str, seed: int = 0, **changes: object) -> Path:
        settings = PretrainStage(seed=seed, model=MODEL, pretrain=PRETRAIN.model_copy(update=changes))
        pretrain(self.clips, self.train, self.folder / out, settings, self.checkpoint)
        return self.folder / out

    def tune(
        self, out: str, seed: int = 0, parent: Path | None = None, heads: Path | None = None, **changes: object
    ) -> Path:
        settings = TuneStage(seed=seed, tune=TUNE.model_copy(update=changes), mirror=MIRROR)
        tune(self.clips, self.train, parent or self.parent(), self.folder / out, settings, self.checkpoint, heads=heads)
        return self.folder / out

    def parent(self) -> Path:
        file = self.folder / "scratch" / "encoder.safetensors"
        if not file.exists():
            scratch(self.clips, file.parent, ScratchStage(seed=0, model=MODEL))
        return file

    def stage(self, name: str, out: str, **options: object) -> Path:
        return getattr(self, name)(out, **options)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bench(tmp_path, data):
    return Bench(tmp_path, data)


def result(out: Path) -> dict[str, bytes]:
    """Every file a stage wrote but the record, which holds times."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "record.json"}


def curve(out: Path) -> list[dict[str, str]]:
    with (out / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def at_call(monkeypatch, name: str, number: int, act) -> None:
    """Run `act` before the `number`-th training step of a stage."""
    step, calls = run.Step, iter(range(1, 10**6))
    loss = step.__call__

    def counted(*arguments):
        if next(calls) == number:
            act()
        return loss(*arguments)

    monkeypatch.setattr(step, "__call__", counted)


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_same_seed_same_bytes_other_seed_other_bytes(bench, name):
    first, again, other = (result(bench.stage(name, out, seed=seed)) for out, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again
    assert first["encoder.safetensors"] != other["encoder.safetensors"]
    assert not (bench.folder / ".work").exists()


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_stopped_by_a_signal_and_run_again_ends_with_the_same_bytes(bench, monkeypatch, capsys, name):
    undisturbed = result(bench.stage(name, "whole"))
    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        at_call(patch, name, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="after step 5 of 8"):
            bench.stage(name, "stopped")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not (bench.folder / "stopped" / "encoder.safetensors").exists()
    assert result(bench.stage(name, "stopped")) == undisturbed
    assert "continuing after step 5 of 8" in capsys.readouterr().err
    notes = json.loads((bench.folder / "stopped" / "record.json").read_text())["notes"]
    assert [(leg["until_step"], len(leg["code"])) for leg in notes["earlier_runs"]] == [(5, 64)]
    assert not (bench.folder / ".work").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training import Bench
bench, replace, seen = Bench(Path({folder!r}), Path({data!r}), seconds=1e-9), os.replace, []
def deadly(source, target):
    seen.append(Path(target).name)
    if seen.count({victim!r}) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = deadly
bench.stage({name!r}, "killed")
"""


@pytest.mark.parametrize(
    ("name", "victim", "number"), [("pretrain", "last.ckpt", 4), ("tune", "encoder.safetensors", 2)]
)
def test_killed_while_writing_and_run_again_ends_with_the_same_bytes(bench, data, name, victim, number):
    """The kill falls between writing a file and renaming it; the first encoder.safetensors of the tune run is its
    parent's.
    """
    script = KILLED.format(
        tests=str(Path(__file__).parent),
        folder=str(bench.folder),
        data=str(data),
        victim=victim,
        number=number,
        name=name,
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert list((bench.folder / ".work").glob("*/*.ckpt"))
    assert result(bench.stage(name, "killed")) == result(bench.stage(name, "whole"))
    assert not list(bench.folder.rglob(".*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"clip") if b"clip" in content else len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    torch.save({"format": checkpoint_module.FORMAT, "work": "another", "model": {}}, path)


def pickled(path: Path) -> None:
    torch.save({"model": Path("anything")}, path)


def state(model: torch.nn.Module, step: int = 0) -> dict:
    """What the loop saves of it."""
    states = {"model": model.state_dict(), "optimiser": torch.optim.AdamW(model.parameters()).state_dict()}
    return {"step": step, **states, "curve": {"rows": [], "losses": []}, "scaler": {}, "kept": {}}


@pytest.mark.parametrize("damage", [cut, flip, foreign, pickled])
def test_a_damaged_or_foreign_checkpoint_is_refused_and_the_older_used(tmp_path, capsys, damage):
    model = torch.nn.Linear(30, 30)
    work = Work(tmp_path, seconds=1e6)
    for step in (1, 2):
        work.save(state(model, step))
    assert work.load(state(model))["step"] == 2
    damage(work.last)
    capsys.readouterr()
    assert work.load(state(model))["step"] == 1
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1 and "last.ckpt is not used" in warning
    work.previous.write_bytes(b"")
    assert work.load(state(model)) is None


def test_a_checkpoint_of_another_shape_is_refused(tmp_path, capsys):
    work = Work(tmp_path, seconds=1e6)
    work.save(state(torch.nn.Linear(3, 2)))
    assert work.load(state(torch.nn.Linear(2, 3))) is None
    assert "tensors are not those of this model" in capsys.readouterr().err


def test_a_second_run_at_the_same_time_is_refused(bench, monkeypatch):
    def second():
        with pytest.raises(InputError, match="another run"):
            bench.pretrain("second")

    at_call(monkeypatch, "pretrain", 2, second)
    bench.pretrain("first")
    assert not (bench.folder / "second" / "encoder.safetensors").exists()


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_a_loss_that_is_not_finite_stops_with_step_clip_and_checkpoint(bench, tmp_path, name):
    spoilt = Bench(tmp_path / "spoilt", write_clips(tmp_path / "spoilt", spoil=6), seconds=1e-9)
    plan = Plan(0, name, CLIPS, 4, 2.5)
    step = next(step for step in range(8) if 6 in plan.rows(step))
    with pytest.raises(InputError) as caught:
        spoilt.stage(name, "out", **({"parent": bench.parent()} if name == "tune" else {}))
    message = str(caught.value)
    assert f"not finite at step {step + 1}:" in message and "clip06" in message and "\n" not in message
    assert ("last.ckpt" in message) == (step > 0)


def test_scratch_is_what_pretraining_starts_from(bench):
    untrained = bench.pretrain("untrained", optimiser=PRETRAIN.optimiser.model_copy(update={"epochs": 0.0}))
    assert (untrained / "encoder.safetensors").read_bytes() == bench.parent().read_bytes()
    assert (bench.parent().parent / "curve.csv").read_text() == "step,epoch,loss,lr\n"


def test_a_rehearsal_takes_the_first_steps_of_the_training_and_its_record_says_so(bench, capsys):
    whole = bench.pretrain("whole")
    cut = bench.pretrain("cut", optimiser=PRETRAIN.optimiser.model_copy(update={"max_steps": 3}))
    assert "pretrain: cut off after 3 steps" in capsys.readouterr().err
    loss_and_rate = [[(row["step"], row["loss"], row["lr"]) for row in curve(folder)] for folder in (cut, whole)]
    assert loss_and_rate[0] == loss_and_rate[1][: len(loss_and_rate[0])] and loss_and_rate[0][-1][0] == "3"
    notes = [json.loads((folder / "record.json").read_text())["notes"] for folder in (cut, whole)]
    assert (notes[0]["steps"], notes[0]["cut_off_after_epochs"]) == (3, round(3 / notes[0]["steps_per_epoch"], 4))
    assert "cut_off_after_epochs" not in notes[1]


def test_pretraining_lowers_its_loss(bench):
    losses = [
        float(row["loss"])
        for row in curve(bench.pretrain("long", optimiser=PRETRAIN.optimiser.model_copy(update={"epochs": 40.0})))
    ]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


def test_present_bodies_are_all_bodies_less_the_empty_rows(data):
    store = ClipStore.open(data / "clips")
    clips = Clips.of(store, np.arange(CLIPS))
    rows, shapes = torch.tensor([0, 1, 2, 3]), {}
    for bodies in ("all", "present"):
        settings = PretrainStage(seed=0, model=MODEL, pretrain=PRETRAIN.model_copy(update={"bodies": bodies}))
        view = pretrain_module.step_settings(settings).views(clips, rows, torch.Generator().manual_seed(0))["only"]
        shapes[bodies] = bodies_of(view, bodies)
    assert len(shapes["all"]) == 8
    assert torch.equal(shapes["present"], shapes["all"][[0, 1, 2, 4, 5, 6]])


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_bf16_is_near_fp32_but_not_it(bench, name):
    exact, rough = (curve(bench.stage(name, precision, precision=precision)) for precision in ("fp32", "bf16"))
    assert float(rough[0]["loss"]) == pytest.approx(float(exact[0]["loss"]), rel=0.05)
    assert rough != exact


def test_tuning_trains_the_upper_half_and_leaves_the_rest_bit_equal(bench):
    before, after = load_file(bench.parent()), load_file(bench.tune("tuned") / "encoder.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith(("blocks.2.", "blocks.3.", "norm."))}
    assert list(curve(bench.folder / "tuned")[0]) == ["step", "epoch", "loss", "lr", *run.FACTS, *nnclr.Loss.columns]


@pytest.mark.parametrize("decayed", ["all", "matrices"])
def test_optimiser_groups_hold_equation_7_and_decay_what_they_are_told(bench, decayed):
    model = tuning(load_encoder(bench.parent()), TuneStage(seed=0, tune=TUNE))
    optimiser = TUNE.optimiser.model_copy(update={"decayed": decayed})
    groups = {id(p): group for group in optimiser_of(model.parts(), optimiser).param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        exponent = (
            2
            if name.startswith("networks.encoder.blocks.2.")
            else 1
            if name.startswith("networks.encoder.blocks.3.")
            else 0
        )
        frozen = name.startswith(
            tuple(f"networks.encoder.{part}" for part in ("embed", "positions", "blocks.0.", "blocks.1."))
        )
        assert (id(parameter) in groups) == parameter.requires_grad == (not frozen), name
        if not frozen:
            assert groups[id(parameter)]["scale"] == pytest.approx(TUNE.layer_decay**exponent)
            assert (groups[id(parameter)]["weight_decay"] > 0) == (decayed == "all" or parameter.ndim > 1), name


def as_algorithm_1(model: Trained, x_views: list, exclude_self: bool, clips: torch.Tensor) -> torch.Tensor:
    """Lines 7–12 of Algorithm 1 for each view, every body encoded; returns the mean loss."""
    loss, z_views, p_views = model.objective, [], []
    for x_bmtvc in x_views:
        y = torch.stack([model.networks.encoder.tokens(x_bmtvc[:, body]).mean(1) for body in range(2)]).mean(0)
        z = (y - y.mean(0)) / (y.var(0, correction=0) + 1e-5).sqrt() * loss.projector.weight + loss.projector.bias
        p_views.append(normalize(loss.predictor(z), dim=1))
        z_views.append(normalize(z, dim=1))
    losses = []
    for z, p in zip(z_views, p_views[::-1], strict=True):
        similarities = z @ loss.queue.entries.T
        if exclude_self:
            similarities[clips[:, None] == loss.queue.owners] = -9
        nn = loss.queue.entries[similarities.max(dim=1).indices]
        losses.append(cross_entropy(nn @ p.T / NNCLR.temperature, torch.arange(len(p))))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("views", "shared"), [(1, True), (2, True), (2, False)])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_a_tuning_step_equals_algorithm_1(bench, data, views, shared, exclude_self):
    options = NNCLR.model_copy(update={"views": views, "exclude_self": exclude_self})
    stage = TuneStage(seed=0, tune=TUNE.model_copy(update={"nnclr": options, "shared_crop": shared}))
    model = tuning(load_encoder(bench.parent()), stage).train()
    clips, rows = Clips.of(ClipStore.open(data / "clips"), np.arange(CLIPS)), torch.tensor([3, 8, 1, 6])
    step = run.Step(model, clips, tune_module.step_settings(model, stage))
    step(rows, torch.Generator().manual_seed(8))  # fills the queue with the same clips
    generator = torch.Generator().manual_seed(9)
    if shared:  # one crop, which each view turns by itself
        plain = random_crop(clips, rows, MODEL.frames, SAMPLING.model_copy(update={"rotation": 0.0}), generator)
        turns = [(2 * torch.rand(len(rows), 3, generator=generator) - 1) * SAMPLING.rotation for _ in range(views)]
        x_views = [rotate(plain, turn) for turn in turns]
    else:
        x_views = [random_crop(clips, rows, MODEL.frames, SAMPLING, generator) for _ in range(views)]
    expected = as_algorithm_1(model, x_views, exclude_self, rows)
    loss = step(rows, torch.Generator().manual_seed(9))
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ours, theirs = (
        torch.cat([grad.flatten() for grad in torch.autograd.grad(total, trained)]) for total in (loss, expected)
    )
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()
    assert (step.facts()["self_matches"] == 0) if exclude_self else (step.facts()["self_matches"] > 0)


def test_rows_that_are_not_in_the_store_are_refused(bench, tmp_path):
    np.save(tmp_path / "bad.npy", np.array([0, CLIPS]))
    bench.train = tmp_path / "bad.npy"
    with pytest.raises(InputError, match=r"bad\.npy does not list rows of the 14 clips"):
        bench.pretrain("out")


def test_missing_files_are_named(bench, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.safetensors is missing"):
        bench.tune("out", parent=tmp_path / "nothing.safetensors")
    bench.clips = tmp_path / "none"
    for name in ("pretrain", "parent"):
        with pytest.raises(InputError, match=r"none/\S+ is missing"):
            getattr(bench, name)(*(["out"] if name == "pretrain" else []))
    assert not (bench.folder / "out").exists()


def test_an_encoder_for_other_joints_is_refused(bench, tmp_path):
    save_encoder(tmp_path / "other.safetensors", Network(MODEL, 7))
    with pytest.raises(InputError, match=r"other\.safetensors has 7 joints, but the clips in \S+ have 5"):
        bench.tune("out", parent=tmp_path / "other.safetensors")
