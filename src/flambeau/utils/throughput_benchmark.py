"""`torch.utils.ThroughputBenchmark`: how many calls of a module several threads make in a second."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from flambeau.autograd._recorder import _memory, _tensors, wait
from flambeau.core.context.grad_mode import no_grad

__all__ = ["ExecutionStats", "ThroughputBenchmark", "format_time"]


def format_time(time_us: float | None = None, time_ms: float | None = None, time_s: float | None = None) -> str:
    """A time, given in one unit, in the unit that suits it. AssertionError unless exactly one is given."""
    given = [t for t in (time_us, time_ms, time_s) if t is not None]
    if len(given) != 1:
        raise AssertionError("exactly one of time_us, time_ms and time_s is to be given")
    us = time_us if time_us is not None else time_ms * 1e3 if time_ms is not None else time_s * 1e6  # type: ignore[operator]
    for unit, scale in (("s", 1e6), ("ms", 1e3)):
        if us >= scale:
            return f"{us / scale:.3f}{unit}"
    return f"{us:.3f}us"


class _Config(NamedTuple):
    num_calling_threads: int
    num_warmup_iters: int
    num_iters: int


class ExecutionStats:
    """What a benchmark came to."""

    def __init__(self, latency_avg_ms: float, num_iters: int, benchmark_config: _Config):
        self.latency_avg_ms = latency_avg_ms
        self.num_iters = num_iters
        self.benchmark_config = benchmark_config

    @property
    def iters_per_second(self) -> float:
        """Calls of all threads in a second."""
        return self.benchmark_config.num_calling_threads / (self.latency_avg_ms / 1000)

    @property
    def total_time_seconds(self) -> float:
        """How long it took."""
        return self.num_iters * (self.latency_avg_ms / 1000) / self.benchmark_config.num_calling_threads

    def __str__(self) -> str:
        return "\n".join(
            [
                f"Average latency per example: {format_time(time_ms=self.latency_avg_ms)}",
                f"Total number of iterations: {self.num_iters}",
                f"Total number of iterations per second (of all threads together): {self.iters_per_second:.2f}",
                f"Total time: {format_time(time_s=self.total_time_seconds)}",
            ]
        )


class ThroughputBenchmark:
    """Calls a module with inputs that were added, in turn, from several threads; each call waits for its result."""

    def __init__(self, module: Any):
        self._module = module
        self._inputs: list[tuple[Any, Any]] = []

    def add_input(self, *args: Any, **kwargs: Any) -> None:
        """Another input."""
        self._inputs.append((args, kwargs))

    def run_once(self, *args: Any, **kwargs: Any) -> Any:
        """One call, as the benchmark makes it."""
        with no_grad():
            made = self._module(*args, **kwargs)
        wait(map(_memory, _tensors(made)))
        return made

    def benchmark(
        self,
        num_calling_threads: int = 1,
        num_warmup_iters: int = 10,
        num_iters: int = 100,
        profiler_output_path: str = "",
    ) -> ExecutionStats:
        """Measure. Raises RuntimeError without inputs."""
        if not self._inputs:
            raise RuntimeError("ThroughputBenchmark: no inputs were added; call add_input() first")
        if profiler_output_path:
            raise NotImplementedError("ThroughputBenchmark: profile with torch.profiler around the call")
        left, lock, spent, failed = [num_iters], threading.Lock(), [0.0] * num_calling_threads, []
        ready = threading.Barrier(num_calling_threads)

        def work(thread: int) -> None:
            try:
                for i in range(num_warmup_iters):
                    args, kwargs = self._inputs[i % len(self._inputs)]
                    self.run_once(*args, **kwargs)
                ready.wait()
                began = time.perf_counter()
                while True:
                    with lock:
                        left[0] -= 1
                        mine = left[0]
                    if mine < 0:
                        break
                    args, kwargs = self._inputs[mine % len(self._inputs)]
                    self.run_once(*args, **kwargs)
                spent[thread] = time.perf_counter() - began
            except Exception as error:
                failed.append(error)
                ready.abort()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(num_calling_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise next((e for e in failed if not isinstance(e, threading.BrokenBarrierError)), failed[0])
        config = _Config(num_calling_threads, num_warmup_iters, num_iters)
        return ExecutionStats(sum(spent) * 1000 / num_iters, num_iters, config)
