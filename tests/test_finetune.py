"""Fine-tuning, transfer and the semi-supervised protocol: against obvious versions, stopped and run again, end to
end on the toy store.
"""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy import CLASSES, JOINTS, SHAPE

from stars.backbones.attention import Block
from stars.backbones.transformer import Network
from stars.config import Checkpoint, Finetune, Optimiser
from stars.data.store import ClipStore
from stars.data.subsets import SubsetStage, subsets
from stars.errors import InputError, Interrupted
from stars.evaluation import finetune as finetune_module
from stars.evaluation.finetune import Classifier, FinetuneStage, finetune
from stars.evaluation.metrics import RESULT_FILES
from stars.evaluation.semi import SemiStage, semi
from stars.training.optimiser import optimiser_of
from stars.training.plan import generator, seeded
from stars.training.schedule import finetune_rates, learning_rate
from stars.training.weights import load_encoder, save_encoder
from stars.views.crop import Clips, random_crop, random_view

SCHEDULE = Optimiser(epochs=3, warmup_epochs=1, batch=12, lr=3e-3, min_lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05)
OPTIONS = Finetune(hidden=24, layer_decay=0.8, optimiser=SCHEDULE)
READ = {"test_crop": 0.9, "bodies": "all"}


def run(made: Path, out: Path, seed: int = 1, encoder: Path | None = None, **changes) -> dict:
    settings = FinetuneStage(seed=seed, finetune=OPTIONS.model_copy(update=changes), **READ)
    start = encoder or made / "method/encoder.safetensors"
    paths = (start, made / "clips", made / "train.npy", made / "test.npy")
    finetune(*paths, "toy", out, settings, Checkpoint(folder=str(out / ".work")))
    return json.loads((out / "metrics.json").read_text())


