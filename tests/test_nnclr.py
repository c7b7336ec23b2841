"""The contrastive loss and its queue against slow versions written from Eq. 5–6 and Algorithm 1, and the collapse
monitor.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from stars.objectives.heads import BatchNorm
from stars.objectives.nnclr import nnclr_loss
from stars.objectives.queue import EMPTY, NO_CLIP, Queue
from stars.training.collapse import effective_rank, feature_std


class SlowQueue:
    """A Python list of (embedding, clip), newest last."""

    def __init__(self, size: int, entries: list) -> None:
        self.size, self.entries = size, entries

    def nearest(self, z, clip, exclude_self):
        """Eq. 5: the entry of least Euclidean distance."""
        allowed = [(q, owner) for q, owner in self.entries if not (exclude_self and owner == clip)]
        return min(allowed, key=lambda entry: torch.dist(z, entry[0]).item(), default=(z, EMPTY))

    def update(self, z_bc, clips):
        self.entries = [*self.entries, *zip(z_bc, clips, strict=True)][-self.size :]


def slow_loss(neighbours, predictions, temperature):
    """Eq. 6, term by term."""
    total = torch.zeros((), dtype=predictions.dtype)
    for i in range(len(predictions)):
        above = torch.exp(torch.dot(neighbours[i], predictions[i]) / temperature)
        below = sum(torch.exp(torch.dot(neighbours[i], predictions[k]) / temperature) for k in range(len(predictions)))
        total = total - torch.log(above / below)
    return total / len(predictions)


def units(*shape, seed=0, dtype=torch.float32):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1)


def test_loss_and_gradient_equal_the_slow_version():
    neighbours = units(7, 5, dtype=torch.float64)
    fast, slow = (units(7, 5, seed=1, dtype=torch.float64).requires_grad_() for _ in range(2))
    a, b = nnclr_loss(neighbours, fast, 0.07), slow_loss(neighbours, slow, 0.07)
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(*torch.autograd.grad(a, fast), *torch.autograd.grad(b, slow))


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("start", ["random", "empty"])
def test_queue_equals_a_list_over_many_steps(start, exclude_self):
    """Batches of 5 and once 23 into 16 places: filling, wrapping and overflow."""
    queue = Queue(16, 4, start, torch.Generator().manual_seed(0))
    slow = SlowQueue(16, [] if start == "empty" else [(entry, NO_CLIP) for entry in queue.entries.clone()])
    for step, batch in enumerate((5, 5, 5, 5, 5, 23, 5, 5)):
        z, clips = units(batch, 4, seed=step), (torch.arange(batch) * 3 + step) % 9
        neighbours, owners = queue.nearest(z, clips, exclude_self)
        expected = [slow.nearest(row, clip, exclude_self) for row, clip in zip(z, clips.tolist(), strict=True)]
        torch.testing.assert_close(neighbours, torch.stack([entry for entry, _ in expected]))
        assert owners.tolist() == [owner for _, owner in expected]
        queue.update(z, clips)
        slow.update(z, clips.tolist())


def test_random_start_is_unit_vectors_of_the_generator():
    queues = [Queue(32, 6, "random", torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    torch.testing.assert_close(queues[0].entries.norm(dim=1), torch.ones(32))
    assert torch.equal(queues[0].entries, queues[1].entries) and not torch.equal(queues[0].entries, queues[2].entries)


def test_no_gradient_flows_through_neighbour_or_queue():
    z = units(3, 4).requires_grad_()
    queue = Queue(8, 4, "empty", torch.Generator())
    neighbours, _ = queue.nearest(z, torch.arange(3), False)
    queue.update(z, torch.arange(3))
    assert not neighbours.requires_grad and not queue.entries.requires_grad


def test_effective_rank_and_spread():
    assert effective_rank(torch.eye(6)) == pytest.approx(6, abs=1e-4)
    assert effective_rank(torch.ones(5, 1) @ torch.randn(1, 4)) == pytest.approx(1, abs=1e-3)
    shares = torch.tensor([0.75, 0.25])
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(torch.diag(8 * shares)) == pytest.approx(expected, abs=1e-4)
    assert feature_std(torch.ones(5, 4)) == pytest.approx(0, abs=1e-6)
    assert feature_std(torch.tensor([[3.0, 0.0], [-7.0, 0.0]])) == pytest.approx(0.5)


def test_a_neighbour_is_drawn_from_the_most_similar_by_the_step_s_generator():
    """Of 3, own entries never; where fewer are allowed, of those."""
    queue = Queue(6, 4, "random", torch.Generator().manual_seed(0))
    queue.owners.copy_(torch.tensor([7, 8, NO_CLIP, 7, 9, 8]))
    z, clips = units(2, 4, seed=3), torch.tensor([7, 8])
    found: list[set[int]] = [set(), set()]
    for seed in range(60):
        neighbours, _ = queue.nearest(z, clips, True, 3, torch.Generator().manual_seed(seed))
        again, _ = queue.nearest(z, clips, True, 3, torch.Generator().manual_seed(seed))
        assert torch.equal(neighbours, again)
        for row in range(2):
            found[row].add(int((queue.entries == neighbours[row]).all(dim=1).nonzero()))
    for row, clip in enumerate(clips.tolist()):
        allowed = [place for place in range(6) if int(queue.owners[place]) != clip]
        assert found[row] == set(sorted(allowed, key=lambda place: -float(z[row] @ queue.entries[place]))[:3])
    few = Queue(4, 4, "empty", torch.Generator())
    few.update(units(1, 4, seed=5), torch.tensor([1]))
    neighbours, owners = few.nearest(z, clips, True, 3, torch.Generator().manual_seed(0))
    assert torch.equal(neighbours, few.entries[:1].expand(2, 4)) and owners.tolist() == [1, 1]


def test_batch_normalisation_by_groups_equals_each_group_by_itself():
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    layer, plain = BatchNorm(5, 4).train(), torch.nn.BatchNorm1d(5).train()
    torch.testing.assert_close(layer(x), torch.cat([plain(x[:5]), plain(x[5:])]))
    torch.testing.assert_close(layer.eval()(x), plain.eval()(x))
    assert torch.equal(layer.running_var, plain.running_var)
