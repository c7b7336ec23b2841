"""DINO and MoCo against slow versions written from their papers, teachers that survive a restart, STARS-3stage, a
loss of one's own.
"""

from __future__ import annotations

import copy
import math
import os
import signal
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import CLIPS, MIRROR, MODEL, TUNE, Bench, at_call, curve, result, write_clips
from torch.nn.functional import normalize

from stars import objectives
from stars.config import Augment, Dino, Moco, Sampling
from stars.data.store import ClipStore
from stars.errors import InputError, Interrupted
from stars.objectives.dino import dino_loss, koleo, koleo_by, sinkhorn_knopp
from stars.objectives.moco import moco_loss
from stars.objectives.teacher import Teacher, momentum_at
from stars.training import run
from stars.training import tune as tune_module
from stars.training.curve import Curve
from stars.training.trained import Trained
from stars.training.tune import TuneStage, tuning
from stars.training.weights import load_encoder
from stars.views.crop import Clips, random_crop

DINO = {"strategy": "dino", "dino": Dino(outputs=24, local_views=1)}
PROTOTYPES = Dino(
    head="prototypes", prototypes=24, hidden=16, bottleneck=8, local_views=1, normalise=False, koleo_on="features"
)
MOCO = {"strategy": "moco", "moco": Moco(queue=10, predictor_hidden=12)}
STRATEGIES = {"dino": DINO, "moco": MOCO}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bench(tmp_path, data):
    return Bench(tmp_path, data)


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same_with_gradients(fast, slow, *inputs: torch.Tensor) -> None:
    a, b = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    one, other = fast(*a), slow(*b)
    torch.testing.assert_close(one, other)
    for ours, theirs in zip(torch.autograd.grad(one, a), torch.autograd.grad(other, b), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_moco_equals_its_equation_term_by_term():
    keys, queue = normalize(doubles(5, 4, seed=1), dim=1), normalize(doubles(7, 4, seed=2), dim=1)

    def slow(queries):
        total = 0
        for query, key in zip(queries, keys, strict=True):
            positive = torch.exp(torch.dot(query, key) / 0.07)
            total = total - torch.log(
                positive / (positive + sum(torch.exp(torch.dot(query, old) / 0.07) for old in queue))
            )
        return total / len(queries)

    assert_same_with_gradients(
        lambda queries: moco_loss(queries, keys, queue, 0.07), slow, normalize(doubles(5, 4), dim=1)
    )


def slow_sinkhorn(outputs: np.ndarray, temperature: float, iterations: int) -> np.ndarray:
    """SwAV's listing on Q, prototypes by samples: rows to 1/K, columns to 1/B, at last columns to 1."""
    q = np.exp(outputs / temperature).T
    prototypes, samples = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        for row in range(prototypes):
            q[row] /= q[row].sum() * prototypes
        for column in range(samples):
            q[:, column] /= q[:, column].sum() * samples
    return (q * samples).T


@pytest.mark.parametrize("iterations", [1, 3])
def test_sinkhorn_knopp_equals_the_slow_version_and_balances(iterations):
    outputs = 0.3 * doubles(6, 9)
    shares = sinkhorn_knopp(outputs, 0.04, iterations)
    np.testing.assert_allclose(shares, slow_sinkhorn(outputs.numpy(), 0.04, iterations))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(6, dtype=torch.float64))
    even = sinkhorn_knopp(outputs, 0.04, 500)
    torch.testing.assert_close(even.sum(dim=0), torch.full((9,), 6 / 9, dtype=torch.float64))
    assert sinkhorn_knopp(outputs.float() / 0.3, 0.02, 3).isfinite().all()


