"""Data sets, samplers and the loader: every case is run with PyTorch and with flambeau, and must come out alike."""

import collections
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data

import flambeau as fb
import flambeau.utils.data
from support.programs import agree

Point = collections.namedtuple("Point", "x y")


def plain(value):
    """Any outcome as comparable plain values: tensors by dtype and content, exceptions by type."""
    if isinstance(value, torch.Tensor | fb.Tensor):
        return (str(value.dtype), tuple(value.shape), value.tolist())
    if isinstance(value, dict):
        return (type(value).__name__, {k: plain(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return (type(value).__name__, [plain(v) for v in value])
    return value


def outcome(function, lib):
    try:
        return plain(function(lib))
    except Exception as error:
        return type(error)


def both(function):
    """Run `function(torch)` and `function(flambeau)` from the same seed; returns flambeau's outcome."""
    torch.manual_seed(0)
    expected = outcome(function, torch)
    fb.manual_seed(0)
    ours = outcome(function, fb)
    assert ours == expected
    assert fb.rand(1).tolist() == torch.rand(1).tolist()  # as much was drawn from the default generator
    return ours


def pairs(lib, n=10):
    return lib.utils.data.TensorDataset(lib.arange(float(n)), lib.arange(n))


def stream(lib, n=7, sized=False):
    def __iter__(self):
        info = lib.utils.data.get_worker_info()
        return iter(range(n) if info is None else range(info.id, n, info.num_workers))

    members = {"__iter__": __iter__, **({"__len__": lambda self: n} if sized else {})}
    return type("Stream", (lib.utils.data.IterableDataset,), members)()


def data(lib):
    return lib.utils.data


CASES = {
    "tensors": lambda t: [pairs(t)[3], pairs(t)[-1], len(pairs(t))],
    "tensors that do not match": lambda t: data(t).TensorDataset(t.zeros(2), t.zeros(3)),
    "stack": lambda t: [data(t).StackDataset([1, 2], [3, 4])[1], data(t).StackDataset(a=[1, 2], b=[3, 4])[0]],
    "stack, many": lambda t: data(t).StackDataset(a=[1, 2, 5], b=[3, 4, 6]).__getitems__([0, 2]),
    "stack of unequal": lambda t: data(t).StackDataset([1], [1, 2]),
    "stack of both kinds": lambda t: data(t).StackDataset([1], x=[1]),
    "stack of nothing": lambda t: data(t).StackDataset(),
    "concat": lambda t: [(pairs(t) + pairs(t, 3))[i] for i in (0, 9, 10, 12, -1, -13)],
    "concat sizes": lambda t: data(t).ConcatDataset([[1], [2, 3]]).cumulative_sizes,
    "concat of nothing": lambda t: data(t).ConcatDataset([]),
    "concat of a stream": lambda t: data(t).ConcatDataset([stream(t)]),
    "concat beyond": lambda t: (pairs(t) + pairs(t))[20],
    "concat far below": lambda t: (pairs(t) + pairs(t))[-21],
    "chain": lambda t: list(stream(t) + stream(t)),
    "chain length": lambda t: len(stream(t, 3, True) + stream(t, 4, True)),
    "chain without length": lambda t: len(stream(t) + stream(t)),
    "chain of a map": lambda t: list(data(t).ChainDataset([pairs(t)])),
    "abstract": lambda t: data(t).Dataset()[0],
    "abstract stream": lambda t: data(t).IterableDataset(),
    "abstract sampler": lambda t: iter(data(t).Sampler()),
    "subset": lambda t: [data(t).Subset(pairs(t), [4, 2])[1], data(t).Subset(pairs(t), [4, 2, 1])[[0, 2]]],
    "subset, many": lambda t: data(t).Subset(pairs(t), [4, 2, 7]).__getitems__([0, 2]),
    "split": lambda t: [list(s.indices) for s in data(t).random_split(range(10), [3, 7])],
    "split by shares": lambda t: [list(s.indices) for s in data(t).random_split(range(11), [0.3, 0.3, 0.4])],
    "split, own generator": lambda t: [
        list(s.indices) for s in data(t).random_split(range(9), [4, 5], t.Generator().manual_seed(3))
    ],
    "split short": lambda t: data(t).random_split(range(10), [3, 3]),
    "split over": lambda t: data(t).random_split(range(10), [0.5, 0.6]),
    "split odd share": lambda t: data(t).random_split(range(10), [1.5, -0.5]),
    "random": lambda t: list(data(t).RandomSampler(range(10))),
    "random, more": lambda t: list(data(t).RandomSampler(range(10), num_samples=25)),
    "random, fewer": lambda t: list(data(t).RandomSampler(range(10), num_samples=4)),
    "random, replaced": lambda t: list(data(t).RandomSampler(range(10), True, 45)),
    "random, empty": lambda t: data(t).RandomSampler([]),
    "random, bad flag": lambda t: data(t).RandomSampler(range(3), replacement=1),
    "random, bad count": lambda t: data(t).RandomSampler(range(3), num_samples="a"),
    "subset sampler": lambda t: list(data(t).SubsetRandomSampler([3, 5, 9, 1])),
    "weighted": lambda t: list(data(t).WeightedRandomSampler([1, 2, 0.0, 3], 9)),
    "weighted, not replaced": lambda t: list(data(t).WeightedRandomSampler([1, 2, 0.0, 3], 3, replacement=False)),
    "weighted, too many": lambda t: list(data(t).WeightedRandomSampler([1, 2], 5, replacement=False)),
    "weighted, two dimensions": lambda t: data(t).WeightedRandomSampler([[1, 2]], 5),
    "weighted, none": lambda t: data(t).WeightedRandomSampler([1, 2], 0),
    "weights": lambda t: data(t).WeightedRandomSampler([1, 2], 5).weights,
    "batches": lambda t: list(data(t).BatchSampler(range(7), 3, False)),
    "batches, whole": lambda t: list(data(t).BatchSampler(range(7), 3, True)),
    "batches, counted": lambda t: [len(data(t).BatchSampler(range(n), 3, d)) for n in (6, 7) for d in (True, False)],
    "batches of 0": lambda t: data(t).BatchSampler(range(7), 0, False),
    "batches of True": lambda t: data(t).BatchSampler(range(7), True, False),
    "batches, bad flag": lambda t: data(t).BatchSampler(range(7), 2, 1),
    "convert": lambda t: data(t).default_convert(
        [1, np.zeros(2), "a", {"a": np.int64(3)}, Point(np.zeros(1), 2), (np.float32(1),), None]
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_pytorch(case):
    both(CASES[case])


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        [1, 2.5],
        [1.5, 2],
        [True, False],
        ["a", "b"],
        [b"a"],
        [(1, 2.0), (3, 4.0)],
        [[1, 2], [3, 4]],
        [{"a": 1, "b": (1, 2)}, {"a": 3, "b": (3, 4)}],
        [Point(1, 2.0), Point(3, 4.0)],
        [np.float32(1), np.float32(2)],
        [np.int64(3)],
        [np.bool_(True)],
        [np.zeros(2), np.ones(2)],
        [np.array(3.0), np.array(2.0)],
        [collections.OrderedDict(a=1), collections.OrderedDict(a=2)],
        [range(2), range(2)],
        [[1], [1, 2]],
        [np.zeros(2), np.zeros(3)],
        [np.array("a")],
        [None],
        [object()],
        [{1}],
        [1 + 2j],
        [],
    ],
    ids=lambda batch: str(batch).split(" at 0x")[0],
)
def test_collate(batch):
    both(lambda t: data(t).default_collate(batch))


def test_collate_tensors():
    both(lambda t: data(t).default_collate([(t.ones(2), 1), (t.zeros(2), 2)]))
    both(lambda t: data(t).default_collate([t.zeros(2), t.zeros(3)]))


def test_collate_can_be_taught_a_type():
    class Word(str):
        pass

    table = data(fb)._utils.collate.default_collate_fn_map
    table[Word] = lambda batch, *, collate_fn_map: "+".join(batch)
    try:
        assert data(fb).default_collate([{"w": Word("a")}, {"w": Word("b")}]) == {"w": "a+b"}
    finally:
        del table[Word]


LOADERS = [
    {},
    {"batch_size": 3},
    {"batch_size": 3, "drop_last": True},
    {"batch_size": 4, "shuffle": True},
    {"batch_size": None},
    {"batch_size": None, "shuffle": True},
    {"batch_size": 3, "sampler": [5, 1, 2, 2]},
    {"batch_sampler": [[1, 2], [5]]},
    {"batch_size": 4, "collate_fn": len},
    {"batch_size": 0},
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"persistent_workers": True},
    {"shuffle": True, "sampler": [1]},
    {"batch_sampler": [[1]], "batch_size": 2},
    {"batch_sampler": [[1]], "shuffle": True},
    {"batch_size": None, "drop_last": True},
    {"multiprocessing_context": "fork"},
]


@pytest.mark.parametrize("options", LOADERS, ids=str)
def test_loader(options):
    both(lambda t: [list(data(t).DataLoader(pairs(t), **options)), len(data(t).DataLoader(pairs(t), **options))])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 3},
        {"batch_size": 3, "drop_last": True},
        {"batch_size": None},
        {"shuffle": True},
        {"shuffle": False},
        {"sampler": [1]},
        {"batch_sampler": [[1]]},
    ],
    ids=str,
)
@pytest.mark.parametrize("sized", [True, False])
def test_loader_of_a_stream(options, sized):
    both(lambda t: list(data(t).DataLoader(stream(t, 7, sized), **options)))
    both(lambda t: len(data(t).DataLoader(stream(t, 7, sized), **options)))


