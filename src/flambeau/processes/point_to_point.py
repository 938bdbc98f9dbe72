"""From one rank to one other: through the service that all are linked to, so that a sender never waits for the receiver."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.context.callbacks import call_back
from .collectives import _tensor
from .errors import DistBackendError
from .exchange import Exchange, Pending, Said, fetch, post
from .groups import chosen, default_group, get_group_rank, get_rank
from .running import outside, said_of, seen, shaped, traced, write
from .work import Awaited, Work


def _peer(group: Any, rank: int | None, group_rank: int | None, kind: str) -> int:
    """The other's number in the group. ValueError if it is this process."""
    if rank is not None and group_rank is not None:
        raise ValueError("Can't specify both group_rank and global_rank")
    if rank is None and group_rank is None:
        raise ValueError("Must specify global_rank or group_rank")
    member = group_rank if group_rank is not None else get_group_rank(group, rank or 0)
    if member == group.rank():
        raise ValueError(f"Invalid {kind} rank: {kind} rank should not be the same as the rank of the current process.")
    return member


def _key(exchange: Exchange, source: int, target: int, tag: int, count: int) -> str:
    return f"{exchange.name}/p2p/{target}/{source}/{tag}/{count}"


def _send(exchange: Exchange, value: np.ndarray, target: int, tag: int) -> None:
    assert exchange.link is not None
    count = exchange.counts["to", target, tag] = exchange.counts["to", target, tag] + 1
    post(exchange.link, _key(exchange, exchange.me, target, tag, count), said_of(value), value)


class _Receipt:
    """The next message of a rank, or of any."""

    def __init__(self, exchange: Exchange, source: int | None, tag: int, like: Any):
        self.exchange, self.tag, self.like = exchange, tag, like
        self.sources = [i for i in range(exchange.n) if i != exchange.me] if source is None else [source]
        self.source = self.sources[0]
        self.any = source is None
        self.found: tuple[Said, Any] | None = None
        # a message's number is taken when it is asked for, so that messages are received in the order of the calls
        self.count = 0 if self.any else self._next(self.source)

    def _next(self, source: int) -> int:
        self.exchange.counts["from", source, self.tag] += 1
        return self.exchange.counts["from", source, self.tag]

    def attempt(self, until: float) -> bool:
        """Whether it has come, by the time `until`."""
        exchange = self.exchange
        assert exchange.link is not None
        if not self.any:
            key = _key(exchange, self.source, exchange.me, self.tag, self.count)
            if until == 0.0:
                return exchange.link.find(key) is not None
            self.found = fetch(exchange.link, key, until, exchange.ranks[self.source])
            return self.found is not None
        while True:
            for source in self.sources:
                count = exchange.counts["from", source, self.tag] + 1
                key = _key(exchange, source, exchange.me, self.tag, count)
                if exchange.link.find(key) is not None:
                    self.source, self.any, self.count = source, False, self._next(source)
                    return self.attempt(until)
            if time.monotonic() > until:
                return False
            time.sleep(0.002)

    def take(self) -> np.ndarray:
        """Its values. DistBackendError if it has not come or has another size."""
        exchange = self.exchange
        if self.found is None and not self.any and exchange.link is not None:
            self.attempt(time.monotonic() + 1)
        sources = ", ".join(str(exchange.ranks[i]) for i in self.sources)
        if self.found is None:
            raise DistBackendError(
                f"[Rank {exchange.rank}]: Timed out waiting {int(exchange.timeout * 1000)}ms for recv operation to complete: nothing came "
                f"from rank {sources} with tag {self.tag}"
            )
        told, value = self.found
        wanted = said_of(self.like)
        if told["dtype"] != wanted["dtype"] or value.size != np.prod(wanted["shape"], dtype=int):
            raise DistBackendError(
                f"[Rank {exchange.rank}]: recv: rank {exchange.ranks[self.source]} has sent {told['dtype']} {told['shape']}, the tensor is "
                f"{wanted['dtype']} {wanted['shape']}"
            )
        return value.reshape(wanted["shape"])