def curve(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_layer_rates_are_equation_7_over_all_layers():
    base, decay, depth = 1.0, 0.8, 8
    layers = depth + 1  # N of Eq. 7: the last id, the head's
    assert finetune_rates(depth, decay) == pytest.approx([base * decay ** (layers - i) for i in range(layers + 1)])
    assert finetune_rates(depth, decay)[0] == pytest.approx(0.8**9) and finetune_rates(depth, 1.0) == [1.0] * 10


def classifier(made: Path, **changes) -> Classifier:
    return Classifier(
        load_encoder(made / "method/encoder.safetensors"), CLASSES, OPTIONS.model_copy(update=changes), "all"
    )


def layer_of(name: str) -> int:
    """Id of a parameter as the released code numbers them."""
    parts = name.split(".")
    return {"embed": 0, "positions": 0, "blocks": int(parts[2]) + 1 if parts[1] == "blocks" else 0}.get(
        parts[1], SHAPE.depth + 1
    )


def test_every_parameter_has_its_layer_s_rate_and_matrices_alone_decay(made):
    model = classifier(made)
    groups = {id(p): group for group in optimiser_of(model.parts(0.8), SCHEDULE).param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        group = groups.pop(id(parameter))
        assert group["scale"] == pytest.approx(0.8 ** (SHAPE.depth + 1 - layer_of(name))), name
        assert group["weight_decay"] == (0.05 if parameter.ndim > 1 else 0), name
    assert not groups


def test_scores_are_those_of_every_body_by_itself(made):
    model = classifier(made).eval()
    x_bmtvc = torch.randn(5, 2, SHAPE.frames, JOINTS, 3)
    x_bmtvc[1:3, 1] = 0
    x_bmtvc[3, 1] = x_bmtvc[3, 0]
    tokens = torch.stack([model.encoder.tokens(x_bmtvc[:, body]) for body in range(2)], dim=1)
    pooled = tokens.view(5, 2, SHAPE.frames // SHAPE.segment, JOINTS, SHAPE.width).mean(dim=2).flatten(2).mean(dim=1)
    widen, norm, _, narrow = model.head
    expected = narrow(torch.relu(norm(widen(pooled))))
    torch.testing.assert_close(model(x_bmtvc), expected)


def test_drop_path_lets_rows_past_a_branch_and_keeps_the_mean():
    block = Block(8, 2, 16)
    block.drop_path = 0.3
    torch.manual_seed(0)
    x_rlc = torch.randn(1, 3, 8).expand(4000, 3, 8)
    grown = (block(x_rlc) - x_rlc).detach()
    ways = grown.round(decimals=4).flatten(1).unique(dim=0)
    assert len(ways) == 4  # neither branch, one of them, both
    assert (grown.flatten(1) == 0).all(dim=1).double().mean().item() == pytest.approx(0.3**2, abs=0.02)
    whole = block.eval()(x_rlc) - x_rlc
    attended = block.attention(block.attention_norm(x_rlc[:1]))
    block.train()
    first = torch.stack([block._kept(attended.expand(4000, 3, 8))])
    torch.testing.assert_close(first.mean(dim=1), attended, atol=0.02, rtol=0.05)
    assert torch.equal(block.eval()(x_rlc) - x_rlc, whole)
    assert [b.drop_path for b in Classifier(Network(SHAPE, JOINTS), 3, OPTIONS, "all").encoder.blocks] == pytest.approx(
        [0, 0.3]
    )


def test_training_equals_an_obvious_loop(made, tmp_path):
    """Crops, forward pass, smoothed cross-entropy, AdamW with its groups and the schedule, written out; without what
    is dropped.
    """
    run(made, tmp_path, token_dropout=0.0, drop_path=0.0)
    clips = Clips.of(ClipStore.open(made / "clips"), np.load(made / "train.npy"))
    encoder = load_encoder(made / "method/encoder.safetensors")
    with seeded(1, "finetune", "head"):
        model = Classifier(
            encoder, CLASSES, OPTIONS.model_copy(update={"token_dropout": 0.0, "drop_path": 0.0}), "all"
        ).train()
    moments = {name: [torch.zeros_like(p), torch.zeros_like(p)] for name, p in model.named_parameters()}
    losses = []
    for step in range(9):
        order = torch.randperm(36, generator=generator(1, "finetune", "epoch", step // 3))
        rows = order[12 * (step % 3) : 12 * (step % 3) + 12]
        x_bmtvc = random_crop(clips, rows, SHAPE.frames, OPTIONS.sampling, generator(1, "finetune", "step", step))
        chances = torch.log_softmax(model(x_bmtvc), dim=1)
        target = 0.9 * F.one_hot(clips.labels[rows], CLASSES) + 0.1 / CLASSES
        loss = -(target * chances).sum(dim=1).mean()
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        rate = learning_rate(step, 3, SCHEDULE)
        for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
            own = rate * 0.8 ** (SHAPE.depth + 1 - layer_of(name))
            first, second = moments[name]
            first.mul_(0.9).add_(0.1 * gradient)
            second.mul_(0.999).add_(0.001 * gradient**2)
            parameter.data *= 1 - own * (0.05 if parameter.ndim > 1 else 0)
            corrected = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            parameter.data -= own * first / (1 - 0.9 ** (step + 1)) / corrected
    np.testing.assert_allclose([float(row["loss"]) for row in curve(tmp_path / "curve.csv")], losses, rtol=1e-4)
    assert losses[-1] < losses[0]


def result(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.name != "record.json"}


def test_fine_tuning_learns_and_the_last_epoch_is_the_headline(made, tmp_path):
    metrics = run(made, tmp_path, optimiser=SCHEDULE.model_copy(update={"epochs": 12.0}), score_epochs=5)
    last, best = metrics["results"]
    assert (metrics["protocol"], metrics["runs"], metrics["std"]) == ("finetune", 1, None)
    assert metrics["top1"] == last["top1"] > 40 and last["number"] == 12 and best["number"] in (5, 10, 12)
    assert [float(row["epoch"]) for row in curve(tmp_path / "curve.csv") if row["test_top1"]] == [5, 10, 12]
    with np.load(tmp_path / "predictions.npz") as saved:
        assert saved["name"].tolist() == [f"clip{row:03}" for row in np.load(made / "test.npy")]
        assert 100 * (saved["predicted"] == saved["label"]).mean() == pytest.approx(metrics["top1"], abs=1e-3)


def test_the_same_seed_gives_the_same_bytes_whatever_came_before(made, tmp_path):
    run(made, tmp_path / "a")
    torch.rand(7)
    run(made, tmp_path / "b")
    run(made, tmp_path / "c", seed=2)
    assert result(tmp_path / "a") == result(tmp_path / "b") != result(tmp_path / "c")


def stop_at(monkeypatch, number: int) -> list[int]:
    """Ask to stop in the step of that number; the steps taken are counted."""
    taken: list[int] = []

    def counted(*arguments):
        taken.append(len(taken) + 1)
        if taken[-1] == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return random_view(*arguments)

    monkeypatch.setattr(finetune_module, "random_view", counted)
    return taken


def test_stopped_and_run_again_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    run(made, tmp_path / "whole")
    stop_at(monkeypatch, 5)
    with pytest.raises(Interrupted, match="finetune: stopped after step 5 of 9"):
        run(made, tmp_path / "stopped")
    run(made, tmp_path / "stopped")
    assert result(tmp_path / "stopped") == result(tmp_path / "whole")
    assert not (tmp_path / "stopped/.work").exists()


def run_semi(made: Path, out: Path, folder: Path) -> dict:
    settings = SemiStage(seed=1, finetune=OPTIONS, fraction=0.34, subsets=2, **READ)
    paths = (made / "method/encoder.safetensors", made / "clips", folder, made / "test.npy")
    semi(*paths, "toy", out, settings, Checkpoint(folder=str(out / ".work"), seconds=1e6))
    return json.loads((out / "metrics.json").read_text())


def test_semi_supervised_is_fine_tuning_on_each_subset_and_its_mean(made, tmp_path):
    subsets(made / "train.npy", tmp_path / "subsets", SubsetStage(fraction=0.34, subsets=2))
    metrics = run_semi(made, tmp_path / "semi", tmp_path / "subsets")
    assert (metrics["train_clips"], metrics["test_clips"], metrics["runs"]) == (12, 24, 2)
    last, best = metrics["results"]
    assert last["numbers"] == [3, 3] and last["top1"] == metrics["top1"] == pytest.approx(
        np.mean(last["values"]), abs=1e-3
    )
    assert metrics["std"] == pytest.approx(np.std(last["values"], ddof=1), abs=1e-3)
    assert all(b >= a for a, b in zip(last["values"], best["values"], strict=True))
    with np.load(tmp_path / "semi/predictions.npz") as saved:
        accuracies = [100 * (saved[f"predicted_subset{n}"] == saved["label"]).mean() for n in range(2)]
    assert accuracies == pytest.approx(last["values"], abs=1e-3)
    losses = {
        number: [row["loss"] for row in curve(tmp_path / "semi/curve.csv") if row["subset"] == number]
        for number in "01"
    }
    assert [len(found) for found in losses.values()] == [3, 3] and losses["0"] != losses["1"]


def test_a_semi_supervised_job_that_was_stopped_repeats_no_subset(made, tmp_path, monkeypatch):
    subsets(made / "train.npy", tmp_path / "subsets", SubsetStage(fraction=0.34, subsets=2))
    run_semi(made, tmp_path / "whole", tmp_path / "subsets")
    taken = stop_at(monkeypatch, 5)  # three steps a subset
    with pytest.raises(Interrupted, match=r"semi 0\.34, subset 1: stopped after step 2 of 3"):
        run_semi(made, tmp_path / "stopped", tmp_path / "subsets")
    run_semi(made, tmp_path / "stopped", tmp_path / "subsets")
    assert len(taken) == 6
    assert result(tmp_path / "stopped") == result(tmp_path / "whole")
    assert {file.name for file in (tmp_path / "stopped").iterdir()} == {*RESULT_FILES, "record.json", "curve.csv"}


def test_bad_input_is_named(made, tmp_path):
    save_encoder(tmp_path / "other.safetensors", Network(SHAPE, 7))
    with pytest.raises(InputError, match=r"other\.safetensors was trained on 7 joints, but the clips have 5"):
        run(made, tmp_path / "out", encoder=tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"none\.safetensors is missing"):
        run(made, tmp_path / "out", encoder=tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"0\.34_0\.npy is missing"):
        run_semi(made, tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out/metrics.json").exists()
