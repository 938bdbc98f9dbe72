"""An option is effective, or it is refused: none of them is taken without a word."""

from __future__ import annotations

import pytest
import torch

import flambeau

FACTORIES = """
arange(3, {}) | eye(2, {}) | linspace(0, 1, 3, {}) | logspace(0, 1, 3, {}) | rand(2, {}) | randn(2, {}) | randint(3, (2,), {})
randperm(3, {}) | full((2,), 1.0, {}) | ones(2, {}) | normal(0.0, 1.0, (2,), {})
tril_indices(2, 2, {}) | empty_strided((2,), (1,), {}) | hann_window(3, {}) | ones(2).new_full((2,), 1.0, {}) | full_like(ones(2), 1.0, {})
rand_like(ones(2), {}) | ones_like(ones(2), {}) | empty_permuted((2, 3), (1, 0), {})
"""
CALLS = [call.strip() for call in FACTORIES.replace("\n", "|").split("|") if call.strip()]
OTHERS = """
linalg.svd(eye(2), driver="gesvd")
linalg.svdvals(eye(2), driver="x")
linalg.eigh(eye(2), UPLO="Z")
cdist(eye(2), eye(2), compute_mode="x")
cdist(eye(2), eye(2), compute_mode="use_mm_for_euclid_dist")
vmap(sin, randomness="x")(ones(2))
autograd.functional.jacobian(sin, ones(2), strict=True, strategy="forward-mode", vectorize=True)
empty(1).resize_(2, 3, memory_format=channels_last)
empty(1).resize_(1, 2, 3, 3, memory_format=channels_last).stride()
arange(8.0).resize_(1, 2, 2, 2, memory_format=channels_last)
arange(8.0).resize_as_(ones(1, 2, 2, 2), memory_format=channels_last)
tensor([1.0], pin_memory=True)
zeros(2, pin_memory=True)
zeros_like(ones(2), pin_memory=True)
ones(2).new_zeros(2, pin_memory=True)
""".strip().splitlines()


class _Names:
    def __init__(self, lib) -> None:
        self.lib = lib

    def __getitem__(self, name: str):
        if hasattr(self.lib, name):
            return getattr(self.lib, name)
        raise KeyError(name)


def outcome(lib, call: str):
    try:
        return str(eval(call, {}, _Names(lib)))
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("call", CALLS)
def test_no_factory_takes_a_layout_that_it_does_not_make(call: str) -> None:
    for layout in ("sparse_coo", "sparse_csr"):
        given = call.format(f"layout={layout}")
        assert isinstance(outcome(torch, given), tuple)
        kind, _ = outcome(flambeau, given)
        assert issubclass(kind, RuntimeError)
    if "tril" not in call:
        assert outcome(flambeau, call.format("pin_memory=True")) == outcome(torch, call.format("pin_memory=True"))
    assert isinstance(outcome(flambeau, call.format("layout=strided")), str)


@pytest.mark.parametrize("call", OTHERS)
def test_other_options(call: str) -> None:
    theirs, ours = outcome(torch, call), outcome(flambeau, call)
    if isinstance(theirs, tuple):
        assert ours[0] is theirs[0] and ours[1].startswith(theirs[1])
    else:
        assert ours == theirs


def test_the_gradient_of_what_is_not_stored_is_refused() -> None:
    x = flambeau.eye(2).to_sparse().requires_grad_()
    with pytest.raises(NotImplementedError, match="masked_grad=False"):
        x.to_dense(masked_grad=False)
    assert x.detach().to_dense(masked_grad=False).tolist() == [[1.0, 0.0], [0.0, 1.0]]
