"""How operators compute images that lie channels-last without a program (see `core/dispatch/directly.py`)."""

from __future__ import annotations

from typing import Any

from ...core.dispatch.directly import Form, Given, Run
from ...native import images

# ---------------------------------------------------------------- batch normalization


def _is_usual(given: Given, *more: Any) -> bool:
    """Whether there are images, and statistics, weight and bias for all channels."""
    if not given.images(given["input"], *more):
        return False
    channels = given.arrays[given["input"]].shape[1]
    return given.channelwise(channels, *(given[name] for name in ("running_mean", "running_var", "weight", "bias")))


def _of(given: Given, name: str) -> Any:
    """The number for a parameter."""
    value = given[name]
    return given.arrays[value] if given.is_array(name) else value


def _batch_norm(given: Given) -> Run | None:
    if not _is_usual(given):
        return None
    shape, eps, momentum = given.arrays[given["input"]].shape, _of(given, "eps"), _of(given, "momentum")
    ends = () if given.is_array("eps") else (eps,)
    if not given["training"]:
        call = images.batch_norm_by(shape, eps)
        return call and (
            lambda x, mean, variance, weight, bias, _, *e: call(x, mean, variance, weight, bias, *(e or ends))
        )
    calls = images.batch_norm(shape, momentum, eps)
    return calls and (lambda *arrays: tuple(calls(*arrays, *ends)))


def _batch_norm_gradient(given: Given, wanted: tuple[int, ...]) -> Run | None:
    if not given["training"] or not _is_usual(given, *given.cotangents):
        return None
    eps = _of(given, "eps")
    ends = () if given.is_array("eps") else (eps,)
    places = [given["input"], given["weight"], given["bias"]]
    call = images.batch_norm_gradient(given.arrays[places[0]].shape, eps)
    if call is None or not set(wanted) <= set(places):
        return None
    chosen = [places.index(i) for i in wanted]

    def run(x: Any, mean: Any, variance: Any, weight: Any, bias: Any, momentum: Any, *rest: Any) -> tuple[Any, ...]:
        *e, g = rest
        made = call(x, weight, *(e or ends), g)
        return tuple(made[i] for i in chosen)

    return run


BATCH_NORM = Form(_batch_norm, _batch_norm_gradient)


# ---------------------------------------------------------------- elementwise


def _relu(given: Given) -> Run | None:
    return images.relu(given.arrays[0].shape) if given.images(given["input"]) else None


def _relu_gradient(given: Given, wanted: tuple[int, ...]) -> Run | None:
    if not given.images(given["input"], *given.cotangents):
        return None
    call = images.relu_gradient(given.arrays[0].shape)
    return call and (lambda x, g: (call(x, g),))


RELU = Form(_relu, _relu_gradient)


def _add(given: Given) -> Run | None:
    if not given.images(given["input"], given["other"]) or given.is_array("alpha"):
        return None
    return images.added(given.arrays, given.turned)


ADD = Form(_add)


# ---------------------------------------------------------------- side by side


def _shapes(given: Given) -> list[tuple[int, ...]] | None:
    """Those of images that are to be joined along their channels; None for anything else."""
    if not given.images(*given["tensors"]):
        return None
    shapes = [given.arrays[i].shape for i in given["tensors"]]
    alike = len({(len(shape), shape[0], *shape[2:]) for shape in shapes}) == 1
    return shapes if alike and given["dim"] in (1, 1 - len(shapes[0])) else None


def _cat(given: Given) -> Run | None:
    shapes = _shapes(given)
    return None if shapes is None else images.joined(shapes)


def _cat_gradient(given: Given, wanted: tuple[int, ...]) -> Run | None:
    shapes = _shapes(given) if given.images(*given.cotangents) else None
    if shapes is None:
        return None
    call = images.taken_apart(shapes, given.arrays[-1].shape)
    if call is None:
        return None

    def run(*arrays: Any) -> tuple[Any, ...]:
        made = call(arrays[-1])
        return tuple(made[i] for i in wanted)

    return run


CAT = Form(_cat, _cat_gradient)
