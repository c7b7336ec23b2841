"""The Triton kernels by Triton's interpreter, on any CPU: `TRITON_INTERPRET=1 .venv/bin/python -m pytest
tests/narrow_kernels.py`.

`test_narrow_attention.py` runs this in a process of its own: what Triton is told on import holds for the whole process.
The interpreter multiplies bf16 as if its bits were whole numbers (Triton 3.7), so float32 and fp16 stand in for it
here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stars.backbones import attention, narrow_attention
from stars.bench.steps import plain_attention

LENGTHS = (5, 64, 150)  # below a tile, one tile, several and a part


def qkv(length: int, width: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
    """What the first layer of attention makes of two rows for two heads: (2, L, 3·2·d)."""
    return (
        (scale * torch.randn(2, length, 6 * width, generator=torch.Generator().manual_seed(length)))
        .to(dtype)
        .requires_grad_()
    )


def attended(work, x: Tensor) -> tuple[Tensor, Tensor]:
    """Output and gradient of x, of a sum with random weights."""
    mixed = work(*x.unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4))
    weights = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(0)).to(mixed.dtype)
    (gradient,) = torch.autograd.grad(mixed, x, weights)
    return mixed.detach(), gradient


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("width", narrow_attention.WIDTHS)
@pytest.mark.parametrize("length", LENGTHS)
def test_output_and_gradients_are_those_of_the_formula(length, width):
    x = qkv(length, width)
    exact = attended(plain_attention, x.detach().double().requires_grad_())
    for found, wanted in zip(attended(narrow_attention.narrow_attention, x), exact, strict=True):
        assert error(found, wanted) < 1e-6


@pytest.mark.parametrize("width", narrow_attention.WIDTHS)
def test_in_16_bits_the_error_is_that_of_pytorch_s_kernel(width):
    x = qkv(75, width, torch.float16)
    exact = attended(plain_attention, x.detach().double().requires_grad_())
    theirs = attended(torch.nn.functional.scaled_dot_product_attention, x)
    ours = attended(narrow_attention.narrow_attention, x)
    for mine, other, wanted in zip(ours, theirs, exact, strict=True):
        assert mine.dtype == torch.float16 and error(mine, wanted) < 1.5 * error(other, wanted)


# in sums for keys after the last token, which are not stored
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_large_scores_overflow_nowhere():
    """All scores about -6,400: a key of zeros after the last token would have an infinite weight."""
    x = qkv(75, 16).detach()
    x[..., :32], x[..., 32:64] = 40 + x[..., :32], -40 + x[..., 32:64]
    x.requires_grad_()
    exact = attended(plain_attention, x.detach().double().requires_grad_())
    for found, wanted in zip(attended(narrow_attention.narrow_attention, x), exact, strict=True):
        assert error(found, wanted) < 1e-3  # of scores that float32 rounds to 5e-4


def test_strides_that_differ_are_evened_out():
    query, key, value = torch.randn(3, 2, 2, 9, 16, generator=torch.Generator().manual_seed(0))
    apart = (query.mT.contiguous().mT, key, value.transpose(1, 2).contiguous().transpose(1, 2))
    assert torch.equal(narrow_attention.narrow_attention(*apart), narrow_attention.narrow_attention(query, key, value))


def test_the_operation_says_shapes_and_strides_as_they_are():
    inputs = [
        part.clone().requires_grad_()
        for part in torch.randn(3, 1, 2, 9, 16, generator=torch.Generator().manual_seed(0))
    ]
    torch.library.opcheck(torch.ops.stars.narrow_attention.default, inputs)


@pytest.fixture
def here(monkeypatch):
    """Narrow heads take their path on this CPU."""
    monkeypatch.setattr(narrow_attention, "DEVICE", "cpu")
    monkeypatch.setattr(narrow_attention, "TRIED", {})


def test_the_trial_finds_that_it_works_and_a_record_says_so(here, capsys):
    assert narrow_attention.works(torch.device("cpu"), torch.float16, 16)
    assert narrow_attention.kernels_used().startswith("triton 3") and capsys.readouterr().err == ""


def test_the_trial_finds_wrong_numbers(here, capsys):
    """The interpreter's bf16 is wrong, as it happens."""
    half = torch.zeros(1, 1, 4, 16, dtype=torch.bfloat16)
    assert not narrow_attention.fits(half, half, half) and not narrow_attention.fits(half, half, half)
    assert capsys.readouterr().err.splitlines() == [
        "attention for narrow heads does not work here, going on with PyTorch's: its numbers are not those of PyTorch's"
        " kernel"
    ]
    assert narrow_attention.kernels_used() == "torch"


def test_compiled_blocks_take_it_as_one_operation(here, monkeypatch):
    """In one graph, at two numbers of rows, with the numbers of blocks that are not compiled; the trial is made
    while the first is traced.
    """
    monkeypatch.setattr(narrow_attention, "DTYPES", (torch.float32,))
    narrow_attention.constant_when_compiled()
    torch.manual_seed(0)
    blocks, calls = attention.Blocks([attention.Block(32, 2, 64)]), []
    compiled = torch.compile(blocks, fullgraph=True, backend="aot_eager")
    for rows in (2, 3):
        x = torch.randn(rows, 5, 32, requires_grad=True)
        found = compiled(x)
        assert list(narrow_attention.TRIED.values()) == [True]
        with torch.profiler.profile() as profile:
            (gradient,) = torch.autograd.grad(compiled(x).square().sum(), x)
        calls += [event.key for event in profile.key_averages() if event.key.startswith("stars::")]
        torch.testing.assert_close(found, blocks(x))
        torch.testing.assert_close(gradient, torch.autograd.grad(blocks(x).square().sum(), x)[0])
    assert sorted(calls) == 2 * ["stars::narrow_attention"] + 2 * ["stars::narrow_attention_backward"]
