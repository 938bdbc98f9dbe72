"""Signals that arrive while XLA computes change no memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import signal, sys, time
import flambeau as fb

seen = []
timer, number = (signal.ITIMER_REAL, signal.SIGALRM) if sys.argv[1] == "alarm" else (signal.ITIMER_PROF, signal.SIGPROF)
signal.signal(number, lambda *_: seen.append(1))
layer, x, gradient = fb.nn.Linear(256, 1000), fb.randn(2048, 256), fb.randn(2048, 1000)


def weights():
    layer.zero_grad()
    layer(x).backward(gradient)
    return layer.weight.grad.clone()


first = weights()
signal.setitimer(timer, 0.001, 0.001)
end = time.time() + 1.2
while time.time() < end:
    assert fb.equal(weights(), first)
signal.setitimer(timer, 0)
del layer, x, gradient
print(len(seen) > 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals go to whole threads on Linux")
@pytest.mark.parametrize("which", ["alarm", "profiler"])
def test_a_signal_during_a_product_changes_no_memory(which, monkeypatch):
    monkeypatch.setenv("FLAMBEAU_NATIVE", "0")  # XLA's own product
    done = subprocess.run([sys.executable, "-c", SCRIPT, which], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr[-2000:]


def test_a_stack_for_signals_that_is_there_stays():
    script = """
import ctypes
from flambeau.runtime import signals  # importing flambeau has given the stack
library, found = ctypes.CDLL(None), signals._Stack()
library.sigaltstack(None, ctypes.byref(found))
before = found.start
signals._give_a_stack()
library.sigaltstack(None, ctypes.byref(found))
print(found.start == before, found.size >= 1 << 16)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True True\n", done.stderr[-2000:]


def test_signals_reach_the_main_thread_as_before():
    script = """
import os, signal, time
import flambeau as fb
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background does not have
fb.ones(3).sum()
signal.signal(signal.SIGUSR1, lambda *_: print("seen"))
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(0.05)
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "seen\n[]\ninterrupted\n", done.stderr[-2000:]
