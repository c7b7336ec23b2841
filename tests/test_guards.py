"""What watches a training: signs of collapse, neighbours of training clips, memory that would not do, and how often
progress is saved.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_training import CLIPS, PRETRAIN, TUNE, Bench, curve, result, write_clips
from torch import nn

from stars.errors import InputError
from stars.objectives.base import Batch
from stars.training import memory, online_knn
from stars.training.checkpoint import Work
from stars.training.plan import Plan


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bench(tmp_path, data):
    return Bench(tmp_path, data)


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_every_row_says_how_spread_the_features_are(bench, name):
    for row in curve(bench.stage(name, "out")):
        assert 0 < float(row["feature_std"]) < 1 and 1 <= float(row["effective_rank"]) <= 8


def test_agreement_is_counted_over_neighbours_from_other_clips(bench):
    labels, clips, owners = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 1, 2, 3]), torch.tensor([4, 1, 3, -1])
    batch = Batch({}, clips, labels, torch.Generator())
    assert batch.agreement(owners).item() == 1 / 2  # 0 and 4 agree, 2 and 3 do not; 1 is its own neighbour, 3 has none
    assert batch.agreement(torch.full((4,), -2)).item() == 0


def test_the_nearest_other_clip_is_found_as_by_hand():
    features, labels = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
    right = 0
    for i, row in enumerate(features):
        cosines = [float(row @ other / row.norm() / other.norm()) if j != i else -2 for j, other in enumerate(features)]
        right += int(labels[int(np.argmax(cosines))] == labels[i])
    assert online_knn.same_action(features, labels).item() == pytest.approx(right / 40)


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_a_look_at_neighbours_changes_no_weight_and_stands_in_the_rows_it_was_taken(bench, name):
    plain, watched = (bench.stage(name, f"every{epochs}", knn_epochs=epochs) for epochs in (0, 2))
    assert (plain / "encoder.safetensors").read_bytes() == (watched / "encoder.safetensors").read_bytes()
    assert "knn_top1" not in curve(plain)[0]
    assert [row["epoch"] for row in curve(watched) if row["knn_top1"]] == ["2"]
    # all clips of this store show one action
    assert [float(row["knn_top1"]) for row in curve(watched) if row["knn_top1"]] == [100.0]


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_a_step_that_does_not_fit_is_refused_with_the_figure(bench, monkeypatch, name):
    monkeypatch.setattr(memory, "available", lambda device: 0.3e6 if name == "pretrain" else 0.2e6)
    monkeypatch.setattr(memory, "check_clips", lambda *arguments: None)
    bench.parent()
    with pytest.raises(
        InputError,
        match=rf"^{name}: a step over \d+ bodies needs at least 0\.\d GB, and 0\.0 GB are free on cpu: lower",
    ):
        bench.stage(name, "out", optimiser=TUNE.optimiser.model_copy(update={"batch": 14}))
    assert not (bench.folder / "out/encoder.safetensors").exists()


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_looking_at_memory_leaves_no_trace(bench, monkeypatch, name):
    optimiser = (PRETRAIN if name == "pretrain" else TUNE).optimiser.model_copy(update={"batch": 14})
    looked = result(bench.stage(name, "looked", optimiser=optimiser))
    monkeypatch.setattr(memory, "check_step", lambda *arguments, **options: None)
    assert result(bench.stage(name, "not", optimiser=optimiser)) == looked


def test_an_error_while_looking_at_memory_leaves_the_model_as_it_was():
    model, x = nn.BatchNorm1d(3), torch.randn(8, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def forward(count: int) -> None:
        model(x[:count])
        raise KeyError

    with pytest.raises(KeyError):
        memory.check_step("tune", model, forward, (2, 4, 8), torch.device("cpu"))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_clips_that_do_not_fit_are_refused(bench, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 1e3)
    with pytest.raises(InputError, match=r"pretrain: its training clips take 0\.0 GB of memory, and 0\.0 GB are free"):
        bench.pretrain("out")


def test_what_is_kept_is_counted_once_and_without_the_model():
    model, x = nn.Linear(8, 4, bias=False), torch.randn(10, 8, requires_grad=True)
    assert memory.kept_bytes(model, lambda: model(x).square().sum()) == 4 * (
        10 * 8 + 10 * 4
    )  # x for the weight, the product for the square


def test_control_groups_bound_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    files = {
        "proc/meminfo": "MemTotal: 100 kB\nMemAvailable: 50 kB\n",
        "proc/self/cgroup": "4:memory:/job\n0::/slurm/job/step\n",
        "groups/slurm/job/memory.max": "30000",
        "groups/slurm/job/memory.current": "12000",
        "groups/slurm/job/memory.stat": "anon 1\ninactive_file 2000\n",
        "groups/slurm/job/step/memory.max": "max",
        "groups/slurm/job/step/memory.current": "12000",
        "groups/slurm/job/step/memory.stat": "inactive_file 0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.available(torch.device("cpu")) == 20000
    (tmp_path / "groups/slurm/job/memory.max").write_text("max")
    assert memory.available(torch.device("cpu")) == 51200
    old = tmp_path / "groups/memory/job"
    old.mkdir(parents=True)
    for name, text in (
        ("memory.limit_in_bytes", "9000"),
        ("memory.usage_in_bytes", "2000"),
        ("memory.stat", "inactive_file 0"),
    ):
        (old / name).write_text(text)
    assert memory.available(torch.device("cpu")) == 7000


def test_a_gpu_without_memory_is_bad_input_with_torch_s_figure():
    figure = "CUDA out of memory. Tried to allocate 3 GiB. GPU 0 has a total capacity of 2 GiB of which 1 GiB is free"
    with pytest.raises(InputError) as caught, memory.exhaustion_named("tune"):
        raise torch.OutOfMemoryError(f"{figure}. Process 1 has 1 GiB in use.")
    assert str(caught.value).startswith(f"tune: out of GPU memory ({figure}): lower tune.optimiser.batch")


def test_progress_is_saved_by_epoch_too(bench, monkeypatch):
    saved, save = [], Work.save
    monkeypatch.setattr(Work, "save", lambda work, state: (saved.append(state["step"]), save(work, state)))
    bench.checkpoint = bench.checkpoint.model_copy(update={"epochs": 1})
    bench.pretrain("out")
    assert saved == [3, 6] == [done for done in range(1, 9) if Plan(0, "pretrain", CLIPS, 4, 2.5).epochs_ended(done)]
