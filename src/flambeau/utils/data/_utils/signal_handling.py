"""Whether worker processes still live, for loaders of others: a handler of SIGCHLD raises when one of theirs has died."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

_workers: dict[int, tuple[int, ...]] = {}  # by loader: its processes
_state: dict[str, bool] = {"handled": False}


def _set_worker_pids(key: int, pids: tuple[int, ...]) -> None:
    """From now on these processes are a loader's."""
    if key in _workers:
        raise ValueError(f"the processes of {key} are known already: _remove_worker_pids comes first")
    _workers[key] = tuple(pids)


def _remove_worker_pids(key: int) -> None:
    """They are no more: their end is no error."""
    if _workers.pop(key, None) is None:
        raise ValueError(f"no processes are known of {key}")


def _error_if_any_worker_fails() -> None:
    """RuntimeError if one of the processes was killed, or ended with another code than 0."""
    for key, pids in list(_workers.items()):
        for pid in pids:
            try:
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:  # somebody has waited for it
                continue
            if ended is None or (ended.si_code == os.CLD_EXITED and not ended.si_status):
                continue
            _workers[key] = ()
            if ended.si_code == os.CLD_EXITED:
                raise RuntimeError(
                    f"DataLoader worker (pid {pid}) exited unexpectedly with exit code {ended.si_status}."
                )
            raise RuntimeError(
                f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(ended.si_status)}. "
            )


def _set_worker_signal_handlers() -> None:
    """Nothing: a worker dies of its signals, which `_error_if_any_worker_fails` tells in the process that started it."""


def _set_SIGCHLD_handler() -> None:
    """Look after the processes whenever one of this process's children ends; what handled that signal before goes on to."""
    if _state["handled"] or not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    before: Any = signal.getsignal(signal.SIGCHLD)

    def ended(number: int, frame: Any) -> None:
        _error_if_any_worker_fails()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGCHLD, ended)
    _state["handled"] = True
