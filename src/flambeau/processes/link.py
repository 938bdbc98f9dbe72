"""The link between processes: JAX's coordination service, and a client of XLA whose devices are the processes.

It is a client of its own, beside the one that computes: a group can be made after something was computed, ended and made anew,
and its devices are no devices of the program's.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from jax.errors import JaxRuntimeError
from jaxlib import _jax, utils, xla_client

from ..core.array.devices import of_processes
from ..core.dispatch.messages import message
from .errors import DistBackendError, DistNetworkError

_SLICE = 500  # milliseconds: how long a wait is deaf to Ctrl-C
_HEARTBEAT = (
    100  # seconds without a sign of life after which a process ends: on a busy machine 20 have passed without one
)
_FREED = 3.0  # seconds in which a service that ended has to give its port back
_LINGER = 30.0  # seconds that rank 0, which holds the values, waits for the others at the end


class Link:
    """Bytes by key that all ranks see, and the ranks as devices of XLA. Made by all ranks at once."""

    inline: float = (
        32 * 1024
    )  # bytes up to which values go with announcements: a program of XLA takes some 4 ms to begin

    def __init__(self, address: str, rank: int, world_size: int, timeout: float):
        self.rank = rank
        self.world_size = world_size
        self._service = None
        with _quiet():
            if rank == 0:
                port = address.rpartition(":")[2]
                _nobody_listens(int(port))
                self._service = _jax.get_distributed_runtime_service(
                    f"[::]:{port}", world_size, heartbeat_timeout=_HEARTBEAT, shutdown_timeout=5, recoverable=True
                )
            self.client = _jax.get_distributed_runtime_client(
                address, rank, init_timeout=max(int(timeout), 1), shutdown_timeout=5, shutdown_on_destruction=False,
                heartbeat_timeout=_HEARTBEAT, use_compression=False,
            )  # fmt: skip
            self.client.connect()
        self._devices: list[Any] | None = None
        self._closed = False
        atexit.register(self.close)

    def devices(self) -> list[Any]:
        """One device for each rank."""
        if self._devices is None:
            collectives = _jax.make_gloo_tcp_collectives(distributed_client=self.client)
            made: Any = xla_client.make_cpu_client(
                asynchronous=False, distributed_client=self.client, node_id=self.rank, num_nodes=self.world_size,
                collectives=collectives, num_devices=1,
            )  # fmt: skip
            self._devices = sorted(made.devices(), key=lambda device: device.process_index)
            of_processes.update(self._devices)
        return self._devices

    @staticmethod
    def pack(told: dict[str, Any], value: np.ndarray | None) -> bytes:
        """What is said of an array, and the array, as one value."""
        kind = None if value is None else [value.dtype.name, list(value.shape)]
        head = json.dumps({**told, "array": kind}).encode()
        body = b"" if value is None else np.ascontiguousarray(value).tobytes()
        return b"%d:%b%b" % (len(head), head, body)

    @staticmethod
    def unpack(raw: bytes) -> tuple[dict[str, Any], Any]:
        """What `pack` was given."""
        size, _, rest = raw.partition(b":")
        told = json.loads(rest[: int(size)])
        kind = told.pop("array")
        if kind is None:
            return told, None
        return told, np.frombuffer(rest[int(size) :], np.dtype(kind[0])).reshape(kind[1])

    def put(self, key: str, value: bytes, overwrite: bool = False) -> None:
        """Set a value."""
        self.client.key_value_set_bytes(key, value, allow_overwrite=overwrite)

    def find(self, key: str) -> bytes | None:
        """A value, or None."""
        try:
            return self.client.key_value_try_get_bytes(key)
        except JaxRuntimeError as error:
            if "NOT_FOUND" in str(error):
                return None
            raise

    def get(self, key: str, until: float, source: int | None = None) -> bytes | None:
        """A value, once it is there; None after the time `until` (of `time.monotonic`)."""
        while True:
            left = int((until - time.monotonic()) * 1000)
            try:
                return self.client.blocking_key_value_get_bytes(key, max(min(left, _SLICE), 1))
            except JaxRuntimeError as error:
                if "UNAVAILABLE" in str(error):
                    raise DistBackendError(
                        f"[Rank {self.rank}]: rank 0, which holds what the ranks say to each other, has left the group or ended: "
                        "look for its error, and call destroy_process_group in all ranks after their last collective"
                    ) from error
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            if left <= _SLICE:
                return None

    def claim(self, key: str) -> bool:
        """Set a key that nobody has set: whether it was us."""
        try:
            self.client.key_value_set_bytes(key, b"1", allow_overwrite=False)
        except JaxRuntimeError as error:
            if "ALREADY_EXISTS" in str(error):
                return False
            raise
        return True

    def under(self, start: str) -> list[str]:
        """The keys that begin with this."""
        return [key for key, _ in self.client.key_value_dir_get_bytes(start)]

    def forget(self, key: str) -> None:
        """Remove a value, or all under a key that others begin with."""
        self.client.key_value_delete(key)

    def close(self) -> None:
        """Leave. The rank that holds the values waits until the others have read theirs."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        failed = getattr(sys, "last_value", None) is not None
        with contextlib.suppress(JaxRuntimeError, DistBackendError):
            self.put(f"left/{self.rank}", b"")
            if self._service is not None and not failed:
                until = time.monotonic() + _LINGER
                for rank in range(1, self.world_size):
                    self.get(f"left/{rank}", until)
            self.client.shutdown()  # before the service goes: a client that finds it gone ends the process
        of_processes.difference_update(self._devices or ())
        self._devices = self._service = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the service's warning that it was told to let ranks go one by one."""
    utils.absl_set_min_log_level(2)
    try:
        yield
    finally:
        utils.absl_set_min_log_level(int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "1"))


def _nobody_listens(port: int) -> None:
    """DistNetworkError if another does: its service would take ours for its own rank 0, and JAX would end both processes."""
    until = time.monotonic() + _FREED
    while True:
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                return made.bind(("", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return None  # what is wrong with it, the service says
                if time.monotonic() > until:
                    hint = "Is there another process with RANK=0, or another program at MASTER_PORT?"
                    raise DistNetworkError(f"{message('port_taken', port=port)} {hint}") from error
        time.sleep(0.1)


def free_address() -> str:
    """An address of this machine on which nobody listens."""
    with socket.socket() as made:
        made.bind(("", 0))
        return f"{_own_host()}:{made.getsockname()[1]}"


def _own_host() -> str:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"
