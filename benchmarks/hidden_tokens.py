"""Stage 1's decoder, forward and backward, with hidden tokens embedded per body, once per step, and with the first
layer's norm and qkv shared as well.

    python benchmarks/hidden_tokens.py [--bodies 4] [--steps 5] [--precision bf16]

Prints each variant's median time per step and its median ratio to the decoder as it is. Processor time of one thread;
variants take turns. docs/bench.md has the numbers, and why the decoder stays as it is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stars.config import Model
from stars.objectives.mamp import Decoder, visible

JOINTS, RATIO = 25, 0.9
Variant = Callable[[Decoder, Tensor, Tensor], Tensor]


def as_it_is(decoder: Decoder, latent_rkc: Tensor, restore_rl: Tensor) -> Tensor:
    """Mask tokens are appended to each body's visible tokens, and all are put in order."""
    predicted: Tensor = decoder(latent_rkc, restore_rl)
    return predicted


def once(decoder: Decoder, latent_rkc: Tensor, restore_rl: Tensor) -> Tensor:
    """Hidden tokens are embedded once; each body's visible tokens overwrite some of them."""
    seen_rkc, hidden_lc, keep_rk = _embedded(decoder, latent_rkc, restore_rl)
    return decoder.predict(decoder.norm(decoder.blocks(_among(hidden_lc, seen_rkc, keep_rk))))


def shared(decoder: Decoder, latent_rkc: Tensor, restore_rl: Tensor) -> Tensor:
    """The first layer's norm and qkv of hidden tokens are computed once, too."""
    seen_rkc, hidden_lc, keep_rk = _embedded(decoder, latent_rkc, restore_rl)
    first, *others = decoder.blocks
    attention = first.attention
    x_rlc = _among(hidden_lc, seen_rkc, keep_rk)
    projected = [attention.qkv(first.attention_norm(tokens)) for tokens in (hidden_lc, seen_rkc)]
    query, key, value = _among(*projected, keep_rk).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    x_rlc = x_rlc + attention.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
    x_rlc = x_rlc + first.feed_forward(first.forward_norm(x_rlc))
    for block in others:
        x_rlc = block(x_rlc)
    return decoder.predict(decoder.norm(x_rlc))


def _embedded(decoder: Decoder, latent_rkc: Tensor, restore_rl: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    positions_lc, keep_rk = decoder.positions(), restore_rl.argsort(1)[:, : latent_rkc.shape[1]]
    return decoder.embed(latent_rkc) + F.embedding(keep_rk, positions_lc), decoder.mask_token + positions_lc, keep_rk


def _among(hidden_lc: Tensor, seen_rkc: Tensor, keep_rk: Tensor) -> Tensor:
    """Visible tokens of each body among the hidden ones, (R, L, C)."""
    return (
        hidden_lc.to(seen_rkc.dtype)
        .expand(len(seen_rkc), -1, -1)
        .scatter(1, keep_rk[..., None].expand_as(seen_rkc), seen_rkc)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bodies", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = Model()
    decoder, tokens = Decoder(shape, JOINTS), shape.frames // shape.segment * JOINTS
    latent_rkc = torch.randn(chosen.bodies, visible(tokens, RATIO), shape.width, requires_grad=True)
    restore_rl = torch.rand(chosen.bodies, tokens).argsort(1)

    def step(variant: Variant) -> float:
        began = time.thread_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=chosen.precision == "bf16"):
            predicted = variant(decoder, latent_rkc, restore_rl)
        predicted.float().square().mean().backward()
        return time.thread_time() - began

    variants = (as_it_is, once, shared)
    expected = as_it_is(decoder, latent_rkc, restore_rl)
    for variant in variants:
        torch.testing.assert_close(variant(decoder, latent_rkc, restore_rl), expected)
        step(variant)
    times = [[step(variant) for variant in variants] for _ in range(chosen.steps)]
    for variant, taken in zip(variants, zip(*times, strict=True), strict=True):
        ratio = statistics.median(own / plain for own, plain in zip(taken, (row[0] for row in times), strict=True))
        print(f"{variant.__name__:10} {1000 * statistics.median(taken):6.0f} ms  {ratio:.3f}")


if __name__ == "__main__":
    main()
