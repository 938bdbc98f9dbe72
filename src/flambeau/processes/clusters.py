"""Who this process is where SLURM or MPI has started it, as JAX finds it: rank, world size, and where rank 0 is reached."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from jax._src.clusters import Mpi4pyCluster, OmpiCluster, SlurmCluster

_OPEN_MPI = tuple(f"OMPI_COMM_WORLD_{end}" for end in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))
_HYDRA = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")  # MPICH's and Intel MPI's launcher
_PORTS = 65536 - 4096  # where the ports begin that JAX takes by the number of a job


@dataclass
class Place:
    """A process among those that were started with it. `local_rank` is None where its launcher does not tell."""

    launcher: str
    rank: int
    world_size: int
    local_rank: int | None
    local_size: int | None = None

    def address(self) -> tuple[str, str]:
        """Host and port of rank 0, the same in all processes. ValueError where nothing says them."""
        host = os.environ.get("MASTER_ADDR")
        port = os.environ.get("MASTER_PORT") or os.environ.get("JAX_COORDINATOR_PORT")
        if host and port:
            return host, port
        found = self._found(port)
        return host or found[0], found[1]

    def _found(self, port: str | None) -> tuple[str, str]:
        cluster: Any = None
        if self.launcher == "SLURM":
            cluster = SlurmCluster
        elif OmpiCluster.is_env_present():
            cluster = OmpiCluster
        elif self.local_size == self.world_size and (port or "PMIX_NAMESPACE" in os.environ):  # all are on this machine
            made = _PORTS + zlib.crc32(os.environ.get("PMIX_NAMESPACE", "").encode()) % 4096
            return "127.0.0.1", port or str(made)
        elif find_spec("mpi4py") is not None:
            cluster = Mpi4pyCluster
            size = cluster.get_process_count()
            if size != self.world_size:
                raise ValueError(
                    f"{self.launcher} has started {self.world_size} processes, but mpi4py is in a world of {size}: it was built "
                    "with another MPI. Set MASTER_ADDR and MASTER_PORT to where rank 0 can be reached."
                )
        else:
            raise ValueError(
                f"{self.launcher} has started this process as rank {self.rank} of {self.world_size}, but does not say where rank 0 can "
                "be reached: set MASTER_ADDR and MASTER_PORT (a free port of rank 0's machine) for all processes, or install mpi4py"
            )
        host, _, found = cluster.get_coordinator_address(timeout_secs=None, override_coordinator_port=port).rpartition(
            ":"
        )
        return f"[{host}]" if ":" in host else host, found


def find() -> Place | None:
    """This process's place among those that SLURM or MPI has started; None if neither has."""
    given = os.environ
    if OmpiCluster.is_env_present() or set(_OPEN_MPI[:2]) <= given.keys():
        return _by("Open MPI", _OPEN_MPI, given)
    of_hydra = _by("MPI", _HYDRA, given) if set(_HYDRA[:2]) <= given.keys() else None
    if SlurmCluster.is_env_present():
        step = Place(
            "SLURM",
            SlurmCluster.get_process_id(),
            SlurmCluster.get_process_count(),
            SlurmCluster.get_local_process_id(),
        )
        # an mpiexec within a job has one task of SLURM's for each machine, whose variables its processes see
        if of_hydra is None or (of_hydra.rank, of_hydra.world_size) == (step.rank, step.world_size):
            return step
    return of_hydra


def _by(launcher: str, names: tuple[str, ...], given: Mapping[str, str]) -> Place:
    rank, size, local_rank, local_size = (int(given[name]) if name in given else None for name in names)
    if rank is None or size is None:
        raise ValueError(f"{launcher} has started this process, but {names[0]} and {names[1]} are not both set")
    return Place(launcher, rank, size, local_rank, local_size)
