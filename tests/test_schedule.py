"""Learning rates against their formulas written out, and the plan of steps."""

from __future__ import annotations

import math

import pytest
import torch

from stars.config import Optimiser, TuneOptimiser
from stars.errors import InputError
from stars.training.optimiser import clip_gradients
from stars.training.plan import Plan, generator, seeded
from stars.training.schedule import layer_rates, learning_rate


def test_rate_at_the_corners():
    optimiser = Optimiser(epochs=400, warmup_epochs=20, lr=1e-3, min_lr=5e-4)
    at = [learning_rate(round(epoch * 313), 313, optimiser) for epoch in (0, 10, 20, 210, 400, 500)]
    assert at == pytest.approx([0, 5e-4, 1e-3, 7.5e-4, 5e-4, 5e-4])


def test_rate_is_the_half_cosine_of_the_fractional_epoch():
    optimiser = Optimiser(epochs=2.5, warmup_epochs=0.5, lr=0.3, min_lr=0.1)
    for step in range(10, 50):
        angle = math.pi * (step / 20 - 0.5) / 2
        assert learning_rate(step, 20, optimiser) == pytest.approx(0.1 + 0.2 * math.cos(angle / 2) ** 2)


def test_no_warm_up_starts_at_the_peak_and_a_short_run_may_end_warming_up():
    assert learning_rate(0, 7, Optimiser(epochs=20, warmup_epochs=0, lr=1e-3, min_lr=0)) == 1e-3
    assert learning_rate(3, 7, Optimiser(epochs=1, warmup_epochs=1, lr=0.7)) == pytest.approx(0.3)


def test_layer_rates_follow_equation_7():
    assert layer_rates(8, 0.2, None, 1) == pytest.approx([0, 0, 0, 0, 0.0016, 0.008, 0.04, 0.2])
    assert layer_rates(8, 0.2, None, 0) == pytest.approx([0, 0, 0, 0, 0.008, 0.04, 0.2, 1])
    assert layer_rates(5, 0.5, None, 0) == pytest.approx([0, 0, 0.25, 0.5, 1])
    assert layer_rates(3, 0.7, 3, 1) == pytest.approx([0.343, 0.49, 0.7])
    assert layer_rates(3, 0.0, 2, 0) == [0, 0, 1]
    with pytest.raises(InputError, match="tuned_blocks is 4, but the encoder has 3"):
        layer_rates(3, 0.5, 4, 0)


def test_stage_2_holds_its_rate_lowers_it_by_steps_or_follows_a_cosine_or_a_line():
    told = {"epochs": 10, "warmup_epochs": 0, "lr": 1e-3, "min_lr": 0}
    rates = {
        schedule: [
            learning_rate(7 * epoch, 7, TuneOptimiser(**told, schedule=schedule, steps=steps)) for epoch in (0, 3, 5, 9)
        ]
        for schedule, steps in (("constant", ()), ("steps", (3, 5)), ("cosine", ()), ("linear", ()))
    }
    assert rates["constant"] == [1e-3] * 4
    assert rates["steps"] == pytest.approx([1e-3, 7.5e-4, 5.625e-4, 5.625e-4])
    assert rates["cosine"] == pytest.approx([0.5e-3 * (1 + math.cos(math.pi * share)) for share in (0, 0.3, 0.5, 0.9)])
    assert rates["linear"] == pytest.approx([1e-3, 7e-4, 5e-4, 1e-4])
    for fault, wrong in (("min_lr", {"min_lr": 1e-4}), ("steps", {"steps": (3,)}), ("steps", {"schedule": "steps"})):
        with pytest.raises(ValueError, match=fault):
            TuneOptimiser(**(told | wrong))


@pytest.mark.parametrize("clip", ["tensor", "whole", "none"])
def test_gradients_are_clipped_each_together_or_not_at_all(clip):
    layers = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 50, 2)]
    gradients = [torch.full((3,), 4.0), torch.full((50,), 0.1), torch.full((2,), 9.0)]
    for layer, gradient in zip(layers, gradients, strict=True):
        layer.grad = gradient.clone()
    clip_gradients(
        torch.nn.ParameterList([*layers, torch.nn.Parameter(torch.zeros(1))]),
        TuneOptimiser(clip=clip, epochs=1, warmup_epochs=0, min_lr=0),
    )
    whole = torch.cat(gradients).norm().item()
    for layer, gradient in zip(layers, gradients, strict=True):
        norm = {"tensor": gradient.norm().item(), "whole": whole, "none": 0.0}[clip]
        torch.testing.assert_close(layer.grad, gradient * min(1.0, 3.0 / (norm + 1e-6)))


def test_every_epoch_takes_each_clip_at_most_once_in_an_order_of_its_own():
    plan = Plan(seed=0, stage="tune", clips=11, batch=3, epochs=2.5)
    assert (plan.steps_per_epoch, plan.steps) == (3, 8)
    epochs = [torch.cat([plan.rows(step) for step in range(first, first + 3)]).tolist() for first in (0, 3)]
    assert all(len(set(rows)) == 9 and max(rows) < 11 for rows in epochs)
    assert epochs[0] != epochs[1]
    other = Plan(seed=1, stage="tune", clips=11, batch=3, epochs=2.5)
    assert plan.rows(0).tolist() == epochs[0][:3] != other.rows(0).tolist()


def test_random_numbers_depend_on_purpose_alone():
    draw = [torch.rand(4, generator=generator(0, "tune", "step", step)).tolist() for step in (1, 2, 1)]
    assert draw[0] == draw[2] != draw[1]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with seeded(5, "model"):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(5, "model"):
        assert torch.equal(torch.rand(3), first)


def test_batch_is_at_most_the_training_set_and_at_least_two(capsys):
    assert Plan.of(0, "tune", 5, Optimiser(batch=64)).batch == 5
    assert "batch of 64 is larger than the training set: every step uses all 5 clips" in capsys.readouterr().err
    for clips, batch in ((1, 64), (9, 1)):
        with pytest.raises(InputError, match="at least 2 clips"):
            Plan.of(0, "tune", clips, Optimiser(batch=batch))


def test_a_run_has_about_200_rows_and_one_at_each_epochs_end():
    plan = Plan(seed=0, stage="pretrain", clips=1000, batch=3, epochs=3)
    closing = [done for done in range(1, plan.steps + 1) if plan.closes_row(done)]
    assert 200 <= len(closing) <= 260
    assert {333, 666, 999} <= set(closing)