def test_dino_equals_its_equation_term_by_term():
    """Each of two targets with every view but its own; the third view is local."""
    targets = list(doubles(2, 4, 6, seed=1).softmax(-1))

    def slow(*views):
        terms = []
        for t, target in enumerate(targets):
            for v, view in enumerate(views):
                if v != t:
                    for clip in range(4):
                        p = torch.exp(view[clip] / 0.1) / torch.exp(view[clip] / 0.1).sum()
                        terms.append(-sum(target[clip, k] * torch.log(p[k]) for k in range(6)))
        return sum(terms) / len(terms)

    assert_same_with_gradients(
        lambda *views: dino_loss(list(views), targets, 0.1), slow, *(doubles(4, 6, seed=s) for s in (2, 3, 4))
    )


def test_koleo_equals_the_slow_version():
    def slow(features):
        units = [row / row.norm() for row in features]
        logs = []
        for i, row in enumerate(units):
            nearest = min(
                (other for j, other in enumerate(units) if j != i),
                key=lambda other, row=row: (row - other).norm().item(),
            )
            logs.append(torch.log((row - nearest).norm() + 1e-8))
        return -sum(logs) / len(logs)

    assert_same_with_gradients(koleo, slow, doubles(6, 4))
    same = torch.ones(3, 4, requires_grad=True)
    koleo(same).backward()
    assert same.grad.isfinite().all()


