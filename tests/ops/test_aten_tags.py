"""`torch.ops.aten.*.tags` against PyTorch's."""

from importlib import resources

import torch

import flambeau


def _find(library, full):
    name, _, overload = full.partition(".")
    return getattr(getattr(library.ops.aten, name, None), overload or "default", None)


def _tags(op):
    return [(tag.name, int(tag)) for tag in op.tags]


def test_every_operator_has_pytorchs_tags():
    lines = resources.files("flambeau.ops").joinpath("aten_schemas.txt").read_text().splitlines()
    names = [line[: line.index("(")] for line in lines]
    pairs = {name: (_find(flambeau, name), _find(torch, name)) for name in names}
    pairs = {name: pair for name, pair in pairs.items() if None not in pair}
    assert len(pairs) > 3000
    assert {name: _tags(ours) for name, (ours, _) in pairs.items()} == {
        n: _tags(theirs) for n, (_, theirs) in pairs.items()
    }


def test_the_tags_are_pytorchs():
    ours = {name: (int(tag), str(tag), repr(tag)) for name, tag in flambeau.Tag.__members__.items()}
    assert ours == {name: (int(tag), str(tag), repr(tag)) for name, tag in torch.Tag.__members__.items()}
