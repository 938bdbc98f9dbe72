"""`torch.nn.attention`: masks in blocks, scores by functions, causal biases, packed sequences, names of kernels."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.attention.bias
import torch.nn.attention.flex_attention

import flambeau as fb
import flambeau.nn
from flambeau.nn.attention import flex_attention as ours
from flambeau.nn.attention.varlen import AuxRequest, varlen_attn
from support.programs import agree
from support.values import same, to_flambeau

B, H, L = 2, 4, 12


def causal(b: Any, h: Any, q: Any, kv: Any) -> Any:
    return q >= kv


def flex(library: Any) -> Any:
    return library.nn.attention.flex_attention


def blocks(library: Any, mask: Any, batch: int | None = None, size: Any = 4) -> Any:
    return flex(library).create_block_mask(mask, batch, None, L, L, device="cpu", BLOCK_SIZE=size)


def inputs(library: Any, kv_heads: int = H) -> list[Any]:
    shapes = ((B, H, L, 8), (B, kv_heads, L, 8), (B, kv_heads, L, 6))
    return [library.randn(*s, dtype=library.float64) for s in shapes]


def alibi(library: Any) -> Any:
    slopes = 0.5 ** library.arange(1, H + 1).double()
    return flex(library).flex_attention(
        *inputs(library), score_mod=lambda s, b, h, q, kv: s + slopes[h] * (kv - q), block_mask=blocks(library, causal)
    )


def documents(library: Any) -> Any:
    document = library.tensor([0] * 5 + [1] * 3 + [2] * 4)
    mask = flex(library).and_masks(causal, lambda b, h, q, kv: document[q] == document[kv])
    made = blocks(library, mask)
    return flex(library).flex_attention(*inputs(library), block_mask=made), str(made)


def prefixes(library: Any) -> Any:
    length = library.tensor([3, 6])
    made = blocks(library, flex(library).or_masks(causal, lambda b, h, q, kv: kv < length[b]), B, (4, 3))
    return flex(library).flex_attention(*inputs(library), block_mask=made, scale=0.3), repr(made), made.to_dense()


def table(library: Any) -> Any:
    shifts = library.randn(H, 2 * L, dtype=library.float64)
    return flex(library).flex_attention(*inputs(library), score_mod=lambda s, b, h, q, kv: s + shifts[h][kv - q + L])


def grouped(library: Any) -> Any:
    return flex(library).flex_attention(*inputs(library, 2), enable_gqa=True, return_lse=True)


def hidden(library: Any) -> Any:
    """Some queries may look nowhere."""
    made = blocks(library, lambda b, h, q, kv: q > kv + 2)
    aux = flex(library).AuxRequest(lse=True)
    return flex(library).flex_attention(*inputs(library), block_mask=made, return_aux=aux)


# torch traces its own function for some 20 s each
SLOW = [pytest.param(code, marks=pytest.mark.slow) for code in (alibi, prefixes, table, grouped)]


@pytest.mark.parametrize("code", [documents, hidden, *SLOW], ids=lambda f: f.__name__)
def test_like_torch(code: Callable[[Any], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flex(torch).flex_attention(*(torch.ones(1, 1, 2, 2),) * 3)  # torch warns once in a process
    agree(code)


def printed(library: Any, size: Any, length: int = 300, **options: Any) -> Any:
    made = flex(library).create_block_mask(causal, 2, 3, length, 200, device="cpu", BLOCK_SIZE=size, **options)
    tables = [made.kv_num_blocks, made.kv_indices, made.full_kv_num_blocks, made.q_num_blocks, made.q_indices]
    parts = [made[0], made[:, 1], made[:, :, :2], made._adjust(128, 128)]
    return (
        *tables, made.shape, made.numel(), round(made.sparsity(), 6), made.BLOCK_SIZE, str(made), made.to_string((3, 3), 2),
        [(p.shape, p.kv_num_blocks, p.kv_indices) for p in parts],
    )  # fmt: skip


@pytest.mark.parametrize("size", [64, (64, 32), 128])
def test_block_masks(size: Any) -> None:
    agree(lambda library: printed(library, size))
    agree(lambda library: printed(library, size, separate_full_blocks=False))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "rank": lambda lib: flex(lib).flex_attention(*(lib.ones(2, 4, 8),) * 3),
    "heads": lambda lib: flex(lib).flex_attention(lib.ones(1, 4, 4, 8), *(lib.ones(1, 2, 4, 8),) * 2),
    "groups": lambda lib: flex(lib).flex_attention(lib.ones(1, 3, 4, 8), *(lib.ones(1, 2, 4, 8),) * 2, enable_gqa=True),
    "width": lambda lib: flex(lib).flex_attention(lib.ones(1, 2, 4, 7), *(lib.ones(1, 2, 4, 8),) * 2),
    "batch": lambda lib: flex(lib).flex_attention(lib.ones(2, 2, 4, 8), *(lib.ones(1, 2, 4, 8),) * 2),
    "longer": lambda lib: flex(lib).flex_attention(*(lib.ones(1, 1, 20, 8),) * 3, block_mask=blocks(lib, causal)),
    "shorter": lambda lib: flex(lib).flex_attention(*(lib.ones(1, 1, 8, 8),) * 3, block_mask=blocks(lib, causal)),
    "arguments": lambda lib: flex(lib).create_mask(lambda b, h, q: q > 0, 1, 1, 4, 4, device="cpu"),
    "no_function": lambda lib: flex(lib).and_masks(3),
    "sliced": lambda lib: blocks(lib, causal)[0].mask_mod(*(lib.tensor(0),) * 4),
    "scores": lambda lib: flex(lib).create_block_mask(lambda s, b, h, q, kv: s, 1, 1, 8, 8, device="cpu"),
    "both": lambda lib: flex(lib).flex_attention(
        *(lib.ones(1, 1, 4, 8),) * 3, return_lse=True, return_aux=flex(lib).AuxRequest()
    ),
    "kernels": lambda lib: lib.nn.attention.sdpa_kernel("math").__enter__(),
    "bias": lambda lib: lib.nn.attention.bias.CausalBias(3, 4, 5),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    assert isinstance(agree(REFUSED[case], words=5), Exception)


def test_gradients_and_compiled() -> None:
    """torch has no gradients on the CPU: against the formula, written out."""
    torch.manual_seed(0)
    theirs = [x.requires_grad_() for x in inputs(torch)]
    slopes = torch.rand(H, dtype=torch.float64, requires_grad=True)
    places = torch.arange(L)
    scores = theirs[0] @ theirs[1].transpose(-2, -1) / 8**0.5
    scores = scores + slopes[:, None, None] * (places - places[:, None])
    scores = scores.masked_fill(places > places[:, None], -torch.inf)
    expected = scores.softmax(-1) @ theirs[2]
    (expected.square().sum() + scores.logsumexp(-1).sum()).backward()
    mine = [to_flambeau(x) for x in theirs]
    mask, weights = blocks(fb, causal), to_flambeau(slopes)

    def attend(q: Any, k: Any, v: Any) -> Any:
        aux = ours.AuxRequest(lse=True, max_scores=True)
        changed = lambda s, b, h, i, j: s + weights[h] * (j - i)  # noqa: E731
        return ours.flex_attention(q, k, v, changed, mask, return_aux=aux)

    out, more = attend(*mine)
    same(out, expected, rtol=1e-9, atol=1e-10)
    same(more.max_scores, scores.amax(-1), rtol=1e-9, atol=1e-10)
    (out.square().sum() + more.lse.sum()).backward()
    for a, b in zip([*mine, weights], [*theirs, slopes], strict=True):
        same(a.grad, b.grad, rtol=1e-8, atol=1e-9)
    compiled, _ = fb.compile(attend, fullgraph=True)(*mine)
    same(compiled, expected, rtol=1e-9, atol=1e-10)


def test_blocks_alone_hide() -> None:
    """A mask of blocks without a function hides what lies in none of them, as torch's kernels have it."""
    fb.manual_seed(0)
    q, k, v = inputs(fb)
    count, columns = fb.tensor([[[1, 1, 1]]], dtype=fb.int32), fb.zeros(1, 1, 3, 3, dtype=fb.int32)
    made = ours.BlockMask.from_kv_blocks(count, columns, BLOCK_SIZE=4)
    expected = fb.nn.functional.scaled_dot_product_attention(q, k[:, :, :4], v[:, :, :4])
    assert fb.allclose(ours.flex_attention(q, k, v, block_mask=made), expected)
    assert pickle.loads(pickle.dumps(made)).shape == (1, 1, L, L)


