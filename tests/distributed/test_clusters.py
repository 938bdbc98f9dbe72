"""Processes that SLURM or MPI starts: their variables, set by hand as srun and mpirun set them, in place of torchrun's."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from flambeau import distributed
from flambeau.processes import clusters, rendezvous

PROGRAM = """
import flambeau as torch
from flambeau import distributed
distributed.init_process_group("gloo")
mesh = distributed.device_mesh.init_device_mesh("cpu", (2,))
x = torch.tensor([distributed.get_rank() + 1.0])
distributed.all_reduce(x)
print(distributed.get_rank(), distributed.get_world_size(), distributed.get_node_local_rank(), mesh.get_local_rank(), x.item())
distributed.destroy_process_group()
"""


def slurm(rank: int, size: int = 2, nodes: str = "localhost", job: int = 7) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": str(job), "SLURM_STEP_NODELIST": nodes, "SLURM_NTASKS": str(size), "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank), "SLURM_STEP_NUM_NODES": "1",
    }  # fmt: skip


def open_mpi(rank: int, job: int) -> dict[str, str]:
    """Of version 4; its fifth has PMIX_NAMESPACE in the place of the URI."""
    return {"OMPI_MCA_orte_hnp_uri": f"{job * 4096}.0;tcp://127.0.0.1,10.0.0.1:34911", **_open_mpi(rank)}


def open_mpi_5(rank: int, job: int) -> dict[str, str]:
    return {"PMIX_NAMESPACE": f"prterun-host-{job}@1", **_open_mpi(rank)}


def _open_mpi(rank: int) -> dict[str, str]:
    return {f"OMPI_COMM_WORLD_{end}": str(value) for end, value in
            (("RANK", rank), ("SIZE", 2), ("LOCAL_RANK", rank), ("LOCAL_SIZE", 2))}  # fmt: skip


def hydra(rank: int, size: int = 2) -> dict[str, str]:
    return {
        "PMI_RANK": str(rank), "PMI_SIZE": str(size), "MPI_LOCALRANKID": str(rank), "MPI_LOCALNRANKS": str(size),
    }  # fmt: skip


def without_launchers() -> dict[str, str]:
    starts = ("SLURM_", "OMPI_", "PMI", "MPI_", "MASTER_")
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "JAX_COORDINATOR_PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith(starts) and name not in names}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ.keys() - without_launchers().keys():
        monkeypatch.delenv(name)
    return monkeypatch


def put(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def both(made: list[dict[str, str]]) -> list[str]:
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**without_launchers(), **variables},
        )
        for variables in made
    ]  # fmt: skip
    ended = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], ended[0][1][-1500:] + ended[1][1][-1500:]
    return [out.strip() for out, _ in ended]


@pytest.mark.parametrize(
    "launcher",
    [
        lambda rank, job: slurm(rank, job=job),
        pytest.param(open_mpi, marks=pytest.mark.slow),
        pytest.param(open_mpi_5, marks=pytest.mark.slow),
    ],
)
def test_two_processes_find_each_other(launcher: object) -> None:
    job = random.randrange(4096)
    assert callable(launcher)
    assert both([launcher(rank, job) for rank in (0, 1)]) == ["0 2 0 0 3.0", "1 2 1 1 3.0"]


def test_the_address_is_of_the_first_machine_of_a_step(environment: pytest.MonkeyPatch) -> None:
    put(environment, slurm(3, 8, "node[007,009-012],other", 4099))
    place = clusters.find()
    assert place is not None
    assert (place.rank, place.world_size, place.local_rank) == (3, 8, 3)
    assert place.address() == ("node007", "61443")
    environment.setenv("MASTER_PORT", "1234")
    assert place.address() == ("node007", "1234")
    environment.setenv("MASTER_ADDR", "here")
    assert place.address() == ("here", "1234")


def test_an_address_of_ipv6(environment: pytest.MonkeyPatch) -> None:
    put(environment, {**open_mpi(0, 5), "OMPI_MCA_orte_hnp_uri": "20480.0;tcp6://[fe80::1,2620::2]:43370"})
    place = clusters.find()
    assert place is not None
    assert place.address() == ("[fe80::1]", "61445")


def test_torchruns_variables_come_first(environment: pytest.MonkeyPatch) -> None:
    put(environment, {**slurm(1), "RANK": "0"})
    with pytest.raises(ValueError, match="environment variable WORLD_SIZE expected, but not set"):
        distributed.init_process_group("gloo")


def test_nothing_is_found(environment: pytest.MonkeyPatch) -> None:
    put(
        environment, {name: value for name, value in slurm(0).items() if name != "SLURM_STEP_NODELIST"}
    )  # an sbatch script
    assert clusters.find() is None
    with pytest.raises(ValueError, match=r"using env:// rendezvous: environment variable RANK expected, but not set"):
        distributed.init_process_group("gloo")
    with pytest.raises(RuntimeError, match="fallback_rank"):
        distributed.get_node_local_rank()
    assert distributed.get_node_local_rank(3) == 3


def test_a_process_alone_needs_no_address(environment: pytest.MonkeyPatch) -> None:
    put(environment, hydra(0, 1))
    distributed.init_process_group("gloo")
    assert (distributed.get_rank(), distributed.get_world_size()) == (0, 1)
    distributed.destroy_process_group()


def test_mpi_without_an_address(environment: pytest.MonkeyPatch) -> None:
    put(environment, hydra(1, 4))
    environment.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"rank 1 of 4, but does not say .* set MASTER_ADDR and MASTER_PORT .* mpi4py"):
        distributed.init_process_group("gloo")
    environment.setenv("MASTER_PORT", "29400")  # all four are on this machine
    place = clusters.find()
    assert place is not None
    assert place.address() == ("127.0.0.1", "29400")


def test_mpiexec_within_a_job_of_slurm(environment: pytest.MonkeyPatch) -> None:
    put(environment, {**slurm(0, 2), **hydra(3, 8)})  # the task of SLURM's is the one that starts four of MPI's
    place = clusters.find()
    assert place is not None
    assert (place.launcher, place.rank, place.world_size) == ("MPI", 3, 8)
    put(environment, hydra(0, 2))  # srun --mpi=pmi2 says both
    place = clusters.find()
    assert place is not None
    assert (place.launcher, place.rank) == ("SLURM", 0)


def test_half_of_mpis_variables(environment: pytest.MonkeyPatch) -> None:
    put(environment, {"OMPI_MCA_orte_hnp_uri": "4096.0;tcp://127.0.0.1:1"})
    with pytest.raises(ValueError, match="OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE are not both set"):
        rendezvous.has_launcher()