def isend(
    tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None
) -> Work | None:
    """Send the values that the tensor has now."""
    _tensor(tensor, "tensor")
    if outside(group, "isend"):
        return None
    group = chosen(group)
    target = _peer(group, dst, group_dst, "destination")
    exchange, value = group.exchange, tensor._array
    if traced(value):
        call_back(lambda v: _send(exchange, np.asarray(v), target, tag), None, value, ordered=True)
    else:
        seen(group, "send", [tensor], lambda: _send(exchange, np.asarray(value), target, tag))
    return Work(Pending().do(lambda: None), lambda _: None, [tensor])


def irecv(
    tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None
) -> Work | None:
    """Begin to receive into the tensor, which has the values once `wait` has returned."""
    _tensor(tensor, "tensor")
    if outside(group, "irecv"):
        return None
    group = chosen(group)
    source = None if src is None and group_src is None else _peer(group, src, group_src, "source")
    if group.size() == 1:
        raise RuntimeError("recv: there is no other rank in the group")
    exchange, held = group.exchange, tensor._array
    if traced(held):
        staged = Staged(lambda like: _received(_Receipt(exchange, source, tag, like)), shaped(held.shape, held.dtype))
        return Work(staged, lambda array: write(tensor, array), [tensor])
    receipt = _Receipt(exchange, source, tag, held)
    awaited = Awaited(receipt.attempt, receipt.take, exchange.timeout)
    begun = _Received(awaited, lambda array: write(tensor, array), [tensor], receipt)
    made: Work = seen(group, "recvAnySource" if source is None else "recv", [tensor], lambda: begun)
    return made


def _received(receipt: _Receipt) -> np.ndarray:
    receipt.attempt(time.monotonic() + receipt.exchange.timeout)
    return receipt.take()


class Staged(Pending):
    """A step of a program that stands where it is waited for: a receipt that began earlier would hold the program up."""

    def __init__(self, job: Any, like: Any):
        super().__init__()
        self._stage = lambda: call_back(lambda: job(like), like, ordered=True)

    def done(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        if not super().done():
            self.do(self._stage)
        return True


class _Received(Work):
    def __init__(self, pending: Any, put: Any, results: Any, receipt: _Receipt):
        super().__init__(pending, put, results)
        self._receipt = receipt

    def source_rank(self) -> int:
        return self._receipt.exchange.ranks[self._receipt.source]

    _source_rank = source_rank


def send(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send the tensor's values. ValueError for a message to itself."""
    if (work := isend(tensor, dst, group, tag, group_dst)) is not None:
        work.wait()


def recv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Receive into the tensor, from one rank or from any: the sender's rank."""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return work.source_rank()


class P2POp:
    """One `isend` or `irecv` for `batch_isend_irecv`."""

    def __init__(
        self,
        op: Any,
        tensor: Any,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ):
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or ``torch.distributed.irecv``."
            )
        _tensor(tensor, "tensor")
        if peer is None and group_peer is None:
            raise ValueError("Must specify global_rank or group_rank")
        if peer is not None and group_peer is not None:
            raise ValueError("Can't specify both group_rank and global_rank")
        self.op = op
        self.tensor = tensor
        self.group = group
        self.tag = tag
        self.peer = peer
        self.group_peer = group_peer

    def __repr__(self) -> str:
        mine, group, other = get_rank(self.group), chosen(self.group), self.group_peer
        if other is None:
            other = self.peer if group is default_group() else get_group_rank(group, self.peer or 0)
        source, target = (mine, other) if self.op is isend else (other, mine)
        return (
            f"P2POp({self.op.__name__} pg={group.group_name}, group_src={source}, group_dst={target},  {self.tensor.shape}, "
            f"{self.tensor.dtype})"
        )


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Begin all of them."""
    if not isinstance(p2p_op_list, list) or not all(isinstance(entry, P2POp) for entry in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to to be of type ``torch.distributed.P2POp``.")
    if not p2p_op_list:
        raise IndexError("list index out of range: there is no operation to begin")
    made = [entry.op(entry.tensor, entry.peer, entry.group, entry.tag, entry.group_peer) for entry in p2p_op_list]
    return [work for work in made if work is not None]


if not TYPE_CHECKING:  # type checkers take every name
    __all__ = [
        name
        for name, value in list(globals().items())
        if getattr(value, "__module__", None) == __name__ and name[0] != "_"
    ]
