"""Stores, by which processes find each other: values by key, in memory, a file, a server of this process, or JAX's service."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import threading
import time
import weakref
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from socketserver import ThreadingMixIn
from types import FunctionType
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import Untraceable
from .errors import DistNetworkError, DistStoreError, QueueEmptyError
from .link import Link

default_pg_timeout: timedelta = timedelta(minutes=30)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _outside_of_programs(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that a compiled function, which would run it once, can't call."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if grad_state.trace is not None:
            raise Untraceable(
                f"it calls {type(self).__name__}.{method.__name__}: do that outside of the compiled function"
            )
        return method(self, *args, **kwargs)

    return call


def _for_all_methods(cls: type) -> None:
    for name, value in list(vars(cls).items()):
        if isinstance(value, FunctionType) and not name.startswith("_"):
            setattr(cls, name, _outside_of_programs(value))


class Store:
    """Bytes by key. `get` and `wait` raise DistStoreError when a key has not come after the timeout."""

    _timed_out: type[Exception] = DistStoreError
    _timeout_text = "wait timeout after {milliseconds}ms, keys: {keys}"

    def __init__(self) -> None:
        self.timeout: timedelta = timedelta(minutes=5)

    def __init_subclass__(cls) -> None:
        _for_all_methods(cls)

    @contextlib.contextmanager
    def _held(self) -> Iterator[dict[str, bytes]]:
        """All values, which nobody else changes meanwhile."""
        raise NotImplementedError(f"{type(self).__name__} holds no values")
        yield

    def set_timeout(self, timeout: timedelta) -> None:
        """How long `get` and `wait` wait."""
        self.timeout = timeout

    def set(self, key: str, value: str | bytes) -> None:
        """Put a value there, in place of any other."""
        with self._held() as values:
            values[key] = _bytes(value)

    def get(self, key: str) -> bytes:
        """The value, once there is one."""
        self.wait([key])
        with self._held() as values:
            return values.get(key, b"")  # a queue has no value

    def append(self, key: str, value: str | bytes) -> None:
        """Put a value behind the one that stands there."""
        with self._held() as values:
            values[key] = values.get(key, b"") + _bytes(value)

    def add(self, key: str, amount: int) -> int:
        """Add to a counter, which begins at 0; its new value."""
        with self._held() as values:
            total = int(values.get(key, b"0")) + amount
            values[key] = str(total).encode()
        return total

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Set a value if the old one is as expected (or expected to be none); the value that stands then."""
        with self._held() as values:
            held = values.get(key)
            if (held is None and expected_value == "") or held == _bytes(expected_value):
                values[key] = _bytes(desired_value)
            return values.get(key, _bytes(expected_value))

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """The values, once they are all there."""
        self.wait(list(keys))
        return [self.get(key) for key in keys]

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        """Put several values there."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def check(self, keys: list[str]) -> bool:
        """Whether all of the keys are there."""
        with self._held() as values:
            return all(key in values for key in keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Return when all of the keys are there."""
        self._once(lambda: self.check(keys) or None, keys, timeout)

    def _once(self, ask: Callable[[], Any], keys: list[str], timeout: timedelta | None = None) -> Any:
        """What `ask` gives, once that is not None."""
        limit = (timeout or self.timeout).total_seconds()
        end = time.monotonic() + limit
        pause = 0.001
        while (found := ask()) is None:
            if time.monotonic() > end:
                text = self._timeout_text.format(milliseconds=int(limit * 1000), keys=", ".join("/" + k for k in keys))
                raise self._timed_out(text)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return found

    def queue_push(self, key: str, value: str | bytes) -> None:
        """Put a value at the end of a queue; NotImplementedError in a store that has none."""
        raise NotImplementedError("queue support is not implemented.")

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        """Take the first value out of a queue, once there is one. With `block=False`, QueueEmptyError if there is none."""
        found = self._first(key)
        if found is None and not block:
            raise QueueEmptyError("queue is empty")
        return self._once(lambda: self._first(key), [key]) if found is None else found

    def queue_len(self, key: str) -> int:
        """How many values are in a queue."""
        raise NotImplementedError("queue support is not implemented.")

    def _first(self, key: str) -> bytes | None:
        """The first value of a queue, taken out; None if it is empty."""
        raise NotImplementedError("queue support is not implemented.")

    def delete_key(self, key: str) -> bool:
        """Forget a key; whether it was there."""
        with self._held() as values:
            return values.pop(key, None) is not None

    def num_keys(self) -> int:
        """How many keys there are."""
        with self._held() as values:
            return len(values)

    def list_keys(self) -> list[str]:
        """The keys."""
        with self._held() as values:
            return list(values)

    def has_extended_api(self) -> bool:
        """True: `append`, `multi_get` and `multi_set` are there."""
        return True

    def clone(self) -> Store:
        """The store itself: threads may share it."""
        return self