def test_a_teacher_starts_as_a_copy_and_becomes_a_running_mean():
    encoder, head = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)
    teacher = Teacher(encoder, head)
    expected = [parameter.detach().clone() for module in (encoder, head) for parameter in module.parameters()]
    for step in range(3):
        with torch.no_grad():
            for parameter in (*encoder.parameters(), *head.parameters()):
                parameter += step + 1
        teacher.ema_update(encoder, head, 0.9)
        expected = [
            0.9 * old + 0.1 * new
            for old, new in zip(expected, (*encoder.parameters(), *head.parameters()), strict=True)
        ]
    for own, wanted in zip(teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(own.data, wanted.data)
        assert not own.requires_grad


def test_momentum_rises_along_half_a_cosine():
    assert momentum_at(1, 100, 0.996, 1.0) == pytest.approx(0.996)
    assert momentum_at(51, 100, 0.996, 1.0) == pytest.approx(0.998)
    assert momentum_at(101, 100, 0.996, 1.0) == pytest.approx(1.0)
    assert {momentum_at(done, 9, 0.9, 0.9) for done in range(1, 10)} == {0.9}


def model_and_step(bench, data, **options) -> tuple[Trained, run.Step, Clips]:
    stage = TuneStage(seed=0, tune=TUNE.model_copy(update=options))
    model = tuning(load_encoder(bench.parent()), stage).train()
    clips = Clips.of(ClipStore.open(data / "clips"), np.arange(CLIPS))
    return model, run.Step(model, clips, tune_module.step_settings(model, stage)), clips


def pooled(encoder, x_bmtvc):
    return torch.stack([encoder.tokens(x_bmtvc[:, body]).mean(1) for body in range(2)]).mean(0)


def assert_same_gradients(model, loss, expected) -> None:
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ours, theirs = (
        torch.cat([grad.flatten() for grad in torch.autograd.grad(total, trained)]) for total in (loss, expected)
    )
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


@pytest.mark.parametrize(
    "moco", [MOCO["moco"], Moco(queue=10, head="projection", width=8)], ids=["predictor", "projection"]
)
def test_two_moco_steps_equal_its_algorithm(bench, data, moco):
    """Queries by the tuned network, keys by the one that follows; the second step has the first one's keys among its
    negatives.
    """
    model, step, clips = model_and_step(bench, data, strategy="moco", moco=moco, shared_crop=False)
    query, key = (torch.nn.ModuleList([model.networks.encoder, model.objective.head]), None)
    key, queue = copy.deepcopy(query), model.objective.queue.entries.clone()
    for number, rows in enumerate(([3, 8, 1, 6], [2, 3, 9, 0])):
        generator = torch.Generator().manual_seed(number)
        views = [random_crop(clips, torch.tensor(rows), MODEL.frames, TUNE.sampling, generator) for _ in range(2)]
        q = normalize(query[1](pooled(query[0], views[0])), dim=1)
        with torch.no_grad():
            k = normalize(key[1](pooled(key[0], views[1])), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.07
        expected = -logits.log_softmax(1)[:, 0].mean()
        assert_same_gradients(model, step(torch.tensor(rows), torch.Generator().manual_seed(number)), expected)
        queue = torch.cat([queue[: 4 * number], k, queue[4 * number + 4 :]])
        torch.testing.assert_close(model.objective.queue.entries, queue)
        with torch.no_grad():
            for parameter in query.parameters():
                parameter += 0.01
            for mine, theirs in zip(key.parameters(), query.parameters(), strict=True):
                mine.copy_(0.999 * mine + 0.001 * theirs)
        model.objective.after(model.by_name, number + 1, 8)


@pytest.mark.parametrize("dino", [DINO["dino"], PROTOTYPES], ids=["released", "prototypes"])
def test_a_dino_step_equals_its_algorithm(bench, data, dino):
    """Two global views for both networks, a local one for the student; KoLeo on the student's outputs or pooled
    features.
    """
    model, step, clips = model_and_step(bench, data, strategy="dino", dino=dino, shared_crop=False)
    with torch.no_grad():
        for parameter in model.objective.teacher.parameters():
            parameter += 0.02
    rows, generator = torch.tensor([3, 8, 1, 6]), torch.Generator().manual_seed(5)
    local = Sampling(crop=(0.4, 0.8), min_frames=1, rotation=TUNE.sampling.rotation)
    views = [random_crop(clips, rows, MODEL.frames, crop, generator) for crop in (TUNE.sampling, TUNE.sampling, local)]
    loss = step(rows, torch.Generator().manual_seed(5))
    head, teacher = model.objective.projector, model.objective.teacher
    unit = partial(normalize, dim=1) if dino.normalise else lambda output: output
    with torch.no_grad():
        taught = torch.cat([unit(teacher.head(pooled(teacher.encoder, view))) for view in views[:2]])
        targets = torch.from_numpy(slow_sinkhorn(taught.double().numpy(), 0.04, 3)).float().chunk(2)
    features = [pooled(model.networks.encoder, view) for view in views]
    outputs = [unit(head(y)) for y in features]
    spread = outputs if dino.koleo_on == "outputs" else features
    logs = [(output / 0.1).log_softmax(1) for output in outputs]
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]
    expected = sum(-(targets[t] * logs[v]).sum(1).mean() for t, v in pairs) / len(pairs) + 0.1 * (
        koleo(spread[0]) + koleo(spread[1])
    )
    assert_same_gradients(model, loss, expected)
    entropy = -(torch.cat(targets) * torch.cat(targets).clamp_min(1e-30).log()).sum(1).mean().item()
    assert step.facts()["teacher_entropy"] == pytest.approx(entropy, rel=1e-4) and 0 < entropy < math.log(24)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_teacher_survives_a_restart_to_the_byte(bench, capsys, name):
    """Once stopped by a signal and gone on with, the result has the undisturbed one's bytes; it is repeatable and
    the seed's own.
    """
    whole, other = (result(bench.tune(f"whole{seed}", seed=seed, **STRATEGIES[name])) for seed in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, "tune", 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="after step 4 of 8"):
            bench.tune("stopped", **STRATEGIES[name])
    assert result(bench.tune("stopped", **STRATEGIES[name])) == whole
    assert "continuing after step 4" in capsys.readouterr().err
    assert whole["encoder.safetensors"] != other["encoder.safetensors"]
    assert list(curve(bench.folder / "stopped")[0]) == [
        "step",
        "epoch",
        "loss",
        "lr",
        *run.FACTS,
        *objectives.find(name).columns,
    ]


def test_dino_hands_on_the_network_it_is_told_to(bench):
    files = {}
    for output in ("teacher", "student"):
        out = bench.tune(output, strategy="dino", dino=DINO["dino"].model_copy(update={"output": output}))
        files[output] = load_file(out / "encoder.safetensors")
    before, upper = load_file(bench.parent()), "blocks.3.attention.qkv.weight"
    moved = {output: (tensors[upper] - before[upper]).norm() for output, tensors in files.items()}
    assert 0 < moved["teacher"] < 0.1 * moved["student"]
    assert torch.equal(files["teacher"]["blocks.0.attention.qkv.weight"], before["blocks.0.attention.qkv.weight"])


def test_augmentations_reach_the_step_and_follow_the_mirror_pairs(bench, data):
    stage = TuneStage(seed=0, tune=TUNE.model_copy(update={"augment": Augment(flip=1.0)}), mirror=MIRROR)
    clips, rows = Clips.of(ClipStore.open(data / "clips"), np.arange(CLIPS)), torch.arange(4)
    model = tuning(load_encoder(bench.parent()), stage)
    flipped, plain = (
        tune_module.step_settings(model, settings).views(clips, rows, torch.Generator().manual_seed(1))["first"]
        for settings in (stage, stage.model_copy(update={"tune": TUNE}))
    )
    torch.testing.assert_close(flipped.x_bmtvc, plain.x_bmtvc[..., [0, 2, 1, 4, 3], :] * torch.tensor([-1.0, 1.0, 1.0]))


def test_a_flip_without_its_pairs_is_refused(bench):
    with pytest.raises(ValueError, match=r"tune\.augment\.flip needs the data set's mirror pairs"):
        TuneStage(seed=0, tune=TUNE.model_copy(update={"augment": Augment(flip=0.5)}))
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(InputError, match=r"mirror contains joints beyond the \d+ \(from 0\) of the clips in"),
    ):
        patch.setattr("test_training.MIRROR", ((1, 5),))
        bench.tune("out")


