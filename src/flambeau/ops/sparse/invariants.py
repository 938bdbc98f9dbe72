"""What the parts of a tensor with compressed rows or columns must fulfil, with PyTorch's words for what does not."""

from __future__ import annotations

import math

import numpy as np

from ...core.array.dtypes import from_numpy
from ...core.tensor.tensor import Tensor
from .layouts import Kind


def check_dims(kind: Kind, bounds: np.ndarray, places: np.ndarray, values: Tensor) -> None:
    """Raises RuntimeError unless the parts have dimensions and dtypes that go together."""
    first, second = kind.names
    if not bounds.ndim:
        raise RuntimeError(f"{first} must have dimensionality >= 1 but got 0")
    if bounds.ndim != places.ndim:
        raise RuntimeError(
            f"{first} and {second} dimensionalities must be equal but got {bounds.ndim} and {places.ndim}, respectively"
        )
    batch, block = bounds.ndim - 1, 2 * kind.blocks
    if values.ndim <= batch + block:
        raise RuntimeError(
            f"values must have dimensionality > sum of batch and block dimensionalities (={batch} + {block}) but got "
            f"{values.ndim}"
        )
    kinds = [from_numpy(part.dtype).abbr for part in (bounds, places)]
    if kinds[0] != kinds[1]:
        raise RuntimeError(
            f"{first} and {second} must have the same dtype, bot got {kinds[0]} and {kinds[1]}, respectively"
        )
    if kinds[0] not in ("Int", "Long"):
        raise RuntimeError(f"{first} and {second} dtype must be Int or Long, but got {kinds[0]}")


def check_sizes(
    kind: Kind, bounds: np.ndarray, places: np.ndarray, shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    """Raises RuntimeError unless values of this shape, at these places, are those of a tensor of this size."""
    (first, second), batch = kind.names, bounds.ndim - 1
    dense = len(shape) - batch - 1 - 2 * kind.blocks
    if len(size) != batch + 2 + dense:
        raise RuntimeError(
            f"tensor dimensionality must be sum of batch, base, and dense dimensionalities (={batch} + 2 + {dense}) but got "
            f"{len(size)}"
        )
    given = [list(bounds.shape[:-1]), list(places.shape[:-1]), list(shape[:batch]), list(size[:batch])]
    if any(part != given[0] for part in given):
        raise RuntimeError(
            f"all batch dimensions of {first} (={given[0]}), {second} (={given[1]}), and values (={given[2]}) must be equal "
            f"to tensor batch dimensions (={given[3]})"
        )
    if shape[len(shape) - dense :] != size[batch + 2 :]:
        raise RuntimeError(
            f"dense dimensions of values (={list(shape[len(shape) - dense :])}) must be those of the tensor "
            f"(={list(size[batch + 2 :])})"
        )
    block = shape[batch + 1 : batch + 3] if kind.blocks else (1, 1)
    for i in (0, 1):
        if size[batch + i] % block[i]:
            raise RuntimeError(
                f"tensor shape[{batch + i}] (={size[batch + i]}) must be divisible with blocksize[{i}] (={block[i]}) as "
                "defined by values shape"
            )
    counts = (size[batch] // block[0], size[batch + 1] // block[1])
    _check_places(kind, bounds, places, shape[batch], counts if kind.rows else counts[::-1])


def _check_places(kind: Kind, bounds: np.ndarray, places: np.ndarray, nnz: int, counts: tuple[int, int]) -> None:
    (first, second), (across, along) = kind.names, counts
    outer, inner = ("rows", "ncols") if kind.rows else ("columns", "nrows")
    if bounds.shape[-1] != across + 1:
        raise RuntimeError(
            f"{first}.shape[-1] must be equal to the number of {outer} + 1 (={across + 1}), but got {bounds.shape[-1]}"
        )
    if places.shape[-1] != nnz:
        raise RuntimeError(
            f"{second}.shape[-1] must be equal to nnz (={nnz}) as defined by values.shape[{bounds.ndim - 1}], but got "
            f"{places.shape[-1]}"
        )
    if (bounds[..., 0] != 0).any():
        raise RuntimeError(f"`{first}[..., 0] == 0` is not satisfied.")
    if (bounds[..., -1] != nnz).any():
        raise RuntimeError(f"`{first}[..., -1] == nnz` is not satisfied.")
    lengths = np.diff(bounds, axis=-1)
    if (lengths < 0).any() or (lengths > along).any():
        raise RuntimeError(f"`0 <= {first}[..., 1:] - {first}[..., :-1] <= {inner}` is not satisfied.")
    if places.size and (places.min() < 0 or places.max() >= along):
        raise RuntimeError(f"`0 <= {second} < {inner}` is not satisfied.")


def check_order(kind: Kind, bounds: np.ndarray, places: np.ndarray) -> None:
    """Raises RuntimeError unless the places in each row (or column) grow."""
    (first, second), outer = kind.names, "nrows" if kind.rows else "ncols"
    nnz = places.shape[-1]
    begins = bounds[..., :-1] + nnz * np.arange(math.prod(bounds.shape[:-1])).reshape(*bounds.shape[:-1], 1)
    inside = ~np.isin(np.arange(1, places.size), begins)
    if (np.diff(places.reshape(-1))[inside] <= 0).any():
        raise RuntimeError(
            f"`{second}[..., {first}[..., i - 1]:{first}[..., i]] for all i = 1, ..., {outer} are sorted and distinct along "
            "the last dimension values` is not satisfied."
        )
