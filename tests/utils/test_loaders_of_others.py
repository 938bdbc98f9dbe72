"""Loaders that are written on the parts of `torch.utils.data`, and data pipes in a loader, against PyTorch's."""

import os
import signal
import time
from typing import Any

import pytest
import torch
import torch.utils.data.graph_settings

import flambeau
import flambeau.utils.data.graph_settings


def _numbers(t: Any, stream: bool) -> Any:
    class Map(t.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 7

        def __getitem__(self, i: int) -> float:
            return float(i)

    class Stream(t.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Any:
            return iter(map(float, range(7)))

    return Stream() if stream else Map()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [3, None])
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_iterator_on_the_base_class(stream: bool, size: int | None, drop_last: bool) -> None:
    def run(t: Any) -> Any:
        data = t.utils.data

        class Own(data.dataloader._BaseDataLoaderIter):  # type: ignore[misc]
            def __init__(self, loader: Any) -> None:
                super().__init__(loader)
                self._taken = 0
                self._dataset_fetcher = data._DatasetKind.create_fetcher(
                    self._dataset_kind, self._dataset, self._auto_collation, self._collate_fn, self._drop_last
                )

            def _next_index(self) -> Any:
                index = super()._next_index()
                self._taken += 1
                return index

            def _next_data(self) -> Any:
                return self._dataset_fetcher.fetch(self._next_index())

        class Loader(data.DataLoader):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self._dataset_kind = self._dataset_kind

            def _get_iterator(self) -> Any:
                return Own(self)

        t.manual_seed(0)
        drop = drop_last and size is not None
        loader = Loader(_numbers(t, stream), batch_size=size, shuffle=None if stream else True, drop_last=drop)
        made = iter(loader)
        told = (made._num_workers, made._timeout, made._base_seed, made._pin_memory, made._world_size, made._rank)
        batches = [b.tolist() if size else b for b in made]
        ended = getattr(made._dataset_fetcher, "ended", None)
        return told, batches, made._taken, ended, made._num_yielded, t.rand(1).item()

    assert run(flambeau) == run(torch)


def _double(x: int) -> int:
    return 2 * x


@pytest.mark.filterwarnings("ignore:.*shuffle=True")
@pytest.mark.parametrize("shuffle", [None, True, False])
def test_pipes_shuffle_as_in_pytorch(shuffle: bool | None) -> None:
    def run(t: Any) -> Any:
        wrap = t.utils.data.datapipes.iter.IterableWrapper
        seen: list[Any] = []
        for pipe in (
            wrap(range(6)),
            wrap(range(9)).shuffle().map(_double),
            wrap(range(6)).shuffle().map(abs).shuffle(),
        ):
            t.manual_seed(3)
            for generator in (None, t.Generator().manual_seed(5)):
                loader = t.utils.data.DataLoader(pipe, batch_size=2, shuffle=shuffle, generator=generator)
                seen += [[b.tolist() for b in loader] for _ in range(2)] + [t.rand(1).item()]
        return seen

    assert run(flambeau) == run(torch)


# What PyTorch 2.13 gave for the same seed: it forks its workers, which a process in which JAX runs must not do.
SHARED_OUT = [
    [[9, 0], [11, 10], [5, 4], [7, 1], [3, 6], [8, 2]],
    [[10, 0], [11, 3], [8, 9], [2, 6], [5, 7], [1, 4]],
]


@pytest.mark.parametrize("persistent", [False, True])
def test_pipes_are_shared_out_to_workers(persistent: bool) -> None:
    data = flambeau.utils.data
    pipe = data.datapipes.iter.IterableWrapper(range(12)).shuffle().sharding_filter()
    flambeau.manual_seed(0)
    loader: Any = data.DataLoader(pipe, batch_size=2, shuffle=True, num_workers=2, persistent_workers=persistent)
    assert [[b.tolist() for b in loader] for _ in range(2)] == SHARED_OUT


def test_settings_of_graphs() -> None:
    def run(t: Any) -> Any:
        wrap, settings = t.utils.data.datapipes.iter.IterableWrapper, t.utils.data.graph_settings
        worker = t.utils.data._utils.worker
        parts = []
        for world, rank, workers, number in ((1, 0, 2, 1), (2, 1, 2, 0), (2, 0, 3, 2)):
            pipe = wrap(range(24)).sharding_filter()
            worker._worker_info = worker.WorkerInfo(id=number, num_workers=workers, seed=1, dataset=pipe)
            try:
                t.utils.data.dataloader._sharding_worker_init_fn(parts.append, world, rank, number)
            finally:
                worker._worker_info = None
            parts.append(list(pipe))
        generator = t.Generator().manual_seed(1)
        pipe = settings.apply_random_seed(wrap(range(6)).shuffle().map(abs).shuffle(), generator)
        parts += [list(pipe), t.rand(1, generator=generator).item()]
        parts.append(list(settings.apply_sharding(wrap(range(10)).sharding_filter(), 3, 1)))
        with pytest.raises(RuntimeError):
            settings.apply_sharding(wrap(range(10)).sharding_filter().sharding_filter(), 3, 1)
        return parts

    assert run(flambeau) == run(torch)


def test_wrappers_that_are_pickled() -> None:
    import pickle

    def run(t: Any) -> Any:
        pipes = t.utils.data.datapipes
        stream = pipes.datapipe._IterDataPipeSerializationWrapper(pipes.iter.IterableWrapper([1, 2, 3]).map(str))
        by_key = pipes.datapipe._MapDataPipeSerializationWrapper(pipes.map.SequenceWrapper([4, 5]))
        again = pickle.loads(pickle.dumps(stream))
        with pytest.raises(TypeError, match="length"):
            len(pipes.datapipe._IterDataPipeSerializationWrapper(pipes.iter.IterableWrapper(iter([1]))))
        return list(again), type(again).__name__, len(stream), by_key[1], len(by_key)

    assert run(flambeau) == run(torch)


@pytest.mark.parametrize("how", ["killed", "code", "well"])
def test_the_end_of_a_worker_is_told(how: str) -> None:
    watch = flambeau.utils.data._utils.signal_handling
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", {"killed": "sleep 60", "code": "exit 3", "well": "exit 0"}[how]], {})
    watch._set_worker_pids(1, (pid,))
    if how == "killed":
        os.kill(pid, signal.SIGKILL)
    try:
        until = time.monotonic() + 10
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < until:
            time.sleep(0.01)
        if how == "well":
            watch._error_if_any_worker_fails()
        else:
            with pytest.raises(RuntimeError, match="killed by signal" if how == "killed" else "exit code 3"):
                watch._error_if_any_worker_fails()
    finally:
        watch._remove_worker_pids(1)
        os.waitpid(pid, 0)
    with pytest.raises(ValueError):
        watch._remove_worker_pids(1)


def test_names_of_workers() -> None:
    def run(t: Any) -> Any:
        parts = t.utils.data._utils
        return (
            parts.HAS_NUMPY, parts.MP_STATUS_CHECK_INTERVAL, parts.python_exit_status, parts.worker.ManagerWatchdog().is_alive(),
            str(parts.worker._IterableDatasetStopIteration(3)), str(parts.worker._ResumeIteration(4)),
        )  # fmt: skip

    assert run(flambeau) == run(torch)
    flambeau.multiprocessing._set_thread_name("before")
    assert flambeau.multiprocessing._get_thread_name() == "before"
    loader = flambeau.utils.data.DataLoader([1, 2], num_workers=1)
    loader.multiprocessing_context = "spawn"
    assert loader.multiprocessing_context.get_start_method() == "spawn"
