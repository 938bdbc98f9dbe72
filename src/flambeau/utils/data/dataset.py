"""Data sets: what has samples, by index or as a stream."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from flambeau.core.context import generator as random
from flambeau.core.context.tracing import refuse_in_trace
from flambeau.core.dispatch.messages import message
from flambeau.core.tensor.tensor import Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]


_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class Dataset(Generic[_T_co]):
    """Samples by index: a subclass gives `__getitem__`, and `__len__` if it is to be sampled in full.

    It may also give `__getitems__`, which takes the list of a batch's indices and returns the list of its samples.
    """

    def __getitem__(self, index: Any) -> _T_co:
        raise NotImplementedError(
            f"Subclasses of Dataset should implement __getitem__. {type(self).__name__} does not."
        )

    def __add__(self, other: Dataset[_T_co]) -> ConcatDataset[_T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[_T_co], Iterable[_T_co]):
    """Samples as a stream: a subclass gives `__iter__`.

    With several workers each of them iterates over the data set: `get_worker_info()` says which share is its own.
    """

    def __add__(self, other: Dataset[_T_co]) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of one length, side by side: sample `i` is the tuple of their `i`-th rows."""

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        lengths = [tensor.shape[0] for tensor in tensors]
        if len(set(lengths)) > 1:
            raise AssertionError(f"Size mismatch between tensors: their first dimensions are {lengths}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset[Any]):
    """Data sets of one length, side by side: samples are tuples, or dicts if they are given by name."""

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(message("stack_of_both_kinds"))
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        lengths = [len(part) for part in self._parts]
        if len(set(lengths)) > 1:
            raise ValueError(f"Size mismatch between datasets: their lengths are {lengths}")

    @property
    def _parts(self) -> tuple[Any, ...]:
        return tuple(self.datasets.values()) if isinstance(self.datasets, dict) else self.datasets

    def _sample(self, parts: Iterable[Any]) -> Any:
        return dict(zip(self.datasets, parts, strict=True)) if isinstance(self.datasets, dict) else tuple(parts)

    def __getitem__(self, index: Any) -> Any:
        return self._sample(part[index] for part in self._parts)

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = [_take(part, indices) for part in self._parts]
        return [self._sample(row) for row in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return len(self._parts[0])


def _take(dataset: Any, indices: Sequence[Any]) -> list[Any]:
    """The samples at `indices`, at once if the data set can."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples = dataset.__getitems__(indices)
        if len(samples) != len(indices):
            raise ValueError(f"__getitems__ was asked for {len(indices)} samples and returned {len(samples)}")
        return samples
    return [dataset[i] for i in indices]


class ConcatDataset(Dataset[_T_co]):
    """Data sets one after the other."""

    datasets: list[Dataset[_T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[_T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset: use ChainDataset for streams")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """The ends of the parts when they are laid end to end."""
        return list(itertools.accumulate(len(part) for part in sequence))

    @property
    def cummulative_sizes(self) -> list[int]:
        """`cumulative_sizes`, by the name that it once had (FutureWarning)."""
        warnings.warn("`cummulative_sizes` attribute is renamed to `cumulative_sizes`", FutureWarning, stacklevel=2)
        return self.cumulative_sizes

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> _T_co:
        length = len(self)
        if idx < -length:
            raise ValueError(f"absolute value of index should not exceed dataset length, got {idx} of {length}")
        if idx >= length:
            raise IndexError(f"index {idx} is out of range for a ConcatDataset of {length} samples")
        position = idx + length if idx < 0 else idx
        part = bisect.bisect_right(self.cumulative_sizes, position)
        start = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][position - start]


class ChainDataset(IterableDataset[Any]):
    """Streams one after the other."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError(f"ChainDataset only supports IterableDataset, got {type(dataset).__name__}")
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._streams())

    def __len__(self) -> int:
        return sum(len(stream) for stream in self._streams())


class Subset(Dataset[_T_co]):
    """The samples of a data set at the given indices.

    A subclass that changes `__getitem__` must change `__getitems__` too, since the loader asks for whole batches.
    """

    dataset: Any  # its own length and names are unknown to a type checker
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[_T_co] | Sequence[_T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, idx: Any) -> _T_co:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[_T_co]:
        cls = type(self)
        if cls.__getitem__ is not Subset.__getitem__ and cls.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{cls.__name__} overrides Subset.__getitem__ but not __getitems__, which the loader calls; add "
                "`def __getitems__(self, indices): return [self[i] for i in indices]`"
            )
        return _take(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[_T] | Sequence[_T],
    lengths: Sequence[int | float],
    generator: random.Generator | None = random.default_generator,
) -> list[Subset[_T]]:
    """Divide a data set at random into parts of the given lengths.

    Fractions that sum to 1 give lengths rounded down; the samples left over go one by one to the first parts.
    Raises ValueError if the lengths do not sum to the data set's.
    """
    total = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _whole_lengths(lengths, total)
    if sum(lengths) != total:
        raise ValueError(
            f"Sum of input lengths does not equal the length of the input dataset! The parts {list(lengths)} sum to "
            f"{sum(lengths)}, the dataset has {total} samples"
        )
    if not all(isinstance(length, int) for length in lengths):
        raise TypeError(f"random_split: lengths must be integers, or fractions that sum to 1, got {list(lengths)}")
    refuse_in_trace("draws an order (random_split)")
    order = (generator or random.default_generator).permutation(total).tolist()
    ends = list(itertools.accumulate(int(length) for length in lengths))
    return [Subset(dataset, order[end - int(length) : end]) for end, length in zip(ends, lengths, strict=True)]


def _whole_lengths(fractions: Sequence[float], total: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"{message('split_fraction_outside', index=i)}: it is {fraction}")
    counts = [math.floor(total * fraction) for fraction in fractions]
    for i in range(total - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if count == 0:
            warnings.warn(message("split_without_samples", index=i))
    return counts
