"""`torch.onnx.InputObserver`: what an export needs to know of a model's inputs, learned from calls of the model."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..core.tensor.tensor import Tensor
from ..export import Dim
from ..ops.making.creation import zeros
from ..utils import _pytree as pytree

_KEPT = 3  # calls that are remembered


def _copied(value: Any) -> Any:
    return pytree.tree_map(lambda v: v.detach().clone() if isinstance(v, Tensor) else v, value)


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


class _Seen:
    """One call: what it gave by name and by position, constants apart; what came out, and how long it took."""

    def __init__(self, args: Any, kwargs: dict[str, Any], outputs: Any, duration: float, usual: dict[str, Any]):
        self.args = tuple(args)
        self.kwargs = {k: v for k, v in kwargs.items() if _holds_tensors(v)}
        plain = {k: v for k, v in kwargs.items() if v is not None and not _holds_tensors(v)}
        self.constants = {k: v for k, v in plain.items() if k not in usual or usual[k] != v}
        self.outputs = [leaf for leaf in pytree.tree_leaves(_copied(outputs)) if leaf is not None]
        self.duration = duration

    def count(self) -> int:
        return sum(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves((self.args, self.kwargs)))


class InputObserver:
    """Watches calls of a model, and says which arguments an export needs and which of their sizes change.

    `with observer(model): ...` keeps the arguments and results of the first three calls of `model.forward`. `value_if_missing` gives, by name
    or position, a tensor for an argument that a later call leaves out; nothing is computed with it.
    """

    def __init__(self, value_if_missing: dict[str | int, Any] | None = None):
        self.value_if_missing: dict[str | int, Any] = dict(value_if_missing or {})
        self._seen: list[_Seen] = []
        self._names: list[str] = []

    @contextlib.contextmanager
    def __call__(self, model: Any) -> Iterator[InputObserver]:
        """Watch a model while inside."""
        forward = model.forward
        told = inspect.signature(forward).parameters.values()
        self._names = [p.name for p in told if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        usual = {p.name: p.default for p in told if p.default is not p.empty}

        def watched(*args: Any, **kwargs: Any) -> Any:
            if len(self._seen) >= _KEPT:
                return forward(*args, **kwargs)
            given = _copied((args, kwargs))  # as they were before the call
            start = time.perf_counter()
            made = forward(*args, **kwargs)
            self._seen.append(_Seen(given[0], given[1], made, time.perf_counter() - start, usual))
            return made

        own = vars(model).get("forward")
        model.forward = watched
        try:
            yield self
        finally:
            if own is None:
                del model.forward
            else:
                model.forward = own

    def num_obs(self) -> int:
        """How many calls are kept."""
        return len(self._seen)

    # --- what all calls have in common -------------------------------------------------------------------------------

    def _with_stand_ins(self) -> list[_Seen]:
        """The calls, with the values for what they leave out. RuntimeError if there are none."""
        if not self._seen:
            raise RuntimeError("No inputs were captured.")
        for seen in self._seen:
            for name, value in self.value_if_missing.items():
                if isinstance(name, str) and name not in seen.kwargs and self._position(name) >= len(seen.args):
                    seen.kwargs[name] = value
        return self._seen

    def _position(self, name: str) -> int:
        return self._names.index(name) if name in self._names else len(self._names)

    def _fullest(self) -> _Seen:
        """The call with most tensors. RuntimeError if another one has other constants, or arguments that it lacks."""
        calls = self._with_stand_ins()
        best = max(calls, key=_Seen.count)
        for other in calls:
            if other.constants != best.constants:
                raise RuntimeError(
                    f"Two calls were made with different constant values, {other.constants} != {best.constants}"
                )
            if any(name not in best.kwargs for name in other.kwargs):
                raise RuntimeError(
                    f"At least one call to the observed model must contain all the named arguments. candidate kwargs="
                    f"{list(other.kwargs)}, best candidate kwargs={list(best.kwargs)}."
                )
        return best

    def _of(self, seen: _Seen, key: str | int) -> Any:
        """An argument of a call, by position or name; None if it was not given."""
        if isinstance(key, int):
            if key < len(seen.args):
                return seen.args[key]
            key = self._names[key] if key < len(self._names) else ""
        elif (place := self._position(key)) < len(seen.args):
            return seen.args[place]
        return seen.kwargs.get(key)  # type: ignore[arg-type]

    def _dimensions(self, key: str | int, batch: bool = False) -> tuple[list[Any], Any]:
        """For each leaf of an argument, its dimensions of which calls differ (None for what is no tensor), and how they are nested."""
        values = [v for v in (self._of(seen, key) for seen in self._seen) if v is not None]
        flat = [pytree.tree_flatten(v) for v in values]
        leaves, spec = flat[0]
        found: list[Any] = []
        for place, leaf in enumerate(leaves):
            same = [other[place] for other, form in flat if form == spec]
            if not isinstance(leaf, Tensor):
                found.append(None)
                continue
            dims = {d for d in range(leaf.ndim) if len({tuple(s.shape)[d] for s in same if s.ndim == leaf.ndim}) > 1}
            found.append(dict.fromkeys(sorted(dims | ({0} if batch and leaf.ndim else set())), Dim.DYNAMIC))
        return found, spec

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As an export takes it: a tuple if all is given by position, else all by name, in the order of `forward`."""
        if not kwargs:
            return args
        named = {**dict(zip(self._names, args, strict=False)), **kwargs}
        return {name: named[name] for name in sorted(named, key=self._position)}

    def infer_dynamic_shapes(self, set_batch_dimension_for: set[int | str] | bool | None = None) -> Any:
        """Which sizes differ between the calls, as `dynamic_shapes` for an export.

        `set_batch_dimension_for` names arguments (all, if True) of which the first size is said to change, too.
        Raises RuntimeError if no call was seen, or if none has all arguments.
        """
        best, asked = self._fullest(), set_batch_dimension_for

        def batch(place: int | None, name: str | None) -> bool:
            return asked is True or (isinstance(asked, (set, list, tuple)) and (place in asked or name in asked))

        names = [*self._names, *(None,) * len(best.args)]
        args = tuple(pytree.tree_unflatten(*self._dimensions(i, batch(i, names[i]))) for i in range(len(best.args)))
        kwargs = {
            name: pytree.tree_unflatten(*self._dimensions(name, batch(self._position(name), name)))
            for name in best.kwargs
        }
        return self._named(args, kwargs)

    def infer_arguments(
        self,
        index_or_args_or_kwargs: tuple[Any, ...] | dict[str, Any] | int | None = None,
        flat: bool = False,
        as_args_kwargs: bool = False,
    ) -> Any:
        """Arguments for an export: those of the call with most tensors, of the call of a number, or the given ones.

        What is missing there becomes an empty tensor: the changing sizes are 0. `flat` gives the list of all tensors, `as_args_kwargs`
        the arguments by position and those by name. Raises RuntimeError as `infer_dynamic_shapes` does.
        """
        best, chosen = self._fullest(), index_or_args_or_kwargs
        if chosen is None:
            args, kwargs = best.args, best.kwargs
        elif isinstance(chosen, int):
            args, kwargs = self._seen[chosen].args, self._seen[chosen].kwargs
        else:
            args, kwargs = (chosen, {}) if isinstance(chosen, tuple) else ((), dict(chosen))
        args = (*args, *(self._empty(i) for i in range(len(args), len(best.args)) if self._names[i] not in kwargs))
        named = {name: kwargs[name] if name in kwargs else self._empty(name) for name in best.kwargs}
        named |= {name: value for name, value in kwargs.items() if name not in named}
        if flat:
            return pytree.tree_leaves((args, named))
        return (args, named) if as_args_kwargs else self._named(args, named)

    def _empty(self, key: str | int) -> Any:
        """An argument that was not given: zeros, whose changing sizes are 0."""
        values = [v for v in (self._of(seen, key) for seen in self._seen) if v is not None]
        if not values:
            return self.value_if_missing.get(key)
        leaves, spec = pytree.tree_flatten(values[0])
        made = []
        for leaf, dims in zip(leaves, self._dimensions(key)[0], strict=True):
            shape = (
                [0 if d in (dims or ()) else n for d, n in enumerate(leaf.shape)] if isinstance(leaf, Tensor) else None
            )
            made.append(leaf if shape is None else zeros(shape, dtype=leaf.dtype, device=leaf.device))
        return pytree.tree_unflatten(made, spec)

    # --- whether the exported model does the same -------------------------------------------------------------------

    def check_discrepancies(
        self,
        onnx_program: Any,
        atol: float = 1e-4,
        rtol: float = 0.1,
        progress_bar: bool = False,
        initializer: Callable[..., Any] | None = None,
        skip_none: bool = True,
    ) -> list[dict[str, Any]]:
        """How far the results of an exported model are from those that were seen: a dict for each call.

        `SUCCESS` says whether the largest absolute and relative differences (`abs`, `rel`) are within `atol` and `rtol`. An error is told
        under `error`. `progress_bar` needs tqdm; other ways to start ONNX Runtime (`initializer`) are refused (NotImplementedError).
        """
        if initializer is not None:
            raise NotImplementedError("check_discrepancies(initializer=...): the program starts ONNX Runtime by itself")
        calls: Any = list(enumerate(self._seen))
        if progress_bar:
            calls = importlib.import_module("tqdm").tqdm(calls)
        told = []
        for index, seen in calls:
            flat = self.infer_arguments(index, flat=True)
            given = pytree.tree_leaves((seen.args, seen.kwargs))
            row: dict[str, Any] = {"SUCCESS": False, "abs": float("inf"), "rel": float("inf"), "index": index}
            start = time.perf_counter()
            try:
                args, kwargs = self.infer_arguments(index, as_args_kwargs=True)
                made = onnx_program(*args, **kwargs)
                row |= _difference(seen.outputs, [m for m in made if m is not None or not skip_none], atol, rtol)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"
            row |= {"duration_torch": seen.duration, "ort_duration": time.perf_counter() - start, "n_inputs": len(flat)}
            row["n_none"] = len(flat) - len(given)
            row["n_empty"] = sum(isinstance(v, Tensor) and v.numel() == 0 for v in flat)
            told.append(row)
        return told


def _difference(expected: list[Any], made: list[Any], atol: float, rtol: float) -> dict[str, Any]:
    if len(expected) != len(made):
        return {"error": f"{len(made)} results instead of {len(expected)}"}
    absolute = relative = 0.0
    for a, b in zip(expected, made, strict=True):
        if tuple(a.shape) != tuple(b.shape):
            return {"error": f"a result of shape {tuple(b.shape)} instead of {tuple(a.shape)}"}
        if a.numel():
            off = (a.double() - b.double()).abs()
            absolute = max(absolute, off.max().item())
            relative = max(relative, (off / (a.double().abs() + atol)).max().item())
    return {"SUCCESS": absolute <= atol and relative <= rtol, "abs": absolute, "rel": relative}


__all__ = ["InputObserver"]
