"""Forked processes: NumPy's work goes on, whatever needs XLA is refused, and nothing hangs."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from support.process import SOURCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

SETUP = """
import io, os, sys, pickle, copy, multiprocessing
import numpy as np
from concurrent.futures import ProcessPoolExecutor
import flambeau as torch

def used():
    global x, y, view, image, layer, step, loss, fresh, shared
    x = torch.arange(12.0).reshape(3, 4)
    y = x @ x.t()
    view = y[1:, ::2]
    image = torch.nn.Conv2d(3, 4, 3)(torch.randn(2, 3, 8, 8)).detach()
    layer = torch.nn.Linear(4, 4)
    step = torch.compile(lambda a: (a * 2).sum())
    step(x)
    leaf = torch.ones(3, requires_grad=True)
    loss = (leaf * leaf).sum()
    fresh, shared = torch.randn(3), torch.ones(3)
    shared.numpy()

def in_child(work):
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    work()
    sys.exit(7)
"""


def _ours(errors: str) -> str:
    """Without what Python 3.12 and later say by themselves: of every fork beside threads, and of their tracker in a child."""
    if sys.version_info < (3, 12):
        return errors
    fork = r"^.*DeprecationWarning: This process .*multi-threaded, use of fork.*\n"
    tracker = r"^Exception ignored in.*ResourceTracker\.__del__.*\n(^ .*\n|^Traceback.*\n)*^ChildProcessError.*\n"
    return re.sub(f"{fork}|{tracker}", "", errors, flags=re.M)


def python(code: str, limit: float = 120) -> str:
    """What a program prints, which has to end by itself, without a warning."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + textwrap.dedent(code)],
        env={"PYTHONPATH": SOURCE, "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=limit,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not _ours(done.stderr), done.stderr
    return done.stdout


def test_values_can_be_read() -> None:
    """Computed, views, in other layouts, fresh and shared ones; also random draws, copies and pickles."""
    assert (
        python("""
        used()
        wanted = [image.tolist(), repr(y), fresh.tolist(), layer.weight.tolist()]
        def work():
            assert y.numpy().tolist() == [[14.0, 38.0, 62.0], [38.0, 126.0, 214.0], [62.0, 214.0, 366.0]]
            assert (view.numpy() == y.numpy()[1:, ::2]).all() and view.tolist() == view.numpy().tolist()
            assert wanted == [image.tolist(), repr(y), fresh.tolist(), layer.weight.tolist()]
            assert float(y[0, 1]) == y.numpy()[0, 1] and [r.tolist() for r in y] == y.tolist()
            assert torch.tensor(3).item() == 3 and torch.rand(3).numpy().shape == (3,) and bool(torch.tensor(True))
            assert torch.from_numpy(np.ones(2)).numpy().sum() == 2 and shared.numpy().sum() == 3
            assert len(torch.randperm(5).tolist()) == 5 and torch.Generator().manual_seed(3).initial_seed() == 3
            torch.save({"w": layer.weight}, file := io.BytesIO())
            assert torch.load(io.BytesIO(file.getvalue()))["w"].tolist() == wanted[3]
            copy.deepcopy(layer), pickle.dumps(y), torch.nn.Linear(3, 3)
            print("read", flush=True)
        print(in_child(work), (x + 1).sum().item(), step(x).item())
        """)
        == "read\n7 78.0 132.0\n"
    )


def test_computing_is_refused() -> None:
    """Known programs and new ones, operators, compiled functions, gradients, writes, JAX itself."""
    assert (
        python("""
        used()
        import jax.numpy
        attempts = [
            lambda: x + 1, lambda: x @ x.t(), lambda: torch.ones(7, 3) @ torch.ones(3, 2), lambda: layer(x),
            lambda: step(x), lambda: torch.compile(lambda a: a + 1)(x), lambda: loss.backward(), lambda: x.add_(1),
            lambda: x.__setitem__(0, 1.0), lambda: x.double(), lambda: torch.stack([fresh, fresh]),
            lambda: torch.func.vmap(torch.sin)(x), lambda: jax.numpy.ones(3) + 1, lambda: jax.numpy.asarray(np.ones(3)),
            lambda: jax.device_put(np.ones(3)), lambda: torch.cat([x, x]), lambda: torch.nn.functional.conv2d(image, image),
        ]
        def work():
            for attempt in attempts:
                try:
                    print("not refused", attempt())
                except RuntimeError as error:
                    assert "forked" in str(error) and "spawn" in str(error), error
            print("refused", flush=True)
        print(in_child(work))
        """)
        == "refused\n7\n"
    )


def test_computing_with_what_the_child_made_is_refused() -> None:
    """Tensors that NumPy still holds: kernels ask them for a device, writes for a place, checks of indices for values."""
    assert (
        python("""
        used()
        def work():
            nn, F = torch.nn, torch.nn.functional
            i, v, images = torch.randint(0, 4, (5,)), torch.randn(4, 6), torch.randn(2, 3, 8, 8)
            row = torch.randn(2, 6)[0]
            attempts = [
                lambda: nn.Conv2d(3, 4, 3)(images), lambda: nn.ConvTranspose2d(3, 4, 3)(images), lambda: F.max_pool2d(images, 2),
                lambda: nn.Embedding(4, 3)(i), lambda: torch.nonzero(i), lambda: v[v > 0],
                lambda: v.copy_(torch.randn(4, 6)), lambda: row.copy_(row), lambda: v.data_ptr(), lambda: F.one_hot(i, 4),
            ]
            for attempt in attempts:
                try:
                    print("not refused", attempt())
                except RuntimeError as error:
                    assert "forked" in str(error), error
            assert v.fill_(3).tolist() == [[3.0] * 6] * 4 and v.zero_().tolist() == [[0.0] * 6] * 4  # nothing is computed
            assert type(v.numpy()) is type(row.numpy()) is type(np.asarray(v)) is np.ndarray
            assert row.tolist() == row.numpy().tolist() and v.device.type == "cpu" and pickle.loads(pickle.dumps(v.numpy())).shape == (4, 6)
            print("refused", flush=True)
        print(in_child(work))
        """)
        == "refused\n7\n"
    )


def test_pools() -> None:
    """`multiprocessing` and `concurrent.futures`, by fork, also twice; what they compute on tensors comes back as an error."""
    assert python("""
        used()
        def numbers(i):
            return float(np.full(3, i).sum() + y.numpy()[0, 0])
        def tensors(i):
            return torch.from_numpy(np.full(3, float(i)))
        def computes(i):
            return x * i
        context = multiprocessing.get_context("fork")
        for again in range(2):
            with context.Pool(2) as pool:
                print(pool.map(numbers, range(3)), [t.sum().item() for t in pool.map(tensors, range(3))])
                try:
                    pool.map(computes, range(3))
                except RuntimeError as error:
                    print(str(error)[:26])
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                print(list(pool.map(numbers, range(3))), type(pool.submit(computes, 1).exception()).__name__)
        print((x + 1).sum().item())
        """).splitlines() == [
        "[14.0, 17.0, 20.0] [0.0, 3.0, 6.0]",
        "Cannot re-initialize XLA i",
        "[14.0, 17.0, 20.0] RuntimeError",
    ] * 2 + ["78.0"]


def test_before_xla_is_used() -> None:
    """A child of a process that has computed nothing yet computes."""
    assert python("print(in_child(lambda: print((torch.ones(3) + 1).sum().item(), flush=True)))") == "6.0\n7\n"


def test_children_of_children() -> None:
    assert (
        python("""
        used()
        print(in_child(lambda: print(in_child(lambda: print(y.numpy()[0, 0], flush=True)), flush=True)))
        """)
        == "14.0\n7\n7\n"
    )


@pytest.mark.parametrize("context", ["None", "'fork'", "'spawn'", "multiprocessing.get_context('fork')"])
def test_data_loader(context: str) -> None:
    """Also in a forked process, where batches are put together in the host's memory."""
    assert (
        python(f"""
        used()
        data = torch.utils.data.TensorDataset(torch.arange(6.0), torch.arange(6))
        def work():
            loader = torch.utils.data.DataLoader(data, 3, num_workers=2, multiprocessing_context={context})
            print([a.tolist() for a, b in loader], flush=True)
        work()
        print(in_child(work))
        """)
        == "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]\n" * 2 + "7\n"
    )


def test_while_another_thread_computes() -> None:
    assert (
        python("""
        import threading
        used()
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                (torch.ones(300, 300) @ torch.ones(300, 300)).sum().item()
        threads = [threading.Thread(target=busy) for _ in range(2)]
        [t.start() for t in threads]
        print([in_child(lambda: y.numpy().sum()) for _ in range(4)])
        stop.set()
        [t.join() for t in threads]
        """)
        == f"{[7] * 4}\n"
    )
