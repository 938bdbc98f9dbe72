"""Process groups: which processes work together, how they find each other, and what a group is asked for."""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.context.grad_mode import state as grad_state
from ..core.dispatch.messages import message
from ..runtime.ranks import each_its_own
from ..runtime.settings import changes_setting
from .exchange import Exchange
from .link import Link
from .rendezvous import Meeting, local_rank, meet, register_rendezvous_handler
from .stores import PrefixStore, Store, default_pg_timeout


class Backend(str):
    """A backend's name in lower case."""

    UNDEFINED = "undefined"
    GLOO = "gloo"
    NCCL = "nccl"
    UCC = "ucc"
    MPI = "mpi"
    XCCL = "xccl"
    FAKE = "fake"
    backend_list: ClassVar[list[str]] = ["undefined", "gloo", "nccl", "xccl", "ucc", "mpi", "fake"]
    backend_capability: ClassVar[dict[str, list[str]]] = {
        "gloo": ["cpu", "cuda"],
        "nccl": ["cuda"],
        "xccl": ["xpu"],
        "ucc": ["cpu", "cuda"],
        "mpi": ["cpu", "cuda"],
        "fake": ["cpu", "cuda", "hpu", "xpu"],
    }
    default_device_backend_map: ClassVar[dict[str, str]] = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "mps": "gloo"}

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class ReduceOp:
    """How values of several ranks become one."""

    class RedOpType(enum.IntEnum):
        SUM = 0
        AVG = 1
        PRODUCT = 2
        MIN = 3
        MAX = 4
        BAND = 5
        BOR = 6
        BXOR = 7
        PREMUL_SUM = 8

        def __str__(self) -> str:
            return f"RedOpType.{self.name}"

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM = RedOpType


class reduce_op:
    """The old name of `ReduceOp`."""

    SUM, PRODUCT, MIN, MAX = ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX


class ProcessGroup:
    """The ranks that work together. What they do together goes through `exchange`."""

    def __init__(
        self,
        exchange: Exchange,
        backend: str = Backend.GLOO,
        store: Store | None = None,
        group_name: str = "",
        desc: str = "",
    ):
        self.exchange = exchange
        self._backend = Backend(backend)
        self.store = store
        self.group_name = group_name
        self.group_desc = desc

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members, as numbers of the default group."""
        return self.exchange.ranks

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "cannot pickle 'torch._C._distributed_c10d.ProcessGroup' object"
        )  # as PyTorch says it, of copies, too

    def rank(self) -> int:
        """This process's number in the group."""
        return self.exchange.me

    def size(self) -> int:
        """How many processes the group has."""
        return self.exchange.n

    def name(self) -> str:
        """The backend's name."""
        return str(self._backend)

    _get_backend_name = name
    bound_device_id: Any = None  # the device that the group was made for, as `device_id` says

    def get_group_store(self) -> Store | None:
        """The store by which the ranks have found each other."""
        return self.store

    def set_timeout(self, timeout: timedelta) -> None:
        """How long a collective waits for the other ranks."""
        self.exchange.timeout = timeout.total_seconds()

    _set_default_timeout = set_timeout


