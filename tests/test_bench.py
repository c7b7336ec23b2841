"""`stars bench`: what it compares computes the same, memory and medians are what they say, and every kind prints its
table.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from stars import cli
from stars.backbones.attention import attend
from stars.backbones.bi_gru import BiGruOptions
from stars.backbones.bi_gru import Network as BiGru
from stars.backbones.clips import clip_features
from stars.backbones.transformer import Network
from stars.bench import cases, measure, table
from stars.bench.measure import Case, Measured
from stars.bench.steps import plain, plain_attention, random_clips
from stars.cli import bench as bench_command
from stars.objectives import base
from stars.pipeline import configuration
from stars.views.crop import Sampling, resized_view, rotate

ROOT = Path(__file__).parents[1]
TINY = "tests/config/tiny.yaml"


@pytest.fixture(autouse=True)
def there(monkeypatch):
    monkeypatch.chdir(ROOT)


def bench(batch: int = 6) -> cases.Bench:
    return cases.Bench(configuration.load_file(TINY), batch, single=0.5, device="cpu")


def test_random_clips_have_the_share_of_second_bodies_asked_for():
    clips = random_clips(40, 5, 0.8, "cpu")
    second = [
        clips.frames[start : start + length, 1].any().item()
        for start, length in zip(clips.starts, clips.lengths, strict=True)
    ]
    assert sum(second) == 8 and clips.lengths.min() >= 64


@torch.no_grad()
def test_the_plain_baseline_gives_what_it_is_compared_with():
    torch.manual_seed(0)
    encoder, x = Network(bench().config.model, 25), torch.randn(3, 2, 16, 25, 3)
    x[1, 1] = 0
    ours = clip_features(encoder, x)
    with plain():
        theirs = base.clip_features(encoder, x, "all")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_crops_one_by_one_are_crops():
    """At full length and without rotation both ways of cutting give the same clips."""
    clips, rows, whole = (
        random_clips(5, 5, 0.5, "cpu"),
        torch.tensor([3, 0, 4]),
        Sampling(crop=(1.0, 1.0), rotation=0.0),
    )
    expected = resized_view(clips, rows, torch.zeros(3, dtype=torch.long), clips.lengths[rows], 20).x_bmtvc
    torch.testing.assert_close(cases.crop_one_by_one(clips, rows, 20, whole), rotate(expected, torch.zeros(3, 3)))


def test_medians_ratios_and_memory():
    def hold(number: int) -> None:
        kept = np.ones(12_000_000)
        time.sleep(0.03)
        del kept

    slow, fast = Case("a", "slow", hold, 6), Case("a", "fast", lambda number: time.sleep(0.01), 6, operations=1e6)
    first, second = measure.measure([slow, fast], 3, "cpu")
    assert first.seconds > 0.03 and second.seconds > 0.01 and first.baseline == second.baseline == first.seconds
    if first.memory is not None:
        assert 80e6 < first.memory < 130e6 and second.memory < 20e6


def test_a_table_says_rates_and_shares():
    case = Case("stage 1", "bf16", lambda number: None, 10, operations=4e9, precision="bf16")
    text = list(table.lines([Measured(case, 0.5, 1.0, 3e6)], {"bf16": 16e9}))[1]
    assert text.split() == ["stage", "1", "bf16", "500.0", "20.0", "2.00x", "8.0", "50", "%", "3"]


@pytest.mark.parametrize(
    ("what", "groups"),
    [
        (
            ("train", "--config", TINY, "--batch", "6", "--set", "tune.dino.outputs=32", "--set", "tune.moco.queue=32"),
            10,
        ),
        (("train", "--config", TINY, "--batch", "6", "--stage", "1"), 5),
        (("train", "--config", f"{TINY}+tests/config/methods.yaml", "--batch", "6", "--method", "gru", "gcn"), 6),
        (("encode", "--config", TINY, "--batch", "6"), 3),
        (("attention", "--config", TINY, "--batch", "6"), 8),
        (("sample", "--config", TINY, "--batch", "6"), 4),
        (("knn", "--queries", "30", "--references", "40", "--width", "8"), 2),
    ],
)
def test_every_kind_prints_its_table(monkeypatch, capsys, what, groups):
    monkeypatch.setattr(measure, "GAUGING", 0.0)
    monkeypatch.setitem(measure.SIZES, "cpu", 64)
    monkeypatch.setattr(bench_command, "SLOW", float("inf"))  # also what this processor emulates
    assert cli.main(["bench", *what, "--rounds", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert sum("x  " in row and float(row.split()[-1].rstrip("x")) >= 0 for row in rows) == groups
    assert any("matmul fp32" in row for row in rows)


def test_a_precision_that_is_emulated_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(measure, "product_rate", lambda device, precision: {"fp32": 1e9, "bf16": 2e7}[precision])
    assert cli.main(["bench", "train", "--config", TINY, "--batch", "6", "--stage", "1", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    assert "bf16 is not measured: its matmul is 50 times slower than that of fp32 here" in said
    assert [row.split("  ")[0] for row in said.splitlines() if "x  " in row] == 3 * ["stage 1"]


@torch.no_grad()
@pytest.mark.parametrize("backward", [True, False])
def test_a_recurrent_network_is_the_same_frame_by_frame(backward):
    torch.manual_seed(0)
    network, x_bmtvc = (
        BiGru(BiGruOptions(frames=5, hidden=3, depth=2, backward=backward), 4, (), 2).eval(),
        torch.randn(3, 2, 5, 4, 3),
    )
    ours = network(x_bmtvc)
    with plain():
        torch.testing.assert_close(network(x_bmtvc), ours, atol=1e-6, rtol=1e-5)


def test_methods_that_are_not_trained_so_are_refused(capsys):
    for wrong, words in (
        (("stars",), "stars is not trained by `train`"),
        (("starz",), "no method starz: did you mean stars"),
        (("stars", "--stage", "1"), "leave out --stage and --compile"),
    ):
        assert cli.main(["bench", "train", "--config", TINY, "--method", *wrong]) == 2
        assert words in capsys.readouterr().err


def test_rounds_and_shares_that_cannot_be_are_refused(capsys):
    refused = [("--rounds", "0"), ("--threads", "0"), ("--batch", "1"), ("--batch", "0"), ("--single", "2")]
    for wrong in (
        *(("encode", "--config", TINY, *one) for one in refused),
        ("knn", "--queries", "0"),
        ("knn", "--k", "0"),
    ):
        assert cli.main(["bench", *wrong]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith(f"stars: {wrong[-2]}: give ") and shown.count("\n") == 1


def test_the_plain_baseline_s_attention_is_the_fused_one():
    parts = torch.randn(3, 2, 4, 7, 8, generator=torch.Generator().manual_seed(0))
    for mask in (None, torch.eye(7, dtype=torch.bool) | (torch.arange(7) > 3)):
        torch.testing.assert_close(plain_attention(*parts, mask), attend(*parts, mask))