def biases(library: Any) -> Any:
    q = library.randn(2, 2, 5, 8, dtype=library.float64)
    bias = library.nn.attention.bias
    attend = library.nn.functional.scaled_dot_product_attention
    made = [bias.causal_lower_right(3, 5), bias.causal_upper_left(3, 5), bias.causal_lower_right(5, 5)]
    return [attend(q[:, :, : m.seq_len_q], q, q, m) for m in made], [repr(m) for m in made]


def test_biases() -> None:
    agree(biases)
    agree(lambda lib: lib.nn.attention.bias.causal_lower_right(5, 3).variant.name)


def switches(library: Any) -> Any:
    from importlib import import_module

    cuda = import_module(f"{library.__name__}.backends.cuda")
    kernels = library.nn.attention.SDPBackend
    names = ("flash", "mem_efficient", "math", "cudnn")
    state = lambda: [getattr(cuda, f"{name}_sdp_enabled")() for name in names]  # noqa: E731
    seen = [state()]
    with library.nn.attention.sdpa_kernel([kernels.MATH, kernels.FLASH_ATTENTION], set_priority=True):
        seen.append(state())
    with cuda.sdp_kernel(enable_flash=False):
        seen.append(state())
    cuda.enable_math_sdp(False)
    seen.append(state())
    cuda.enable_math_sdp(True)
    return (
        seen,
        state(),
        [(repr(k), str(k), int(k), k.name) for k in (kernels.ERROR, kernels.MATH, kernels.CUDNN_ATTENTION)],
    )


