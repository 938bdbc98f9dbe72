"""What `from torch.utils.data import *` brings, against PyTorch's."""

import torch

import flambeau


def test_a_star_import_brings_pytorchs_names():
    assert sorted(flambeau.utils.data.__all__) == sorted(torch.utils.data.__all__)
    assert all(hasattr(flambeau.utils.data, name) for name in flambeau.utils.data.__all__)
