"""Objects that are no tensors or modules: generators, named results, and what can't be pickled at all."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch

import flambeau as fb


def _through(writer: Any, reader: Any, obj: Any, **options: Any) -> Any:
    file = io.BytesIO()
    writer.save(obj, file, **options)
    file.seek(0)
    return reader.load(file, weights_only=False)


def _used(library: Any) -> Any:
    generator = library.Generator().manual_seed(5)
    library.rand(3, generator=generator)
    library.randn(1, generator=generator)  # keeps a second normal value
    return generator


def _draws(library: Any, generator: Any) -> Any:
    return library.rand(3, generator=generator).tolist(), generator.initial_seed()


@pytest.mark.parametrize("writer", [torch, fb])
@pytest.mark.parametrize("reader", [torch, fb])
def test_a_generator_goes_on_where_it_was(writer: Any, reader: Any) -> None:
    loaded = _through(writer, reader, _used(writer))
    assert type(loaded) is reader.Generator
    assert _draws(reader, loaded) == _draws(torch, _used(torch))


def test_a_generator_in_pythons_own_pickles() -> None:
    expected = _draws(fb, _used(fb))
    theirs = pickle.loads(pickle.dumps(_used(torch)))
    for generator in (pickle.loads(pickle.dumps(_used(fb))), copy.copy(_used(fb)), copy.deepcopy(_used(fb))):
        assert _draws(fb, generator) == expected
    assert _draws(torch, theirs) == expected


@pytest.mark.parametrize("writer", [torch, fb])
@pytest.mark.parametrize("reader", [torch, fb])
@pytest.mark.parametrize("zipped", [True, False])
def test_named_results(writer: Any, reader: Any, zipped: bool) -> None:
    result = writer.max(writer.eye(2), 0)
    loaded = _through(writer, reader, result, _use_new_zipfile_serialization=zipped)
    assert type(loaded) is reader.return_types.max
    assert loaded.values.tolist() == [1.0, 1.0]
    assert loaded.indices.tolist() == [0, 1]


def test_copies_of_named_results() -> None:
    result = fb.sort(fb.tensor([2.0, 1.0]))
    for made in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert type(made) is fb.return_types.sort
        assert made.indices.tolist() == [1, 0]


def _of_lambda(library: Any) -> Any:
    module = library.nn.Linear(1, 1)
    module.activation = lambda x: x
    return module


@pytest.mark.parametrize(
    "make", [_of_lambda, lambda t: {"a": [lambda: 1]}, lambda t: type("Lost", (), {}), lambda t: type("Lost", (), {})()]
)
def test_what_no_name_leads_to(make: Any) -> None:
    raised = []
    for library in (torch, fb):
        with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
            library.save(make(library), io.BytesIO())
        raised.append((type(caught.value), str(caught.value).split(" at 0x")[0]))
    assert raised[0] == raised[1]