def test_three_stages_heads_first_then_encoder_and_heads(bench):
    first = bench.tune("heads", tuned_blocks=0)
    assert (first / "encoder.safetensors").read_bytes() == bench.parent().read_bytes()
    trained, fresh = (
        load_file(out / "heads.safetensors") for out in (first, bench.tune("fresh", tuned_blocks=0, optimiser=NO_STEPS))
    )
    assert not torch.equal(trained["predictor.widen.weight"], fresh["predictor.widen.weight"])
    start = bench.tune("start", heads=first / "heads.safetensors", optimiser=NO_STEPS)
    assert (start / "heads.safetensors").read_bytes() == (first / "heads.safetensors").read_bytes()
    last = bench.tune("last", heads=first / "heads.safetensors")
    assert (
        result(last) != result(bench.tune("without"))
        and (last / "encoder.safetensors").read_bytes() != bench.parent().read_bytes()
    )
    with pytest.raises(InputError, match=r"heads\.safetensors: (unexpected )?tensor predictor"):
        bench.tune("other", heads=first / "heads.safetensors", **MOCO)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_teacher_starts_from_the_heads_that_were_trained_first(bench, name):
    first = bench.tune("heads", tuned_blocks=0, **STRATEGIES[name])
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train", lambda job, plan, work: seen.append(copy.deepcopy(job.model.objective)) or Curve())
        bench.tune("last", heads=first / "heads.safetensors", **STRATEGIES[name])
    (strategy,) = seen
    trained = load_file(first / "heads.safetensors")
    student = {
        f"{head}.{name}": tensor
        for head, module in strategy.heads().items()
        for name, tensor in module.state_dict().items()
    }
    assert student.keys() == trained.keys() and all(torch.equal(student[name], trained[name]) for name in trained)
    head = strategy.head if hasattr(strategy, "head") else strategy.projector
    ours, theirs = head.state_dict(), strategy.teacher.head.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_koleo_in_groups_is_the_mean_over_them():
    features = doubles(10, 4)
    expected = (koleo(features[:4]) + koleo(features[4:7]) + koleo(features[7:])) / 3
    torch.testing.assert_close(koleo_by(features, 3), expected)
    torch.testing.assert_close(koleo_by(features, None), koleo(features))


NO_STEPS = TUNE.optimiser.model_copy(update={"epochs": 0.0})
