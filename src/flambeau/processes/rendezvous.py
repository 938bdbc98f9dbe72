"""How processes find each other: by a launcher's variables, an address, a file or a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import clusters
from .link import Link, free_address
from .stores import FileStore, HashStore, LinkStore, Store
from .within import linked


@dataclass
class Meeting:
    """What came of it: who this is, and how the others are reached (None where there are none)."""

    rank: int
    world_size: int
    store: Store
    link: Link | None


_handlers: dict[str, Callable[..., Any]] = {}


def register_rendezvous_handler(scheme: str, handler: Callable[..., Any]) -> None:
    """Have `handler(url, rank=, world_size=)` yield (store, rank, world size) for URLs of a scheme. RuntimeError if it is taken."""
    if scheme in _handlers or scheme in ("env", "tcp", "file"):
        raise RuntimeError(f"Rendezvous handler for {scheme}:// already registered")
    _handlers[scheme] = handler


def _variable(name: str) -> str:
    if name not in os.environ:
        raise ValueError(
            f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set"
        )
    return os.environ[name]


def has_launcher() -> bool:
    """Whether variables say who this process is: torchrun's, SLURM's or MPI's."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or _place() is not None


def local_rank() -> int | None:
    """This process's number on its machine, as its launcher says it."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    place = _place()
    return None if place is None else place.local_rank


def _place() -> clusters.Place | None:
    """What SLURM or MPI says. torchrun's variables come first: it may run within their jobs."""
    return None if {"RANK", "WORLD_SIZE"} & os.environ.keys() else clusters.find()


def meet(method: str | None, rank: int, world_size: int, store: Store | None, timeout: float) -> Meeting:
    """Find the other processes. ValueError for what is not said, RuntimeError if they do not come within the time."""
    if store is not None:
        return _by_store(store, rank, world_size, timeout)
    parts = urlsplit(method or "env://")
    asked = {key: int(values[0]) for key, values in parse_qs(parts.query).items() if key in ("rank", "world_size")}
    rank = asked.get("rank", rank) if rank == -1 else rank
    world_size = asked.get("world_size", world_size) if world_size == -1 else world_size
    if parts.scheme == "env":
        return _by_variables(rank, world_size, timeout)
    if parts.scheme in _handlers:
        found, number, size = next(iter(_handlers[parts.scheme](method, rank=rank, world_size=world_size)))
        return _by_store(found, number, size, timeout)
    if parts.scheme not in ("tcp", "file"):
        raise RuntimeError(f"No rendezvous handler for {parts.scheme}://")
    place = "port number" if parts.scheme == "tcp" and parts.port is None else None
    place = "path" if parts.scheme == "file" and not parts.netloc + parts.path else place
    for missing, name in ((place, place), (rank == -1, "rank parameter"), (world_size == -1, "world size parameter")):
        if missing:
            start = f"Error initializing torch.distributed using {parts.scheme}:// rendezvous"
            raise ValueError(f"{start}: {name} missing")
    if parts.scheme == "tcp":
        return _by_address(parts.netloc, rank, world_size, timeout)
    return _by_store(FileStore(parts.netloc + parts.path, world_size), rank, world_size, timeout)


def _by_variables(rank: int, world_size: int, timeout: float) -> Meeting:
    place = _place()
    if place is None:
        rank = int(_variable("RANK")) if rank == -1 else rank
        world_size = int(_variable("WORLD_SIZE")) if world_size == -1 else world_size
        host, port = _variable("MASTER_ADDR"), _variable("MASTER_PORT")
    else:
        rank = place.rank if rank == -1 else rank
        world_size = place.world_size if world_size == -1 else world_size
        host, port = place.address() if world_size > 1 else ("", "")
    return _by_address(f"{host}:{port}", rank, world_size, timeout)


def _by_address(address: str, rank: int, world_size: int, timeout: float) -> Meeting:
    _fits(rank, world_size)
    if world_size == 1:
        return Meeting(rank, 1, HashStore(), None)
    link = linked(address, rank, world_size, timeout)
    return Meeting(rank, world_size, LinkStore(link), link)


def _by_store(store: Store, rank: int, world_size: int, timeout: float) -> Meeting:
    """Through the store rank 0 says where it listens; how often a store was used so far tells the times apart."""
    _fits(rank, world_size)
    if world_size == 1:
        return Meeting(rank, 1, store, None)
    if isinstance(store, HashStore):
        raise ValueError("a HashStore is seen by one process only: use a TCPStore or a FileStore for several")
    key = f"flambeau address {store.add(f'flambeau times {rank}', 1)}"
    if rank == 0:
        store.set(key, free_address())
    return Meeting(rank, world_size, store, linked(store.get(key).decode(), rank, world_size, timeout))


def _fits(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not one of a world of {world_size}")