@pytest.mark.parametrize(
    "options", [{"shuffle": True}, {"batch_size": 4}, {"batch_size": None, "shuffle": True}], ids=str
)
def test_own_generator(options):
    def run(t):
        generator = t.Generator().manual_seed(5)
        loader = data(t).DataLoader(pairs(t), generator=generator, **options)
        return [list(loader), list(loader), t.rand(2, generator=generator)]

    both(run)


def test_two_epochs_differ_and_follow_the_seed():
    both(lambda t: [list(data(t).DataLoader(pairs(t), 5, shuffle=True)) for _ in range(2)])


def test_samples_of_lists_subsets_and_getitems():
    both(lambda t: list(data(t).DataLoader([(1, 2.0), (3, 4.0), (5, 6.0)], batch_size=2)))
    both(lambda t: list(data(t).DataLoader(data(t).Subset(data(t).Subset(pairs(t), [7, 8, 9]), [2, 0]), batch_size=2)))
    both(lambda t: list(data(t).DataLoader(data(t).StackDataset(a=pairs(t), b=range(10)), batch_size=4)))
    both(lambda t: list(data(t).DataLoader(pairs(t) + pairs(t), batch_size=7)))


def views(t, x):
    """Tensors of one shape (but for the last) that look at other ones' memory in many ways."""
    columns = t.arange(6.0).view(2, 3).T
    shared = t.from_numpy(np.arange(6.0, dtype="f4").reshape(3, 2))
    made = [columns, columns.flip(0), x[1], x[:, 1], x[:3, 2], x[2].expand(3, 2), shared, shared + 1, x[::2, 0]]
    shared[0] = 7
    columns.mul_(2)
    return [*made, x[0].to(t.bfloat16)]


