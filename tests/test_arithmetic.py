"""Arithmetic that a machine may lack: bf16, fp16 in place of it, TF32, compiled blocks, a GPU with too little memory
for the clips.
"""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from test_sampling import store
from test_training import Bench, at_call, curve, data, result

from stars.backbones.attention import Block, Blocks
from stars.config import Sampling
from stars.errors import InputError, Interrupted
from stars.training import compiling, precision
from stars.views import crop
from stars.views.crop import Clips, random_crop

__all__ = ["data"]  # a fixture


@pytest.fixture
def bench(tmp_path, data):
    return Bench(tmp_path, data)


@pytest.mark.parametrize("name", ["pretrain", "tune"])
def test_fp16_with_scaled_gradients_is_near_fp32_and_survives_a_stop(bench, monkeypatch, name):
    exact = curve(bench.stage(name, "fp32"))
    monkeypatch.setattr(precision, "half", lambda device: torch.float16)
    whole = result(bench.stage(name, "fp16", precision="bf16"))
    rough = curve(bench.folder / "fp16")
    assert rough != exact and all(np.isfinite(float(row["loss"])) for row in rough)
    assert float(rough[0]["loss"]) == pytest.approx(
        float(exact[0]["loss"]), rel=0.01
    )  # then a step may be left out while the scale settles
    with monkeypatch.context() as patch:
        at_call(patch, name, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            bench.stage(name, "stopped", precision="bf16")
    assert result(bench.stage(name, "stopped", precision="bf16")) == whole


def test_only_fp16_is_scaled(monkeypatch):
    cpu = torch.device("cpu")
    assert not precision.scaler(cpu, "bf16").is_enabled()
    monkeypatch.setattr(precision, "half", lambda device: torch.float16)
    assert precision.scaler(cpu, "bf16").is_enabled() and not precision.scaler(cpu, "fp32").is_enabled()


@pytest.mark.parametrize(("units", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_cpu_has_units_for_it_and_the_record_says_which(bench, monkeypatch, units, chosen):
    monkeypatch.setattr(precision, "BF16_UNITS", units)
    found, named = bench.stage("pretrain", "auto", precision="auto"), bench.stage("pretrain", "named", precision=chosen)
    assert result(found)["encoder.safetensors"] == result(named)["encoder.safetensors"]
    assert [json.loads((folder / "record.json").read_text())["notes"]["precision"] for folder in (found, named)] == [
        chosen
    ] * 2


def test_tf32_is_for_gpus_that_have_it_and_only_while_a_job_lasts(bench, monkeypatch):
    with pytest.raises(
        InputError,
        match=r"tf32 needs an NVIDIA GPU of compute capability 8.0 or higher, and this job runs on cpu: set fp32",
    ):
        bench.stage("pretrain", "tf32", precision="tf32")
    gpu, backends = torch.device("cuda"), (torch.backends.cuda.matmul, torch.backends.cudnn)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    before = [backend.allow_tf32 for backend in backends]
    for name, allowed in (("tf32", True), ("fp32", False)):
        with precision.float32_products(gpu, name):
            assert [backend.allow_tf32 for backend in backends] == [allowed] * 2
    assert [backend.allow_tf32 for backend in backends] == before
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert precision.resolve(gpu, "auto") == "fp32"


def test_blocks_are_compiled_under_their_own_names_and_compute_the_same():
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"blocks": Blocks(Block(16, 2, 32) for _ in range(2))})
    x_rlc, names = torch.randn(5, 6, 16), list(model.state_dict())
    expected = model["blocks"](x_rlc)
    assert not compiling.compile_blocks(model, "fp32")  # nobody wants it
    with compiling.wanted(True):
        if not compiling.compile_blocks(model, "fp32"):
            pytest.skip("no compiler that torch can use here")
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model["blocks"](x_rlc), expected)
    # else, processors that share a cache of compiled code may compute nan
    assert torch.compiler.config.cache_key_tag == torch.backends.cpu.get_cpu_capability()


def test_compiled_blocks_that_compute_something_else_are_not_used(monkeypatch, capsys):
    model = torch.nn.ModuleDict({"blocks": Blocks([Block(16, 2, 32)])})
    compiled = torch.nn.Module.compile

    def wrong(module):
        compiled(module)
        module.register_forward_hook(lambda module, given, y_rlc: y_rlc * torch.nan)

    monkeypatch.setattr(Blocks, "compile", wrong)
    with compiling.wanted(True):
        assert not compiling.compile_blocks(model, "fp32")
    assert "does not work here" in capsys.readouterr().err


def test_an_error_ends_the_wish_to_compile(monkeypatch):
    monkeypatch.setattr(compiling, "_try", lambda *arguments: pytest.fail("nobody wants it"))
    with pytest.raises(KeyError), compiling.wanted(True):
        raise KeyError
    assert not compiling.compile_blocks(torch.nn.ModuleList([Blocks([Block(8, 2, 8)])]), "fp32")


def test_where_compiling_fails_a_line_says_so_and_training_goes_on(bench, monkeypatch, capsys):
    expected = result(bench.stage("tune", "plain"))

    def no_compiler(block, precision):
        raise RuntimeError("no C++ compiler\nand many lines more")

    monkeypatch.setattr(compiling, "_try", no_compiler)
    with compiling.wanted(True):
        assert result(bench.stage("tune", "compiled")) == expected
    assert "torch.compile does not work here, continuing without it: no C++ compiler\n" in capsys.readouterr().err


def test_clips_that_a_device_has_no_room_for_stay_in_main_memory_and_their_views_are_sent(monkeypatch):
    held = Clips.of(store(), np.array([2, 5, 6]))
    monkeypatch.setattr(crop, "has_room", lambda device, size: False)
    # a device that every machine has, and that holds no numbers
    streamed = Clips.of(store(), np.array([2, 5, 6]), "meta")
    assert streamed.frames.equal(held.frames) and streamed.starts.equal(held.starts) and streamed.device.type == "meta"
    views = [
        random_crop(clips, torch.tensor([0, 2]), 16, Sampling(rotation=rotation), torch.Generator().manual_seed(0))
        for clips, rotation in ((held, 0.0), (streamed, 0.0), (streamed, 0.3))
    ]
    assert [view.device.type for view in views] == ["cpu", "meta", "meta"] and len({view.shape for view in views}) == 1
