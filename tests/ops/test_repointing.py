"""What may be assigned to `tensor.data`, and the masked tensor's own data."""

import itertools

import pytest
import torch

import flambeau as fb


def kinds(library):
    eye = library.eye(4)
    return [eye, eye.double(), eye.to_sparse(), eye.to_sparse_csr(), library.eye(4, device="meta")]


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(("i", "j"), list(itertools.product(range(5), repeat=2)))
def test_data_is_taken_from_the_same_kind_of_memory_only(i, j):
    said = []
    for library in (fb, torch):
        one, other = kinds(library)[i].clone(), kinds(library)[j]
        possible = library._has_compatible_shallow_copy_type(one, other)
        try:
            one.data = other
            said.append((possible, None))
        except RuntimeError as error:
            said.append((possible, str(error)))
    assert said[0] == said[1]
    assert said[0][0] is (said[0][1] is None)


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_data_is_the_memory_of_a_masked_tensor():
    seen = []
    for library in (fb, torch):
        masked = library.masked.masked_tensor(library.arange(3.0), library.tensor([True, False, True]))
        masked._masked_data[0] = 9.0
        first = masked.get_data().tolist()
        masked._masked_data = library.ones(3)
        seen.append((first, masked.get_data().tolist()))
    assert seen[0] == seen[1]