@pytest.mark.parametrize("i", range(10))
def test_collating_views(i):
    def run(t):
        some = views(t, t.arange(72.0).view(12, 3, 2).transpose(0, 1)[:, :3])
        return data(t).default_collate([some[i], some[i]])

    both(run)


def test_batches_are_copies():
    def run(t):
        x = t.arange(6.0)
        (batch,) = next(iter(data(t).DataLoader(data(t).TensorDataset(x), batch_size=3)))
        first = data(t).default_collate([x[:2], x[2:4]])
        batch.zero_()
        first.zero_()
        x.add_(1)
        return [x, batch, first]

    both(run)


def test_a_batch_of_tensors_has_the_samples_gradient():
    def run(t):
        x = t.arange(4.0, requires_grad=True)
        (batch,) = next(iter(data(t).DataLoader(data(t).TensorDataset(x), batch_size=2)))
        (batch * t.tensor([2.0, 3.0])).sum().backward()
        return x.grad

    both(run)


def test_a_subset_that_overrides_half():
    def run(t):
        half = type("Half", (data(t).Subset,), {"__getitem__": lambda self, i: 0})
        return list(data(t).DataLoader(half(pairs(t), [1]), batch_size=1))

    assert outcome(run, fb) is outcome(run, torch) is NotImplementedError


