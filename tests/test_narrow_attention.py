"""Attention for narrow heads: its numbers on a CPU, that GPUs' compilers take it, its numbers on a GPU, and when
PyTorch's is taken instead.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from stars import backbones
from stars.backbones import narrow_attention
from stars.backbones.attention import attend
from stars.bench.steps import plain_attention

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed: .venv/bin/pip install --requirement envs/triton.txt",
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def test_a_job_starts_without_the_compiler():
    """torch._dynamo takes more than a second to import; jobs that encode or compare do not need it."""
    found = "import sys, stars.training.tune, stars.evaluation.finetune; print('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True).stdout == "False\n"


@needs_triton
def test_kernels_compute_attention_by_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "narrow_kernels.py"]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_triton
@pytest.mark.parametrize(("capability", "width"), [(80, 32), (90, 16), (90, 32)])
def test_compilers_of_gpus_take_the_kernels(tmp_path, monkeypatch, capability, width):
    """To machine code for an A100 and an H100, which needs neither; in the shared memory that each program may have
    without asking.
    """
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from stars.backbones import narrow_kernels as kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kinds = {"logsumexp": "*fp32", "sums": "*fp32", "slope": "fp32", "scale": "fp32"}
    kinds |= dict.fromkeys(("row", "head", "token", "heads", "length"), "i32")
    for kernel, settings in (
        (kernels.forward, narrow_attention.FORWARD),
        (kernels.backward_query, narrow_attention.TO_QUERY),
        (kernels.backward_key_value, narrow_attention.TO_KEY_VALUE),
    ):
        options = {name: settings[name] for name in ("num_warps", "num_stages")}
        constants = {"WIDTH": width, "QUERIES": settings["QUERIES"], "KEYS": settings["KEYS"]}
        signature = {name: "constexpr" if name in constants else kinds.get(name, "*bf16") for name in kernel.arg_names}
        made = compile(
            ASTSource(kernel, signature, constants), target=GPUTarget("cuda", capability, 32), options=options
        )
        assert len(made.asm["cubin"]) > 1000 and 0 < made.metadata.shared <= 48 * 1024


@needs_gpu
@pytest.mark.parametrize("tokens", [74, 750])
@pytest.mark.parametrize("width", narrow_attention.WIDTHS)
def test_a_gpu_s_errors_are_those_of_bf16(tokens, width):
    """Of 16 bodies at the paper's size: at most 1.5 times the error of PyTorch's own kernel, output and gradients
    each.
    """
    draws = torch.randn(4, 16, 8, tokens, width, generator=torch.Generator().manual_seed(0)).cuda().bfloat16()
    found = {}
    for name, work, dtype in (
        ("exact", plain_attention, torch.float64),
        ("theirs", F.scaled_dot_product_attention, torch.bfloat16),
        ("ours", narrow_attention.narrow_attention, torch.bfloat16),
    ):
        *leaves, gradient = (part.to(dtype, copy=True) for part in draws)
        mixed = work(*(leaf.requires_grad_() for leaf in leaves))
        found[name] = [mixed.detach().double(), *(one.double() for one in torch.autograd.grad(mixed, leaves, gradient))]
    for ours, theirs, exact in zip(found["ours"], found["theirs"], found["exact"], strict=True):
        assert (ours - exact).norm() <= 1.5 * (theirs - exact).norm()


@needs_gpu
def test_a_gpu_takes_it_for_narrow_heads():
    if torch.cuda.get_device_capability() < narrow_attention.CAPABILITY or importlib.util.find_spec("triton") is None:
        pytest.skip("a GPU of capability 8.0 and Triton are needed")
    query, key, value = torch.randn(3, 2, 2, 75, 32, device="cuda", dtype=torch.bfloat16, requires_grad=True).unbind()
    assert attend(query, key, value).grad_fn.name() != F.scaled_dot_product_attention(query, key, value).grad_fn.name()


@pytest.fixture
def anywhere(monkeypatch):
    """Narrow heads are looked for on this CPU, and nothing has been tried."""
    monkeypatch.setattr(narrow_attention, "DEVICE", "cpu")
    monkeypatch.setattr(narrow_attention, "TRIED", {})


def test_without_triton_one_line_is_said_and_pytorch_s_attention_taken(anywhere, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "stars.backbones.narrow_kernels", raising=False)
    monkeypatch.delattr(backbones, "narrow_kernels", raising=False)
    query, key, value = torch.randn(3, 2, 2, 9, 16).half()
    for _ in range(2):
        assert torch.equal(attend(query, key, value), F.scaled_dot_product_attention(query, key, value))
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line.startswith("attention for narrow heads does not work here, going on with PyTorch's: ") and "triton" in line
    )
    assert narrow_attention.kernels_used() == "torch"


def test_other_heads_are_not_even_tried(anywhere, monkeypatch):
    monkeypatch.setattr(narrow_attention, "works", lambda *tried: True)
    monkeypatch.setattr(narrow_attention, "narrow_attention", lambda *inputs: "narrow")
    narrow, wide, whole = (
        torch.randn(2, 2, 9, width).to(dtype)
        for width, dtype in ((16, torch.half), (64, torch.half), (16, torch.float32))
    )
    assert attend(narrow, narrow, narrow) == "narrow"
    assert attend(narrow, narrow, narrow, torch.ones(9, 9, dtype=torch.bool)).shape == narrow.shape
    assert attend(wide, wide, wide).shape == wide.shape and attend(whole, whole, whole).dtype == torch.float32
    assert attend(narrow[..., :3, :], narrow, narrow).shape == (2, 2, 3, 16)
    monkeypatch.setattr(narrow_attention, "DEVICE", "cuda")
    assert attend(narrow, narrow, narrow).shape == narrow.shape
