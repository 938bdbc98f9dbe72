"""Stores of the rendezvous: keys and values that processes share. Those of one process are dictionaries, or a file."""

from __future__ import annotations

import pickle
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

default_pg_timeout = timedelta(minutes=30)


class Store:
    """Bytes by key. `get` and `wait` raise RuntimeError when a key has not come after the timeout."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self.timeout = default_pg_timeout

    def _load(self) -> dict[str, bytes]:
        return self._values

    def _store(self, values: dict[str, bytes]) -> None:
        self._values = values

    def set_timeout(self, timeout: timedelta) -> None:
        """How long `get` and `wait` wait."""
        self.timeout = timeout

    def set(self, key: str, value: str | bytes) -> None:
        """Put a value there, in place of any other."""
        self._store({**self._load(), key: value.encode() if isinstance(value, str) else bytes(value)})

    def get(self, key: str) -> bytes:
        """The value, once there is one."""
        self.wait([key])
        return self._load()[key]

    def add(self, key: str, amount: int) -> int:
        """Add to a counter, which begins at 0; its new value."""
        total = int(self._load().get(key, b"0")) + amount
        self.set(key, str(total))
        return total

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Set a value if the old one is as expected (or expected to be none); the value that stands then."""
        held = self._load().get(key)
        if (held is None and expected_value == "") or held == expected_value.encode():
            self.set(key, desired_value)
        return self._load().get(key, expected_value.encode())

    def check(self, keys: list[str]) -> bool:
        """Whether all of the keys are there."""
        return all(key in self._load() for key in keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Return when all of the keys are there."""
        end = time.monotonic() + (timeout or self.timeout).total_seconds()
        while not self.check(keys):
            if time.monotonic() > end:
                raise RuntimeError(
                    f"wait timeout after {int((timeout or self.timeout).total_seconds() * 1000)}ms, keys: {keys}"
                )
            time.sleep(0.01)

    def delete_key(self, key: str) -> bool:
        """Forget a key; whether it was there."""
        values = dict(self._load())
        found = values.pop(key, None) is not None
        self._store(values)
        return found

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self._load())


class HashStore(Store):
    """A store of the threads of one process."""


class FileStore(Store):
    """A store in a file, for the processes of one machine."""

    def __init__(self, file_name: str, world_size: int = -1):
        super().__init__()
        self.path = file_name

    def _load(self) -> dict[str, bytes]:
        path = Path(self.path)
        return pickle.loads(path.read_bytes()) if path.exists() and path.stat().st_size else {}

    def _store(self, values: dict[str, bytes]) -> None:
        Path(self.path).write_bytes(pickle.dumps(values))


class PrefixStore(Store):
    """Another store, with a prefix before every key."""

    def __init__(self, prefix: str, store: Store):
        super().__init__()
        self.prefix, self.underlying_store = prefix, store

    def _load(self) -> dict[str, bytes]:
        start = f"{self.prefix}/"
        return {k.removeprefix(start): v for k, v in self.underlying_store._load().items() if k.startswith(start)}

    def _store(self, values: dict[str, bytes]) -> None:
        start = f"{self.prefix}/"
        others = {k: v for k, v in self.underlying_store._load().items() if not k.startswith(start)}
        self.underlying_store._store({**others, **{start + k: v for k, v in values.items()}})


class TCPStore(Store):
    """A store that one process serves to the others; with one process, nothing goes over a network."""

    def __init__(
        self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False,
        timeout: timedelta = default_pg_timeout, wait_for_workers: bool = True, **options: Any,
    ):  # fmt: skip
        super().__init__()
        if not is_master or (world_size or 1) > 1:
            raise RuntimeError("TCPStore: flambeau's process groups have one process: use is_master=True, world_size=1")
        self.host, self.port, self.timeout = host_name, port, timeout