@pytest.mark.parametrize(
    "name", ["batch_size", "dataset", "sampler", "drop_last", "batch_sampler", "persistent_workers"]
)
def test_what_is_fixed(name):
    both(lambda t: setattr(data(t).DataLoader(pairs(t)), name, 3))


def test_generic_names():
    assert data(fb).Dataset[int] and data(fb).Sampler[int] and data(fb).DataLoader[int]


@pytest.mark.parametrize("given", ["bogus", 3, "spawn", None])
def test_multiprocessing_context(given: Any) -> None:
    def kind(t: Any) -> Any:
        loader = t.utils.data.DataLoader(
            t.utils.data.TensorDataset(t.arange(4)), 2, num_workers=1, multiprocessing_context=given
        )
        return type(loader.multiprocessing_context).__name__

    agree(kind, words=30)


@pytest.mark.parametrize("library", [fb, torch])
def test_iterators_of_a_loader_that_is_none_of_ours(library: Any) -> None:
    """fastai gives PyTorch's iterators a look-alike, whose data set is iterated although it is no IterableDataset."""
    from itertools import count

    iterators = library.utils.data.dataloader

    class LookAlike:
        _IterableDataset_len_called, _auto_collation, drop_last, in_order = None, False, False, True
        generator, prefetch_factor, worker_init_fn, multiprocessing_context = None, 2, None, None
        num_workers, timeout, pin_memory, pin_memory_device, persistent_workers = 0, 0, False, "", False
        dataset_kind = _dataset_kind = iterators._DatasetKind.Iterable
        _index_sampler = count()

        def __init__(self) -> None:
            self.dataset = self

        def collate_fn(self, value: Any) -> Any:
            return value * 2

        def __iter__(self) -> Any:
            return iter([1, 2, 3])

    assert list(iterators._SingleProcessDataLoaderIter(LookAlike())) == [2, 4, 6]


class Pinned:
    def pin_memory(self) -> str:
        return "pinned"


def test_pinning_goes_through_containers() -> None:
    for batch in (1, "s", None, b"x", [Pinned(), 1], (Pinned(),), Point(Pinned(), 3), {"a": [Pinned()]}, range(3)):
        ours, theirs = (data._utils.pin_memory.pin_memory(batch) for data in (fb.utils.data, torch.utils.data))
        assert type(ours) is type(theirs) and ours == theirs


def test_the_state_of_numpy_in_a_worker() -> None:
    for seed, worker in ((0, 0), (12345678901234, 3)):
        ours, theirs = (data._utils.worker._generate_state(seed, worker) for data in (fb.utils.data, torch.utils.data))
        assert ours == theirs


OF_ONE_TEXT = [
    lambda t: t.utils.data.random_split(range(4), [0.5, 1.2, -0.7]),
    lambda t: t.utils.data.StackDataset(range(2), a=range(2)),
    lambda t: setattr(t.utils.data.DataLoader(range(2)), "multiprocessing_context", "fork"),
    lambda t: setattr(t.utils.data.DataLoader(range(2), num_workers=1), "multiprocessing_context", "no"),
    lambda t: setattr(t.utils.data.DataLoader(range(2), num_workers=1), "multiprocessing_context", 3),
]


@pytest.mark.parametrize("code", OF_ONE_TEXT)
def test_error_texts(code):
    texts = []
    for lib in (torch, fb):
        with pytest.raises((ValueError, TypeError)) as caught:
            code(lib)
        texts.append((caught.type, str(caught.value)))
    assert texts[1][0] is texts[0][0] and texts[1][1].startswith(texts[0][1])


def test_a_context_is_set_by_the_name_of_its_start_method():
    for lib in (torch, fb):
        loader = lib.utils.data.DataLoader(range(2), num_workers=1)
        assert loader.multiprocessing_context is None
        loader.multiprocessing_context = "spawn"
        assert type(loader.multiprocessing_context).__name__ == "SpawnContext"


def test_texts_of_warnings():
    for lib in (torch, fb):
        with pytest.warns(
            UserWarning, match="^Length of split at index 1 is 0. This might result in an empty dataset.$"
        ):
            lib.utils.data.random_split(range(2), [0.9, 0.1])
        with pytest.warns(FutureWarning, match="^`cummulative_sizes` attribute is renamed to `cumulative_sizes`$"):
            assert lib.utils.data.ConcatDataset([range(3)]).cummulative_sizes == [3]
