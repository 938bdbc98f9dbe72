"""Process groups. There is one process: a group has it as its only rank, and what it asks of others it does itself."""

from __future__ import annotations

import enum
import os
from datetime import timedelta
from typing import Any, ClassVar

from .stores import FileStore, HashStore, Store, default_pg_timeout

NOT_YET = "flambeau's process groups have one process (world_size=1): several are not there yet"


class DistError(RuntimeError):
    """What goes wrong between processes."""


class DistBackendError(DistError):
    """What goes wrong in a backend."""


class DistNetworkError(DistError):
    """What goes wrong on the network."""


class DistStoreError(DistError):
    """What goes wrong in a store."""


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

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, but got {name!r}")
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
    """The ranks that work together: here one, rank 0."""

    def __init__(self, backend: str = Backend.GLOO, store: Store | None = None, group_name: str = "", desc: str = ""):
        self._backend, self.store = Backend(backend), store
        self.group_name, self.group_desc = group_name, desc

    def rank(self) -> int:
        """This process's number in the group."""
        return 0

    def size(self) -> int:
        """How many processes the group has."""
        return 1

    def name(self) -> str:
        """The backend's name."""
        return str(self._backend)


class _World(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes; None before `init_process_group`."""
        return _default

    @WORLD.setter
    def WORLD(cls, group: ProcessGroup | None) -> None:
        global _default
        _default = group


class group(metaclass=_World):
    """`group.WORLD` is the group of all processes."""


class GroupMember(metaclass=_World):
    """`GroupMember.WORLD` is the group of all processes; `NON_GROUP_MEMBER` stands for a group without this one."""

    NON_GROUP_MEMBER = -100


_default: ProcessGroup | None = None
_made: list[ProcessGroup] = []  # all groups that are in use, the default one first


def default_group() -> ProcessGroup:
    """The group of all processes; ValueError before `init_process_group`."""
    if _default is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return _default


def chosen(given: Any) -> ProcessGroup:
    """The group that an argument `group=` means."""
    return default_group() if given is None else given


def is_initialized() -> bool:
    """Whether `init_process_group` was called."""
    return _default is not None


def _from_environment(rank: int, world_size: int) -> tuple[int, int]:
    found = []
    for name, given in (("RANK", rank), ("WORLD_SIZE", world_size)):
        if given == -1 and name not in os.environ:
            raise ValueError(
                f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set"
            )
        found.append(int(os.environ[name]) if given == -1 else given)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise ValueError(
                f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set"
            )
    return found[0], found[1]


def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None, world_size: int = -1,
    rank: int = -1, store: Store | None = None, group_name: str = "", pg_options: Any = None, device_id: Any = None,
) -> None:  # fmt: skip
    """Make the default group. ValueError if there is one; RuntimeError for more than one process."""
    global _default
    if _default is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    name = Backend(backend.partition(":")[2].partition(",")[0] or backend) if backend else Backend("undefined")
    if name not in Backend.backend_list:
        raise AssertionError(f"Unknown backend type {name}")
    if store is not None:
        if world_size <= 0 or rank < 0:
            raise AssertionError("world_size must be positive, rank non-negative, if using store")
    elif init_method is None or init_method.startswith("env://"):
        rank, world_size = _from_environment(rank, world_size)
        store = HashStore()
    elif init_method.startswith("file://"):
        store = FileStore(init_method.removeprefix("file://"), world_size)
    else:
        store = HashStore()
    if world_size != 1 or rank != 0:
        raise RuntimeError(f"{NOT_YET}; got rank={rank}, world_size={world_size}")
    _default = ProcessGroup(Backend.GLOO if name == "undefined" else name, store, group_name or "0", "default_pg")
    _made.append(_default)


def destroy_process_group(group: Any = None) -> None:
    """Let go of a group, or of all of them."""
    global _default
    if _default is None:
        raise AssertionError("Process group cannot be None")
    if group is None or group is _default:
        _default = None
        _made.clear()
    elif group in _made:
        _made.remove(group)
    else:
        raise ValueError("Invalid process group specified")


def new_group(
    ranks: Any = None, timeout: Any = None, backend: Any = None, pg_options: Any = None, use_local_synchronization: bool = False,
    group_desc: Any = None, device_id: Any = None, sort_ranks: bool = True,
) -> ProcessGroup:  # fmt: skip
    """Another group of these ranks, or of all."""
    world = default_group()
    if ranks is not None:
        ranks = list(ranks)
        if len(ranks) > 1:
            raise ValueError(
                "the new group's world size should be less or equal to the world size set by init_process_group"
            )
        if ranks != [0]:
            raise ValueError("the new group's rank should be within the world_size set by init_process_group")
    made = ProcessGroup(backend or world.name(), world.store, str(len(_made)), group_desc or "undefined")
    _made.append(made)
    return made


def new_subgroups(group_size: int | None = None, group: Any = None, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
    """Equal parts of a group: (this process's part, all parts)."""
    if group_size not in (None, 1):
        raise ValueError(f"The arg 'group_size' ({group_size}) must not exceed the world size (1)")
    made = new_group([0])
    return made, [made]


def get_rank(group: Any = None) -> int:
    """This process's number in a group."""
    return chosen(group).rank()


def get_world_size(group: Any = None) -> int:
    """How many processes a group has."""
    return chosen(group).size()


def get_backend(group: Any = None) -> str:
    """The backend's name."""
    return Backend(chosen(group).name())


def get_backend_config(group: Any = None) -> str:
    """The backends by device."""
    return f"cpu:{chosen(group).name()},cuda:{chosen(group).name()}"


def get_process_group_ranks(group: Any) -> list[int]:
    """The ranks of a group, as numbers of the default one."""
    return list(range(chosen(group).size()))


def get_group_rank(group: Any, global_rank: int) -> int:
    """A rank's number in a group. ValueError if it is not in it."""
    if global_rank != 0:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return 0


def get_global_rank(group: Any, group_rank: int) -> int:
    """The number in the default group of a group's rank. ValueError if there is none such."""
    if group_rank != 0:
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return 0


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number on this machine, from LOCAL_RANK. RuntimeError if that is not set and there is no other."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work"
    )


def get_default_backend_for_device(device: Any) -> str:
    """The backend that a device's tensors go through."""
    return Backend.NCCL if str(device).startswith("cuda") else Backend.GLOO


def get_pg_count() -> int:
    """How many groups there are."""
    return len(_made)


def is_available() -> bool:
    """True: groups of one process are there."""
    return True


def is_gloo_available() -> bool:
    """True: the name of the CPU's backend is taken."""
    return True


def is_nccl_available() -> bool:
    """False: there is one process."""
    return False


is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_backend_available(backend: str) -> bool:
    """Whether a backend's name is taken."""
    return backend.lower() == Backend.GLOO


def is_torchelastic_launched() -> bool:
    """Whether a launcher has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


__all__ = [
    name for name, value in list(globals().items()) if getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
__all__ += ["default_pg_timeout"]
