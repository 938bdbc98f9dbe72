"""Plain tensors beside those on a mesh, functions of each process's parts, and attention over a sequence that is cut."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from ....core.array import devices
from ....core.tensor.tensor import Tensor
from ....runtime.absent import refuse as _refuse
from ...device_mesh import DeviceMesh
from ..dtensor import DTensor, redistribute, to_local
from ._attention import context_parallel

__all__ = ["context_parallel", "implicit_replication", "local_map"]


@contextlib.contextmanager
def implicit_replication() -> Iterator[None]:
    """A context in which plain tensors that go together with those cut over processes are the same in all of them."""
    with devices.mixing.allowed():
        yield


def local_map(
    func: Callable[..., Any] | None = None,
    out_placements: Any = None,
    in_placements: Any = None,
    in_grad_placements: Any = None,
    device_mesh: DeviceMesh | None = None,
    *,
    redistribute_inputs: bool = False,
) -> Callable[..., Any]:
    """A function of tensors cut over processes that calls `func` with this process's parts; what it gives are parts as
    `out_placements` say (None: no tensor, or as it is). ValueError for an input that lies otherwise than `in_placements` say, which is
    laid so with `redistribute_inputs`.
    """
    if func is None:
        return functools.partial(
            local_map, out_placements=out_placements, in_placements=in_placements, in_grad_placements=in_grad_placements,
            device_mesh=device_mesh, redistribute_inputs=redistribute_inputs,
        )  # fmt: skip
    function = func

    def entered(number: int, value: Any, meshes: list[DeviceMesh]) -> Any:
        if not isinstance(value, DTensor):
            return value
        meshes.append(value.device_mesh)  # type: ignore[attr-defined]
        wanted = None if in_placements is None else in_placements[number]
        if wanted is not None and tuple(wanted) != value.placements:  # type: ignore[attr-defined]
            if not redistribute_inputs:
                raise ValueError(
                    f"arg {value!r:.80} in local_map has a mismatched placements: arg placements is {value.placements} but the "  # type: ignore[attr-defined]
                    f"input placements is {tuple(wanted)}! If redistribute_inputs is wanted, set redistribute_inputs=True to local_map."
                )
            value = redistribute(value, placements=wanted)
        return to_local(value, grad_placements=None if in_grad_placements is None else in_grad_placements[number])

    @functools.wraps(function)
    def over_parts(*args: Any, **kwargs: Any) -> Any:
        meshes: list[DeviceMesh] = []
        output = function(*(entered(i, value, meshes) for i, value in enumerate(args)), **kwargs)
        mesh = device_mesh or (meshes[0] if meshes else None)
        if mesh is None or out_placements is None:
            return output
        several = isinstance(output, tuple)
        laid = out_placements if several else (out_placements,)
        made = tuple(
            DTensor.from_local(value, mesh, placed) if isinstance(value, Tensor) and placed is not None else value
            for value, placed in zip(output if several else (output,), laid, strict=True)
        )
        return made if several else made[0]

    return over_parts


_refuse(
    globals(),
    "placements of operators follow from XLA's own; local_map runs a function on each part",
    "register_sharding ",
)
