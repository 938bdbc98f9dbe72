"""How samples become batches."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import flambeau
from flambeau.core.tensor.tensor import Tensor, from_host
from flambeau.utils.data._utils.host import stacked

np_str_obj_array_pattern = re.compile(r"[SaUO]")  # dtypes of which no tensor can be made
default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _with_items(model: Any, items: dict[Any, Any]) -> Any:
    """A mapping like `model` with other values; a plain dict if its class does not let one be made."""
    try:
        made = copy.copy(model)
        made.update(items)
        return made
    except (AttributeError, TypeError):
        return items


def _with_elements(model: Any, elements: list[Any]) -> Any:
    """A sequence like `model` with other elements; a list for tuples and for classes that do not let one be made."""
    if _is_namedtuple(model):
        return type(model)(*elements)
    if isinstance(model, tuple):
        return elements
    try:
        made = copy.copy(model)
        for i, element in enumerate(elements):
            made[i] = element
        return made
    except (AttributeError, TypeError):
        return elements


def default_convert(data: Any) -> Any:
    """Turn every NumPy array and scalar in a nested sample into a tensor; the rest stays as it is."""
    if isinstance(data, Tensor | str | bytes):
        return data
    if isinstance(data, np.ndarray | np.generic):
        return data if data.dtype.kind in "SUO" else flambeau.as_tensor(data)
    if isinstance(data, Mapping):
        return _with_items(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence):
        return _with_elements(data, [default_convert(value) for value in data])
    return data


def collate(batch: Any, *, collate_fn_map: Mapping[Any, Callable[..., Any]] | None = None) -> Any:
    """Make one of a list of samples: containers are kept, and what they hold is put together by `collate_fn_map`.

    The map gives for a type (or a tuple of types) a function `f(batch, *, collate_fn_map)`. Raises TypeError for a
    type that it lacks, RuntimeError for sequences of different lengths.
    """
    first = batch[0]
    known = collate_fn_map or {}
    function = known.get(type(first)) or next((f for kind, f in known.items() if isinstance(first, kind)), None)
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        columns = {key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map) for key in first}
        return _with_items(first, columns)
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            lengths = [len(sample) for sample in batch]
            raise RuntimeError(f"each element in list of batch should be of equal size, got lengths {lengths}")
        elements = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
        return _with_elements(first, elements)
    raise TypeError(default_collate_err_msg_format.format(type(first)))


def collate_tensor_fn(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    """Tensors: stacked along a new first dimension."""
    made = stacked(batch)
    return flambeau.stack(list(batch), 0) if made is None else made


def collate_numpy_array_fn(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    """NumPy arrays: stacked on the host, if they are all alike."""
    first = batch[0]
    if first.dtype.kind in "SUO":
        raise TypeError(default_collate_err_msg_format.format(first.dtype))
    if all(isinstance(a, np.ndarray) and a.dtype == first.dtype and a.shape == first.shape for a in batch):
        return from_host(np.stack(batch))
    return collate([flambeau.as_tensor(a) for a in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    """NumPy scalars: a vector of their type."""
    return from_host(np.asarray(batch))


def collate_float_fn(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    """Python floats: a vector of doubles."""
    return flambeau.tensor(batch, dtype=flambeau.float64)


def collate_int_fn(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    """Python integers and booleans: a vector."""
    return flambeau.tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Strings and bytes: left as they are."""
    return batch


default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch: Any) -> Any:
    """A batch of a list of samples: tensors, arrays and numbers get a new first dimension, containers are kept.

    Tuples become lists; strings stay as they are. Raises TypeError for anything else: pass a `collate_fn` then, or add
    the type to `default_collate_fn_map`.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