class _World(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes; None before `init_process_group`."""
        _note_groups()
        return _now.default

    @WORLD.setter
    def WORLD(cls, group: ProcessGroup | None) -> None:
        _now.default = group


class group(metaclass=_World):
    """`group.WORLD` is the group of all processes."""


class GroupMember(metaclass=_World):
    """`GroupMember.WORLD` is the group of all processes; `NON_GROUP_MEMBER` stands for a group without this one."""

    NON_GROUP_MEMBER = -100


class _Groups:
    """The groups of this process, or of a rank that is a thread of it."""

    def __init__(self) -> None:
        self.default: ProcessGroup | None = None
        self.made: list[ProcessGroup] = []  # all groups that are in use, the default one first
        self.count = 0  # groups that were made: all processes count alike, so that it names them
        self.changes = 0  # how often the default group was made, or a group has ended
        self.alike: dict[
            tuple[int, ...], int
        ] = {}  # how many groups of these ranks their members have made by themselves


_now: _Groups = each_its_own(_Groups(), lambda _: _Groups())


def _beginnings_and_ends() -> int:
    return _now.changes


def _note_groups() -> None:
    """A compiled function holds for the groups that are there now."""
    if grad_state.trace is not None:
        grad_state.trace.guard(_beginnings_and_ends, "groups of processes have ended, or were made anew")


def are_several() -> bool:
    """Whether this process is one of several. A compiled function that asks does not hold for the answer."""
    return _now.default is not None and len(_now.default.ranks) > 1


def default_group() -> ProcessGroup:
    """The group of all processes; ValueError before `init_process_group`."""
    _note_groups()
    if _now.default is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return _now.default


def chosen(given: Any) -> Any:
    """The group that an argument `group=` means. It may be one that this process is not in (`is_member`)."""
    default = default_group()
    if (
        given is not None
        and given is not default
        and given is not GroupMember.NON_GROUP_MEMBER
        and given not in _now.made
    ):
        raise ValueError(f"Group {given} is not registered, please create group with torch.distributed.new_group API")
    return default if given is None else given


def group_named(name: str) -> ProcessGroup:
    """The group of this name. ValueError if there is none."""
    for made in _now.made:
        if made.group_name == name:
            return made
    raise ValueError(f"there is no group named {name!r}")


def group_of_ranks(ranks: list[int]) -> ProcessGroup:
    """A group of these ranks that is there. ValueError if there is none."""
    for made in _now.made:
        if list(made.ranks) == list(ranks):
            return made
    raise ValueError(f"there is no group of the ranks {ranks}: make one with new_group")


def is_member(given: Any) -> bool:
    """Whether this process is in a group."""
    return given is not GroupMember.NON_GROUP_MEMBER


def _rank_not_in_group(group: Any) -> bool:
    return not is_member(group)


def is_initialized() -> bool:
    """Whether `init_process_group` was called."""
    _note_groups()
    return _now.default is not None


def _backend(asked: str | None) -> Backend:
    name = Backend(asked.partition(":")[2].partition(",")[0] or asked) if asked else Backend("undefined")
    if name not in Backend.backend_list and name != "xla":
        raise AssertionError(f"Unknown backend type {name}")
    return Backend(Backend.GLOO) if name == "undefined" else name


@changes_setting
def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None, world_size: int = -1,
    rank: int = -1, store: Store | None = None, group_name: str = "", pg_options: Any = None, device_id: Any = None,
) -> None:  # fmt: skip
    """Make the default group, of `world_size` processes that all call this.

    They find each other by `env://` (the variables of a launcher), `tcp://host:port`, `file:///a/new/file`, or a store.
    Collectives wait for the others for `timeout` (30 minutes). ValueError if there is a group already.
    """
    if _now.default is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    name = _backend(backend)
    if store is not None and world_size <= 0:
        raise AssertionError("world_size must be positive if using store")
    if store is not None and rank < 0:
        raise AssertionError("rank must be non-negative if using store")
    if timeout is not None and not isinstance(timeout, timedelta):
        raise TypeError(
            f"Expected timeout argument to be of type datetime.timedelta, but got {timeout} of type {type(timeout)}"
        )
    limit = (timeout or default_pg_timeout).total_seconds()
    met: Meeting = meet(init_method, rank, world_size, store, limit)
    exchange = Exchange(met.link, "0", tuple(range(met.world_size)), met.rank, limit)
    _now.default = ProcessGroup(exchange, name, met.store, group_name or "0", "default_pg")
    _now.made.append(_now.default)
    _now.alike.clear()
    _now.count = 1
    _now.changes += 1


@changes_setting
def destroy_process_group(group: Any = None) -> None:
    """Let go of a group, or of all of them."""
    if _now.default is None:
        raise AssertionError("Process group cannot be None")
    if not is_member(group):
        return
    _now.changes += 1
    if group is None or group is _now.default:
        link = _now.default.exchange.link
        for made in _now.made:
            made.exchange.close()
        _now.default = None
        _now.made.clear()
        if link is not None:
            link.close()
    elif group in _now.made:
        group.exchange.close()
        _now.made.remove(group)
    else:
        raise ValueError("Invalid process group specified")


def end_threads() -> None:
    """Let the threads of all groups end: a rank that is a thread has come to its end, perhaps without `destroy_process_group`."""
    for made in _now.made:
        made.exchange.close()


def limit_of(timeout: Any, usual: float) -> float:
    """The seconds of a timeout; the usual ones for None. TypeError for what is no timedelta."""
    if timeout is None:
        return usual
    if not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    return timeout.total_seconds()


def _checked(ranks: Any, world: ProcessGroup, sort: bool) -> list[int]:
    if ranks is None:
        return list(range(world.size()))
    made = sorted(ranks) if sort else list(ranks)
    if len(set(made)) != len(made):
        raise ValueError(message("ranks_twice", ranks=list(ranks)))
    if len(made) > world.size():
        raise ValueError(
            "the new group's world size should be less or equal to the world size set by init_process_group"
        )
    for rank in made:
        if not 0 <= rank < world.size():
            raise ValueError(
                f"Rank {rank} is out of range. Valid ranks are 0 to {world.size() - 1} (world_size={world.size()})"
            )
    return made


@changes_setting
def new_group(
    ranks: Any = None, timeout: Any = None, backend: Any = None, pg_options: Any = None, use_local_synchronization: bool = False,
    group_desc: Any = None, device_id: Any = None, sort_ranks: bool = True,
) -> Any:  # fmt: skip
    """Another group of these ranks, or of all. All processes call it, in the same order, also those that are not in it.

    Those get `GroupMember.NON_GROUP_MEMBER`. With `use_local_synchronization` only the members call it.
    """
    world = default_group()
    members = _checked(ranks, world, sort_ranks)
    if use_local_synchronization:
        same = _now.alike[tuple(members)] = _now.alike.get(tuple(members), 0) + 1  # a name is never used again
        name = hashlib.sha1(f"{members} {same}".encode()).hexdigest()
    else:
        name = str(_now.count)
        _now.count += 1
    if world.rank() not in members:
        return GroupMember.NON_GROUP_MEMBER
    limit = limit_of(timeout, world.exchange.timeout)
    link: Link | None = world.exchange.link if len(members) > 1 else None
    store = None if world.store is None else PrefixStore(f"group {name}", world.store)
    exchange = Exchange(link, name, tuple(members), world.rank(), limit)
    made = ProcessGroup(exchange, backend or world.name(), store, name, group_desc or "undefined")
    _now.made.append(made)
    return made


@changes_setting
def new_subgroups(
    group_size: int | None = None, group: Any = None, timeout: Any = None, backend: Any = None, pg_options: Any = None,
    group_desc: Any = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """Parts of `group_size` ranks each, one after the other: (this process's part, all parts). With `group` they are parts of that
    group, whose members alone call this.
    """
    if not is_member(group):
        raise ValueError(
            "new_subgroups(group=...): this process is not in the group; only its members make parts of it"
        )
    world = chosen(group)
    size = world.size() if group_size is None else group_size
    if size <= 0:
        raise ValueError(f"The arg 'group_size' ({size}) must be positive")
    if size > world.size():
        raise ValueError(f"The arg 'group_size' ({size}) must not exceed the world size ({world.size()})")
    if world.size() % size:
        raise ValueError(f"The world size ({world.size()}) must be divisible by 'group_size={size}'")
    parts = [list(world.ranks[start : start + size]) for start in range(0, world.size(), size)]
    return _parts(parts, world is not default_group(), timeout, backend, pg_options, group_desc)


@changes_setting
def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Sequence[Sequence[int]], timeout: Any = None, backend: Any = None, pg_options: Any = None,
    group_desc: Any = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """One group for each list of ranks: (this process's, all of them). ValueError for a rank in two of them."""
    if not ranks_per_subgroup_list:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    seen = [rank for ranks in ranks_per_subgroup_list for rank in ranks]
    if len(set(seen)) != len(seen):
        raise ValueError("a rank is in more than one of the subgroups")
    return _parts(ranks_per_subgroup_list, False, timeout, backend, pg_options, group_desc)


def _parts(lists: Sequence[Sequence[int]], alone: bool, *options: Any) -> tuple[Any, list[Any]]:
    """`alone`: others than these ranks do not call this, so that members name their group by themselves."""
    timeout, backend, pg_options, desc = options
    made = [new_group(ranks, timeout, backend, pg_options, alone, group_desc=desc) for ranks in lists]
    return next((part for part in made if is_member(part)), None), made


@changes_setting
def split_group(
    parent_pg: Any = None, split_ranks: Sequence[Sequence[int]] | None = None, timeout: Any = None, pg_options: Any = None,
    group_desc: str | None = None, backend: Any = None,
) -> Any:  # fmt: skip
    """Groups of parts of a group, given as its own numbers: this process's, or `NON_GROUP_MEMBER`. ValueError without parts."""
    if not split_ranks:
        raise ValueError("split_ranks cannot be None or empty")
    parent = chosen(parent_pg)
    parts = [[parent.ranks[i] for i in part] for part in split_ranks]
    own, _ = new_subgroups_by_enumeration(parts, timeout, backend, pg_options, group_desc)
    return GroupMember.NON_GROUP_MEMBER if own is None else own


def get_rank(group: Any = None) -> int:
    """This process's number in a group; -1 if it is not in it."""
    return chosen(group).rank() if is_member(group) else -1


def get_world_size(group: Any = None) -> int:
    """How many processes a group has; -1 for one that this process is not in."""
    return chosen(group).size() if is_member(group) else -1


def get_backend(group: Any = None) -> str:
    """The backend's name."""
    return Backend(chosen(group).name())


def get_backend_config(group: Any = None) -> str:
    """The backends by device."""
    return f"cpu:{chosen(group).name()},cuda:{chosen(group).name()}"


def get_process_group_ranks(group: Any) -> list[int]:
    """The ranks of a group, as numbers of the default one."""
    if not is_member(group):
        raise ValueError("this process is not in the group: only its members know the ranks")
    return list(chosen(group).ranks)


def get_group_rank(group: Any, global_rank: int) -> int:
    """A rank's number in a group. ValueError if it is not in it."""
    ranks = chosen(group).ranks if is_member(group) else ()
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return ranks.index(global_rank)


def get_global_rank(group: Any, group_rank: int) -> int:
    """The number in the default group of a group's rank. ValueError if there is none such."""
    ranks = chosen(group).ranks if is_member(group) else ()
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number on this machine, from LOCAL_RANK, SLURM or MPI. RuntimeError if none says it and there is no other."""
    found = local_rank()
    if found is not None:
        return found
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work"
    )


def get_default_backend_for_device(device: Any) -> str:
    """The backend that a device's tensors go through."""
    return Backend.NCCL if str(device).startswith("cuda") else Backend.GLOO


def rendezvous(url: str, rank: int = -1, world_size: int = -1, **options: Any) -> Any:
    """One triple (store, rank, world size) of the processes that meet at `env://`, `tcp://...` or `file://...`."""
    limit = options.get("timeout", default_pg_timeout).total_seconds()
    found = meet(url, rank, world_size, None, limit)
    yield found.store, found.rank, found.world_size


def get_pg_count() -> int:
    """How many groups there are."""
    return len(_now.made)


def is_available() -> bool:
    """True."""
    return True


def is_gloo_available() -> bool:
    """True: the name of the CPU's backend is taken."""
    return True


def is_nccl_available() -> bool:
    """False: what goes through NCCL in PyTorch goes through the same way as with gloo."""
    return False


is_xccl_available: Any
is_ucc_available: Any
is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_backend_available(backend: str) -> bool:
    """Whether a backend's name is taken."""
    return backend.lower() == Backend.GLOO


def is_torchelastic_launched() -> bool:
    """Whether a launcher has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


if not TYPE_CHECKING:  # type checkers take every name
    __all__ = [
        name
        for name, value in list(globals().items())
        if getattr(value, "__module__", None) == __name__ and name[0] != "_"
    ]
    __all__ += ["default_pg_timeout", "register_rendezvous_handler"]
