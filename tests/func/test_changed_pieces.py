"""`vmap` by pieces that a package has put in the place of `torch._functorch.vmap`'s: containers bring their tensors in and out."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same


class Box:
    """Tensors whose first dimensions are `sizes`."""

    def __init__(self, tensors: dict[str, Any], sizes: tuple[int, ...]):
        self.tensors, self.sizes = tensors, sizes
        for tensor in tensors.values():
            assert tuple(tensor.shape[: len(sizes)]) == sizes


@pytest.fixture(params=["flambeau", "torch"])
def lib(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    pieces = importlib.import_module(f"{request.param}._functorch.vmap")
    core = importlib.import_module(f"{request.param}._C._functorch")

    def taken(x: Any, dim: Any, level: int) -> Any:
        if dim is None:
            return x
        if not isinstance(x, Box):
            return core._add_batch_dim(x, dim, level)
        sizes = tuple(n for i, n in enumerate(x.sizes) if i != dim)
        return Box({k: core._add_batch_dim(t, dim, level) for k, t in x.tensors.items()}, sizes)

    def put(x: Any, level: int, size: int, dim: Any) -> Any:
        if not isinstance(x, Box):
            return pieces._maybe_remove_batch_dim("box", x, level, size, dim)
        sizes = (*x.sizes[:dim], size, *x.sizes[dim:])
        return Box({k: core._remove_batch_dim(t, level, size, dim) for k, t in x.tensors.items()}, sizes)

    def process(in_dims: Any, args: Any, func: Any) -> Any:
        dims = [in_dims] * len(args) if isinstance(in_dims, int) else list(in_dims)
        sizes = [
            (x.sizes if isinstance(x, Box) else x.shape)[d] for x, d in zip(args, dims, strict=True) if d is not None
        ]
        return sizes[0], dims, list(args), None

    def create(dims: Any, args: Any, level: int, spec: Any) -> Any:
        return tuple(taken(x, d, level) for x, d in zip(args, dims, strict=True))

    def unwrap(results: Any, out_dims: Any, level: int, size: int, func: Any) -> Any:
        if isinstance(results, tuple):
            return tuple(put(x, level, size, out_dims) for x in results)
        return put(results, level, size, out_dims)

    monkeypatch.setattr(pieces, "_process_batched_inputs", process)
    monkeypatch.setattr(pieces, "_create_batched_inputs", create)
    monkeypatch.setattr(pieces, "_unwrap_batched", unwrap)
    return fb if request.param == "flambeau" else torch


def _box(lib: Any) -> Box:
    return Box({"a": lib.arange(24.0).reshape(2, 3, 4), "b": lib.ones(2, 3)}, (2, 3))


def test_a_container_goes_in_and_comes_out(lib: Any) -> None:
    def of_one(box: Box, scale: Any) -> Any:
        assert box.sizes == (3,)
        return Box({"c": box.tensors["a"].sum(-1) * scale, "b": box.tensors["b"]}, (3,)), scale

    box, scale = lib.vmap(of_one, (0, None), 1)(_box(lib), lib.tensor([2.0]))
    whole = torch.arange(24.0).reshape(2, 3, 4).sum(-1) * 2
    assert box.sizes == (3, 2)
    wanted = {"c": whole.T, "b": torch.ones(3, 2)}
    assert {k: t.tolist() for k, t in box.tensors.items()} == {k: t.tolist() for k, t in wanted.items()}
    assert scale.tolist() == [[2.0, 2.0]]


def test_gradients_and_a_second_dimension(lib: Any) -> None:
    weights = lib.arange(24.0).reshape(2, 3, 4).requires_grad_()
    box = Box({"a": weights}, (2, 3))
    inner = lib.vmap(lambda one: (one.tensors["a"] ** 2).sum())
    lib.vmap(inner)(box).sum().backward()
    assert weights.grad.tolist() == (2 * torch.arange(24.0).reshape(2, 3, 4)).tolist()


def test_a_result_without_the_samples(lib: Any) -> None:
    assert lib.vmap(lambda box: lib.tensor(3.0), out_dims=None)(_box(lib)).item() == 3.0
    with pytest.raises(ValueError, match="can not return a BatchedTensor when out_dim is None"):
        lib.vmap(lambda box: box.tensors["b"], out_dims=None)(_box(lib))
    with pytest.raises(ValueError, match="must only return Tensors, got type <class 'int'>"):
        lib.vmap(lambda box: 3)(_box(lib))


def test_asked_elsewhere_it_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"Use torch\.func\.vmap"):
        fb._C._functorch._add_batch_dim(fb.ones(2), 0, 1)
    with pytest.raises(NotImplementedError, match=r"Use torch\.func\.vmap"):
        fb._C._functorch._remove_batch_dim(fb.ones(2), 1, 2, 0)
    same(fb.vmap(lambda x: x.sum())(fb.ones(2, 3)), torch.vmap(lambda x: x.sum())(torch.ones(2, 3)))
