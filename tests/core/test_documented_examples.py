"""What PyTorch's documentation shows of `asarray`, hooks, `to_sparse`, streams: the cases in which results or errors had differed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb

OPTIONS = [
    {}, {"copy": True}, {"copy": False}, {"requires_grad": None}, {"requires_grad": True}, {"requires_grad": False}, {"dtype": "float64"},
    {"dtype": "float64", "copy": False}, {"copy": True, "requires_grad": True}, {"copy": True, "requires_grad": False},
    {"dtype": "float64", "requires_grad": True}, {"dtype": "float64", "requires_grad": False},
]  # fmt: skip


def said(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.filterwarnings("ignore:torch.asarray")
@pytest.mark.parametrize("source", ["leaf", "node", "plain", "whole"])
def test_asarray_keeps_or_leaves_the_tape(source: str) -> None:
    def seen(library: Any, options: dict[str, Any]) -> Any:
        leaf = library.tensor([1.0, 2.0], requires_grad=True)
        given = {"leaf": leaf, "node": leaf + 1, "plain": leaf.detach(), "whole": leaf.detach().long()}[source]
        if "dtype" in options:
            options = {**options, "dtype": library.float64}
        made = library.asarray(given, **options)
        node = type(made.grad_fn).__name__
        return (
            made.requires_grad,
            made.is_leaf,
            node,
            made is given,
            given.requires_grad,
            str(made.dtype).split(".")[-1],
        )

    for options in OPTIONS:
        assert said(seen, fb, options) == said(seen, torch, options), options


def test_asarray_tells_that_its_default_has_changed() -> None:
    leaf = fb.ones(2, requires_grad=True)
    fb.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match="unspecified requires_grad now defaults to obj.requires_grad"):
            fb.asarray(leaf)
    finally:
        fb.set_warn_always(False)


def test_a_hook_after_accumulation_may_return_its_tensor_alone() -> None:
    def run(library: Any, hook: Any) -> Any:
        v = library.tensor([0.0, 0.0, 0.0], requires_grad=True)
        v.register_post_accumulate_grad_hook(lambda p: hook(library, p))
        told = said(v.backward, library.tensor([1.0, 2.0, 3.0]))
        return (told and (told[0], told[1].split(": it")[0])), v.tolist(), v.grad.tolist()

    for hook in (
        lambda t, p: p.add_(p.grad, alpha=-0.5), lambda t, p: None, lambda t, p: 3, lambda t, p: t.ones(3), lambda t, p: t.ones(2),
        lambda t, p: (t.ones(3),),
    ):  # fmt: skip
        assert run(fb, hook) == run(torch, hook)


@pytest.mark.filterwarnings("ignore:Sparse")  # PyTorch's notes that its forms are young
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "strided"])
def test_to_sparse_minds_every_argument(layout: str) -> None:
    def made(library: Any, source: str, options: dict[str, Any]) -> Any:
        flat, deep = library.tensor([[0.0, 1], [2, 0], [0, 3]]), library.ones(2, 3, 4)
        given = {"dense": flat, "deep": deep, "coo": flat.to_sparse(), "csr": flat.to_sparse_csr()}[source]
        result = given.to_sparse(layout=getattr(library, layout), **options)
        dense = result.dense_dim() if result.layout is not library.strided else None
        return str(result.layout).split(".")[-1], dense, result.to_dense().tolist()

    for source in ("dense", "deep", "coo", "csr"):
        for options in ({}, {"blocksize": (3, 1)}, *({"dense_dim": n} for n in (0, 1, 2, 3, -1))):
            ours, theirs = said(made, fb, source, options), said(made, torch, source, options)
            if len(ours) == 2:  # PyTorch names one function for both
                ours = ours[0], ours[1].replace("dense_to_sparse_bsr", "dense_to_sparse")
            assert ours == theirs, (source, options)


def test_streams_and_events_of_the_cpu() -> None:
    def seen(library: Any) -> Any:
        stream, event = library.Stream(device="cpu"), library.Event(device="cpu", enable_timing=True)
        with stream as entered:
            same = entered is stream
        calls = (
            stream.query, stream.synchronize, lambda: stream.wait_event(event), lambda: stream.wait_stream(stream), stream.record_event,
            event.query, event.synchronize, event.wait, event.record, lambda: event.elapsed_time(event), lambda: stream.native_handle,
            lambda: event.elapsed_time(library.Event(device="cpu")), stream.is_capturing,
        )  # fmt: skip
        told = [said(call) for call in calls]
        return (
            same,
            repr(stream),
            repr(event),
            stream == library.Stream(device="cpu"),
            [stream.device_type, stream.device_index],
            told,
        )

    assert seen(fb) == seen(torch)
    if not fb.cuda.is_available():
        assert str(fb.Stream().device) == str(fb.Event().device) == "cpu"
        with pytest.raises(RuntimeError, match="PyTorch is not linked with support for cuda devices"):
            fb.Stream(device="cuda")
        with pytest.raises(RuntimeError, match="Cannot access accelerator"), fb.accelerator.device_index(0):
            pass
        with fb.accelerator.device_index(None):
            pass


@pytest.mark.filterwarnings("ignore:Sparse")
def test_narrow_copy_and_reduced_products_of_sparse_tensors() -> None:
    def cases(library: Any) -> list[Any]:
        flat = library.tensor([[1.0, 0, 2], [0, 3, 0]])
        deep = library.arange(16.0).reshape(2, 2, 2, 2).to_sparse(1)
        dense = library.tensor([[1.0, -2], [3, 4], [-5, 6]])

        def narrowed(of: Any, *place: int) -> Any:
            found = of.narrow_copy(*place)
            return found.to_dense().tolist(), found._nnz(), found.sparse_dim()

        places = ((0, 0, 1), (1, 1, 1), (0, 1, 0), (1, 0, 2))
        made = [said(narrowed, of, *place) for of in (flat.to_sparse(), deep) for place in places]
        texts = [said(narrowed, flat.to_sparse(), *place) for place in ((-1, 1, 2), (0, -1, 1))]
        texts.append(said(narrowed, flat.to_sparse_csr(), 0, 0, 1))
        made += [(kind, text.split(" The range")[0].split(":")[0]) for kind, text in texts]
        return made + [
            library.sparse.mm(flat.to_sparse_csr(), dense, how).tolist() for how in ("max", "min", "amax", "mean")
        ]

    assert cases(fb) == cases(torch)
    assert fb.masked._ops.amax is fb.masked.amax


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_shapes_of_jagged_tensors_may_be_cut_and_joined() -> None:
    def seen(library: Any) -> list[str]:
        jagged = library.nested.nested_tensor([library.ones(2, 3), library.ones(4, 3)], layout=library.jagged)
        shape = jagged.shape
        name = str(shape[1])  # which counts in each library
        parts = [
            shape[:2],
            shape[1:],
            shape + jagged.unsqueeze(-1).shape[3:],
            jagged.view(*shape[:2], 3, 1).shape,
            jagged.view(shape).shape,
        ]
        return [str(part).replace(name, "j") for part in parts] + [str(type(shape[:2]) is type(shape))]

    assert seen(fb) == seen(torch)