def test_names_of_kernels() -> None:
    agree(switches)


@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (2, 0), (1, 1)])
def test_packed_sequences(window: tuple[int, int]) -> None:
    """Each sequence by itself is what torch's attention gives."""
    torch.manual_seed(1)
    lengths_q, lengths_k = [3, 5, 2], [4, 5, 6]
    starts = [torch.tensor([0, *lengths]).cumsum(0).int() for lengths in (lengths_q, lengths_k)]
    q = torch.randn(10, 4, 8, dtype=torch.float64)
    k, v = (torch.randn(15, 2, 8, dtype=torch.float64) for _ in range(2))
    out, lse = varlen_attn(
        *to_flambeau([q, k, v, *starts]), 5, 6, window_size=window, enable_gqa=True, return_aux=AuxRequest(lse=True)
    )
    assert lse.shape == (10, 4)
    for a, b, c, d in zip(starts[0][:-1], starts[0][1:], starts[1][:-1], starts[1][1:], strict=True):
        rows, columns = torch.arange(int(b - a))[:, None] + int((d - c) - (b - a)), torch.arange(int(d - c))
        seen = torch.ones(len(rows), len(columns), dtype=torch.bool)
        if window[0] >= 0:
            seen &= columns >= rows - window[0]
        if window[1] >= 0:
            seen &= columns <= rows + window[1]
        one = [x.transpose(0, 1)[None] for x in (q[a:b], k[c:d], v[c:d])]
        expected = torch.nn.functional.scaled_dot_product_attention(*one, seen, enable_gqa=True)
        same(out[int(a) : int(b)], expected[0].transpose(0, 1), rtol=1e-9, atol=1e-10)


def test_pages() -> None:
    fb.manual_seed(2)
    q, k = fb.randn(3, 2, 8), fb.randn(4, 2, 2, 8)  # four pages of two places
    begins, table = fb.tensor([0, 1, 3], dtype=fb.int32), fb.tensor([[2, 0], [3, 1]], dtype=fb.int32)
    got = varlen_attn(q, k, k, begins, None, 2, 4, seqused_k=fb.tensor([3, 4]), block_table=table)
    for rows, pages, used in ((slice(0, 1), [2, 0], 3), (slice(1, 3), [3, 1], 4)):
        keys = k[pages].flatten(0, 1)[:used].transpose(0, 1)
        expected = fb.nn.functional.scaled_dot_product_attention(q[rows].transpose(0, 1), keys, keys)
        assert fb.allclose(got[rows], expected.transpose(0, 1), atol=1e-6)
