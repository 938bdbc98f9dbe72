"""Which layers are cut how."""

from __future__ import annotations

import contextlib
import fnmatch
import warnings
from collections.abc import Iterator

from ....core.array import devices
from ....nn.modules.module import Module
from ...device_mesh import DeviceMesh
from ..dtensor import the_mesh
from .styles import ParallelStyle


def parallelize_module(
    module: Module,
    device_mesh: DeviceMesh | None = None,
    parallelize_plan: ParallelStyle | dict[str, ParallelStyle] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> Module:
    """Cut a module, or the modules that a plan names (`layers.*.up`), in the given styles.

    Parameters stay the same objects. In several processes their values are those of the process of number `src_data_rank`; with None
    each takes its part of its own. ValueError for a mesh of more than one side (take one of it: `mesh["tp"]`), TypeError for
    a plan of other things; a name that no module has is warned of.
    """
    mesh = the_mesh(device_mesh)
    if mesh.ndim > 1:
        raise ValueError(
            f"Currently only accepts a 1D device mesh, got {mesh.ndim} dimensions: take one side of it, mesh['tp']"
        )
    if parallelize_plan is None:
        warnings.warn("No parallelize_plan is provided and auto-parallel is not supported at the moment", stacklevel=2)
        return module
    if isinstance(parallelize_plan, ParallelStyle):
        parallelize_plan.src_data_rank = src_data_rank
        return parallelize_plan._apply(module, mesh)
    if not isinstance(parallelize_plan, dict):
        raise TypeError(
            f"Expect Union[ParallelStyle, Dict[str, ParallelStyle]] for parallelize_plan, {type(parallelize_plan)} found!"
        )
    for path, style in parallelize_plan.items():
        found = _found(module, path.split(".") if path else [])
        if not found:
            warnings.warn(
                f"Parallelize plan key '{path}' could not be resolved: there is no such module in {type(module).__name__}, "
                "skipping this plan entry.",
                stacklevel=2,
            )
        style.src_data_rank = src_data_rank
        for part in found:
            style._apply(part, mesh)
    return module


def _found(module: Module, path: list[str]) -> list[Module]:
    """The modules that a path of names and patterns leads to."""
    if not path:
        return [module]
    children = [child for name, child in module.named_children() if fnmatch.fnmatch(name, path[0])]
    return [found for child in children for found in _found(child, path[1:])]


@contextlib.contextmanager
def loss_parallel() -> Iterator[None]:
    """A context in which a loss of logits that are cut along the classes is not put together first: XLA sees to that anyway.
    Targets may be plain tensors in it, the same in all processes.
    """
    with devices.mixing.allowed():
        yield
