"""What runs beside a function while it is traced (handlers of signals, finalizers) is no part of the function."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys

import pytest

import flambeau as fb
from flambeau.compiler.compiled import Compiled
from flambeau.compiler.undisturbed import undisturbed

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")


class Log:
    def __init__(self):
        self.count = 0
        self.lines = []


@pytest.fixture
def every_millisecond():
    before = signal.getsignal(signal.SIGALRM)

    def start(handler):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signals_handler_writes_once_for_each_signal(every_millisecond):
    log, signals = Log(), []

    def handler(number, frame):
        signals.append(number)
        log.count += 1
        log.lines.append(log.count)

    layers = fb.nn.Sequential(*[fb.nn.Linear(8, 8) for _ in range(40)])
    step = fb.compile(lambda x: layers(x) * 1.0, fullgraph=True)
    every_millisecond(handler)
    step(fb.ones(2, 8))
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert log.count == len(signals) > 0
    for _ in range(3):
        step(fb.ones(2, 8))
    assert log.count == len(log.lines) == len(signals)
    assert signal.getsignal(signal.SIGALRM) is handler


def test_what_a_handler_raises_comes_out_and_nothing_is_half_done(monkeypatch):
    def handler(number, frame):
        raise TimeoutError("too slow")

    captured = Compiled._capture

    def disturbed(self, *args):
        signal.raise_signal(signal.SIGUSR1)
        return captured(self, *args)

    model = fb.nn.Linear(4, 4)
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    @fb.compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    first = model.weight.detach().clone()
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        monkeypatch.setattr(Compiled, "_capture", disturbed)
        with pytest.raises(TimeoutError, match="too slow"):
            step(fb.ones(2, 4))
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGUSR1, before)
    assert not optimizer.state
    assert fb.equal(model.weight, first) and model.weight.grad is None
    loss = step(fb.ones(2, 4))
    assert step(fb.ones(2, 4)).item() < loss.item()


def test_finalizers_of_rings_wait():
    log = Log()

    class Ring:
        def __init__(self):
            self.own = self

        def __del__(self):
            log.count += 1

    layers = fb.nn.Sequential(*[fb.nn.Linear(8, 8) for _ in range(10)])
    step = fb.compile(lambda x: layers(x) * 1.0, fullgraph=True)
    gc.collect()
    before = gc.get_threshold()
    for _ in range(5):
        Ring()
    gc.set_threshold(1)
    try:
        step(fb.ones(2, 8))
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert log.count == 5
    for _ in range(3):
        step(fb.ones(2, 8))
    assert log.count == 5
    assert gc.isenabled()


def test_it_ends_as_it_began():
    gc.disable()
    try:
        with pytest.raises(KeyError), undisturbed():
            raise KeyError
        assert not gc.isenabled()
    finally:
        gc.enable()
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            assert not seen and not gc.isenabled()
        assert seen == [signal.SIGUSR1] * 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_ctrl_c_ends_a_trace_that_hangs():
    script = """
import os, threading, signal
import flambeau as fb
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background does not have

def endless(x):
    n = 0
    while n < 10**12:
        n += 1
    return x

threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    fb.compile(endless)(fb.ones(2))
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr[-2000:]