_for_all_methods(Store)


class HashStore(Store):
    """A store of the threads of one process."""

    _timeout_text = "Wait timeout"

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, bytes] = {}
        self._queues: dict[str, deque[bytes]] = {}  # none of them empty
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def _held(self) -> Iterator[dict[str, bytes]]:
        with self._lock:
            yield self._values

    def check(self, keys: list[str]) -> bool:
        with self._lock:
            return all(key in self._values or key in self._queues for key in keys)

    def queue_push(self, key: str, value: str | bytes) -> None:
        with self._lock:
            self._queues.setdefault(key, deque()).append(_bytes(value))

    def queue_len(self, key: str) -> int:
        with self._lock:
            return len(self._queues.get(key, ()))

    def _first(self, key: str) -> bytes | None:
        with self._lock:
            if key not in self._queues:
                return None
            found = self._queues[key].popleft()
            if not self._queues[key]:
                del self._queues[key]
            return found


class FileStore(Store):
    """A store in a file, for the processes of one machine (or of a network file system that has locks)."""

    _timed_out = RuntimeError
    _timeout_text = "Timeout waiting for key: {keys} after {milliseconds} ms"

    def __init__(self, file_name: str, world_size: int = -1):
        super().__init__()
        self.path = file_name

    @contextlib.contextmanager
    def _held(self) -> Iterator[dict[str, bytes]]:
        Path(self.path).touch()
        with open(self.path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            raw = file.read()
            values = {key: bytes.fromhex(value) for key, value in json.loads(raw or b"{}").items()}
            before = dict(values)
            yield values
            if values != before:
                file.seek(0)
                file.truncate()
                file.write(json.dumps({key: value.hex() for key, value in values.items()}).encode())


class PrefixStore(Store):
    """Another store, with a prefix before every key."""

    def __init__(self, prefix: str, store: Store):
        if not (isinstance(prefix, str) and isinstance(store, Store)):
            raise TypeError(
                "__init__(): incompatible constructor arguments. The following argument types are supported:\n"
                f"    a str and a Store, not {prefix!r} and {store!r}"
            )
        super().__init__()
        self.prefix = prefix
        self.underlying_store = store
        self.timeout = store.timeout

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def set_timeout(self, timeout: timedelta) -> None:
        self.timeout: timedelta = timeout
        self.underlying_store.set_timeout(timeout)

    def set(self, key: str, value: str | bytes) -> None:
        self.underlying_store.set(self._key(key), value)

    def get(self, key: str) -> bytes:
        return self.underlying_store.get(self._key(key))

    def append(self, key: str, value: str | bytes) -> None:
        self.underlying_store.append(self._key(key), value)

    def add(self, key: str, amount: int) -> int:
        return self.underlying_store.add(self._key(key), amount)

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        return self.underlying_store.compare_set(self._key(key), expected_value, desired_value)

    def check(self, keys: list[str]) -> bool:
        return self.underlying_store.check([self._key(key) for key in keys])

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        self.underlying_store.wait([self._key(key) for key in keys], timeout)

    def delete_key(self, key: str) -> bool:
        return self.underlying_store.delete_key(self._key(key))

    def num_keys(self) -> int:
        return self.underlying_store.num_keys()

    def list_keys(self) -> list[str]:
        start = self._key("")
        return [key.removeprefix(start) for key in self.underlying_store.list_keys() if key.startswith(start)]

    def queue_push(self, key: str, value: str | bytes) -> None:
        self.underlying_store.queue_push(self._key(key), value)

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        return self.underlying_store.queue_pop(self._key(key), block)

    def queue_len(self, key: str) -> int:
        return self.underlying_store.queue_len(self._key(key))


class LinkStore(Store):
    """The store of a group: JAX's coordination service, which rank 0 serves to all."""

    def __init__(self, link: Link):
        super().__init__()
        self._link = link

    def _key(self, key: str) -> str:
        return f"store/{key}"

    def set(self, key: str, value: str | bytes) -> None:
        self._link.put(self._key(key), _bytes(value), overwrite=True)

    def get(self, key: str) -> bytes:
        self.wait([key])
        return self._link.find(self._key(key)) or b""

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        while not self._link.claim("store lock"):
            time.sleep(0.001)
        try:
            yield
        finally:
            self._link.forget("store lock")

    def append(self, key: str, value: str | bytes) -> None:
        with self._locked():
            self.set(key, (self._link.find(self._key(key)) or b"") + _bytes(value))

    def add(self, key: str, amount: int) -> int:
        with self._locked():
            total = int(self._link.find(self._key(key)) or b"0") + amount
            self.set(key, str(total))
        return total

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        with self._locked():
            held = self._link.find(self._key(key))
            if (held is None and expected_value == "") or held == _bytes(expected_value):
                self.set(key, desired_value)
                return _bytes(desired_value)
        return _bytes(expected_value) if held is None else held

    def check(self, keys: list[str]) -> bool:
        return all(self._link.find(self._key(key)) is not None or self._queue(key) for key in keys)

    def _queue(self, key: str) -> list[str]:
        found: list[str] = json.loads(self._link.find(f"queue/{key}") or b"[]")
        return found

    def queue_push(self, key: str, value: str | bytes) -> None:
        with self._locked():
            line = [*self._queue(key), _bytes(value).hex()]
            self._link.put(f"queue/{key}", json.dumps(line).encode(), overwrite=True)

    def queue_len(self, key: str) -> int:
        return len(self._queue(key))

    def _first(self, key: str) -> bytes | None:
        with self._locked():
            line = self._queue(key)
            if line:
                self._link.put(f"queue/{key}", json.dumps(line[1:]).encode(), overwrite=True)
        return bytes.fromhex(line[0]) if line else None

    def delete_key(self, key: str) -> bool:
        found = self.check([key])
        self._link.forget(self._key(key))
        return found

    def list_keys(self) -> list[str]:
        return [key.removeprefix("store/") for key in self._link.under("store/")]

    def num_keys(self) -> int:
        return len(self.list_keys())


class _Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"  # a connection is kept
    disable_nagle_algorithm = True


class _Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True


_REMOTE = (
    *("set", "append", "add", "compare_set", "check", "delete_key", "num_keys", "list_keys"),
    *("queue_push", "queue_len", "_first"),
)


class TCPStore(Store):
    """A store that one process (`is_master=True`) serves to the others, by the standard library's XML-RPC.

    Raises DistNetworkError if nobody serves at that address within the timeout.
    """

    def __init__(
        self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False,
        timeout: timedelta = timedelta(minutes=5), wait_for_workers: bool = True, multi_tenant: bool = False,
        master_listen_fd: int | None = None, use_libuv: bool = True,
    ):  # fmt: skip
        super().__init__()
        if master_listen_fd is not None:
            raise NotImplementedError("TCPStore: master_listen_fd is not there; give a port")
        self.host = host_name
        self.port: int = port
        self.timeout = timeout
        self.libuvBackend: bool = False
        self._local = threading.local()
        self._open: list[Callable[[], Any]] = []  # what is to be closed at the end
        weakref.finalize(self, _close, self._open)
        if is_master:
            self._serve()
        self._connect()
        count = self.add("init/", 1)
        if is_master and wait_for_workers and world_size:
            end = time.monotonic() + timeout.total_seconds()
            while (count := self.add("init/", 0)) < world_size:
                if time.monotonic() > end:
                    raise DistStoreError(
                        f"Timed out after {int(timeout.total_seconds()) + 1} seconds waiting for clients. {count}/{world_size} "
                        "clients joined."
                    )
                time.sleep(0.01)

    def _serve(self) -> None:
        held = HashStore()
        try:
            self._server = _Server(("", self.port), _Handler, logRequests=False, allow_none=True)
        except OSError as error:
            raise DistNetworkError(
                f"The server socket has failed to listen on any local network address. port: {self.port}, {error}"
            ) from None
        self.port = self._server.server_address[1]
        self._server.register_function(lambda key: xmlrpc.client.Binary(held.get(key)), "get")
        for name in _REMOTE:
            self._server.register_function(_unwrapping(getattr(held, name)), name)
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self._open += [self._server.shutdown, self._server.server_close]

    @property
    def _proxy(self) -> Any:
        if not hasattr(self._local, "proxy"):
            self._local.proxy = xmlrpc.client.ServerProxy(f"http://{self.host}:{self.port}", allow_none=True)
            self._open.insert(0, self._local.proxy("close"))
        return self._local.proxy

    def _connect(self) -> None:
        end = time.monotonic() + self.timeout.total_seconds()
        while True:
            try:
                self._proxy.num_keys()
                return
            except OSError:
                if time.monotonic() > end:
                    milliseconds = int(self.timeout.total_seconds() * 1000)
                    raise DistNetworkError(
                        f"The client socket has timed out after {milliseconds}ms while trying to connect to ({self.host}, "
                        f"{self.port})."
                    ) from None
                time.sleep(0.05)

    def _call(self, name: str, *args: Any) -> Any:
        try:
            return getattr(self._proxy, name)(*args)
        except (OSError, xmlrpc.client.Error) as error:
            raise DistNetworkError(f"the store at {self.host}:{self.port} does not answer: {error}") from error

    def set(self, key: str, value: str | bytes) -> None:
        self._call("set", key, xmlrpc.client.Binary(_bytes(value)))

    def get(self, key: str) -> bytes:
        self.wait([key])
        return bytes(self._call("get", key).data)

    def append(self, key: str, value: str | bytes) -> None:
        self._call("append", key, xmlrpc.client.Binary(_bytes(value)))

    def add(self, key: str, amount: int) -> int:
        return int(self._call("add", key, amount))

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        return bytes(self._call("compare_set", key, expected_value, desired_value).data)

    def check(self, keys: list[str]) -> bool:
        return bool(self._call("check", list(keys)))

    def delete_key(self, key: str) -> bool:
        return bool(self._call("delete_key", key))

    def num_keys(self) -> int:
        return int(self._call("num_keys"))

    def list_keys(self) -> list[str]:
        return [key for key in self._call("list_keys") if key != "init/"]

    def queue_push(self, key: str, value: str | bytes) -> None:
        self._call("queue_push", key, xmlrpc.client.Binary(_bytes(value)))

    def queue_len(self, key: str) -> int:
        return int(self._call("queue_len", key))

    def _first(self, key: str) -> bytes | None:
        found = self._call("_first", key)
        return None if found is None else bytes(found.data)


def _close(what: list[Callable[[], Any]]) -> None:
    for close in what:
        close()


def _unwrapping(function: Any) -> Any:
    def call(*args: Any) -> Any:
        made = function(*[a.data if isinstance(a, xmlrpc.client.Binary) else a for a in args])
        return xmlrpc.client.Binary(made) if isinstance(made, bytes) else made

    return call
