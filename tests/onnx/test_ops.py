"""`torch.onnx.ops`: values against PyTorch's, and operators that the code names in the model."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import flambeau as fb
from flambeau import nn

RNG = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return RNG.normal(size=shape)


def compare(name: str, *args: Any, **options: Any) -> None:
    made = []
    for lib in (torch, fb):
        given = [None if a is None else lib.from_numpy(a) for a in args]
        result = getattr(lib.onnx.ops, name)(*given, **options)
        made.append(result if isinstance(result, tuple) else (result,))
    for theirs, ours in zip(*made, strict=True):
        assert str(theirs.dtype) == str(ours.dtype)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-9)


Q, K, V = draw(2, 4, 5, 8), draw(2, 2, 6, 8), draw(2, 2, 6, 3)
LOOK = RNG.random((5, 6)) > 0.3
LOOK[:, 0] = True


def test_attention() -> None:
    for mask, mode in itertools.product((None, draw(5, 6), LOOK), range(4)):
        compare("attention", Q, K, V, mask, qk_matmul_output_mode=mode, softcap=0.7, scale=0.3)
    compare("attention", Q, K, V, is_causal=True)
    compare("attention", Q, K, V, None, draw(2, 2, 3, 8), draw(2, 2, 3, 3), is_causal=True)
    compare("attention", draw(2, 5, 32), draw(2, 6, 16), draw(2, 6, 16), q_num_heads=4, kv_num_heads=2)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_embedding(interleaved: bool) -> None:
    places = RNG.integers(0, 9, (2, 5))
    compare("rotary_embedding", Q, draw(2, 5, 4), draw(2, 5, 4), interleaved=interleaved)
    compare("rotary_embedding", Q, draw(2, 5, 2), draw(2, 5, 2), interleaved=interleaved, rotary_embedding_dim=4)
    compare("rotary_embedding", draw(2, 5, 32), draw(9, 4), draw(9, 4), places, interleaved=interleaved, num_heads=4)


REFUSED = {
    "mask": lambda lib, t: lib.onnx.ops.attention(t(Q), t(K), t(V), t(LOOK), is_causal=True, qk_matmul_output_mode=1),
    "heads": lambda lib, t: lib.onnx.ops.attention(t(Q), t(draw(2, 3, 6, 8)), t(draw(2, 3, 6, 8))),
    "flat": lambda lib, t: lib.onnx.ops.attention(t(Q[0]), t(K[0]), t(V[0])),
    "rows": lambda lib, t: lib.onnx.ops.rotary_embedding(t(Q), t(draw(2, 3, 4)), t(draw(2, 5, 4))),
    "columns": lambda lib, t: lib.onnx.ops.rotary_embedding(t(Q), t(draw(2, 5, 2)), t(draw(2, 5, 2))),
    "flat X": lambda lib, t: lib.onnx.ops.rotary_embedding(t(Q[0]), t(draw(4, 5, 4)), t(draw(4, 5, 4))),
    "attribute": lambda lib, t: lib.onnx.ops.symbolic("a::B", (t(Q),), {"k": []}, dtype=lib.float32, shape=(2,)),
    "dtype": lambda lib, t: lib.onnx.ops.symbolic_multi_out("a::B", (), dtypes=(1,), shapes=((2,), (3,))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    told = []
    for lib in (torch, fb):
        with pytest.raises((RuntimeError, ValueError)) as error:
            REFUSED[name](lib, lib.from_numpy)
        told.append((error.type, str(error.value)))
    assert told[0] == told[1]


class Named(nn.Module):
    def forward(self, x: fb.Tensor) -> Any:
        y = fb.onnx.ops.symbolic(
            "com.microsoft::Gelu", (x + 1,), dtype=x.dtype, shape=x.shape, version=1, metadata_props={"a": "b"}
        )
        kinds = {"dtypes": (x.dtype, 7), "shapes": ((3, 2), (3, 2))}
        top, at = fb.onnx.ops.symbolic_multi_out("TopK", (x, fb.tensor([2])), {"axis": 1, "largest": 0}, **kinds)
        return y * 2, top, at


def test_operators_that_the_code_names() -> None:
    x = fb.tensor([[0.5, -1.0, 2.0], [-0.5, 1.5, 0.0], [3.0, -1.0, 0.25]])
    assert [v.tolist() for v in Named()(x)] == [
        fb.zeros(3, 3).tolist(),
        fb.zeros(3, 2).tolist(),
        fb.zeros(3, 2).tolist(),
    ]
    model = fb.onnx.export(Named(), (x,)).model_proto
    node = next(n for n in model.graph.node if n.domain == "com.microsoft")
    assert (node.op_type, node.metadata_props[0].key, node.metadata_props[0].value) == ("Gelu", "a", "b")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    top, at = x.topk(2, 1, largest=False)
    for theirs, ours in zip(got, (nn.functional.gelu(x + 1) * 2, top, at), strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-5, atol=1e-6)


def test_attention_in_a_model() -> None:
    class Attending(nn.Module):
        def forward(self, q: fb.Tensor, k: fb.Tensor, v: fb.Tensor) -> Any:
            return fb.onnx.ops.attention(q, k, v, is_causal=True)[0]

    given = [fb.from_numpy(a.astype(np.float32)) for a in (Q, K.repeat(2, 1), V.repeat(2, 1))]
    made = fb.onnx.export(Attending(), tuple(given))
    np.testing.assert_allclose(made(*given)[0].numpy(), Attending()(*given).numpy(), rtol=1e-4, atol=1e-5)
