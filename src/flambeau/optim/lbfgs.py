"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor, wrap
from ._line_search import Point, StrongWolfe, interpolated
from ._loading import check_has, check_is_dict, check_options, check_piece
from ._options import check_options as check_ranges
from ._own_writes import has_its_own
from .optimizer import Number, Optimizer, ParamsT, loss_of
from .rule import picked

__all__ = ["LBFGS"]

_R = TypeVar("_R")


@jax.jit
def _towards(q: Any, y: Any, s: Any, ro: Any) -> tuple[Any, Any]:
    """One turn of the first loop of the two-loop recursion (Nocedal and Wright, 2006, algorithm 7.4)."""
    alpha = jnp.vdot(s, q) * ro
    return alpha, q - alpha * y


@jax.jit
def _back(r: Any, y: Any, s: Any, ro: Any, alpha: Any) -> Any:
    """One turn of the second loop."""
    return r + s * (alpha - jnp.vdot(y, r) * ro)


@jax.jit
def _pair(gradient: Any, before: Any, direction: Any, t: Any) -> tuple[Any, ...]:
    """What the last step tells of the curvature: y, s, y's, and y's / y'y."""
    y, s = gradient - before, direction * t.astype(direction.dtype)
    ys = jnp.vdot(y, s)
    return y, s, ys, ys / jnp.vdot(y, y)


@jax.jit
def _dot(a: Any, b: Any) -> Any:
    return jnp.vdot(a, b)


@jax.jit
def _largest(a: Any) -> Any:
    return jnp.max(jnp.abs(a), initial=0)


@jax.jit
def _moved(x: Any, direction: Any, t: Any) -> Any:
    return x + direction * t.astype(direction.dtype)


def _flat(arrays: list[Any]) -> Any:
    """One real vector of all elements; a complex one counts as two."""
    pieces = [jnp.stack([a.real, a.imag], -1) if jnp.iscomplexobj(a) else a for a in arrays]
    return jnp.concatenate([piece.reshape(-1) for piece in pieces])


_MOST_TURNS = 25  # of a line search

# what a step leaves for the next one, in PyTorch's order
_MEMORY = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


def _first_length(gradient: Any, rate: Any) -> Any:
    """How far the first iteration goes: the rate, less if the gradient is large. Kept as what PyTorch keeps."""
    total = jnp.sum(jnp.abs(gradient))
    if not total > 1:
        return 1.0 * rate
    return wrap(1.0 / total) * rate


def _number(loss: Any) -> float:
    """What a closure gave, as a number: nothing is to be recorded of it."""
    return float(loss.detach() if isinstance(loss, Tensor) else loss)


def _like(value: float, of: Any) -> Any:
    """A number as a tensor, where what it was computed of is one."""
    return of.new_tensor(value) if isinstance(of, Tensor) else value


def _cubic_interpolate(x1: Any, f1: Any, g1: Any, x2: Any, f2: Any, g2: Any, bounds: Any = None) -> Any:
    """The minimum of the cubic through two points with values `f` and slopes `g`, within `bounds`: other packages' use of ours."""
    low, high = (None, None) if bounds is None else map(float, bounds)
    ends = Point(float(x1), float(f1), None, float(g1)), Point(float(x2), float(f2), None, float(g2))
    found = interpolated(ends[0], ends[1], low, high)
    return _like(found, next((given for given in (g1, g2, f1, f2, x1, x2) if isinstance(given, Tensor)), None))


def _strong_wolfe(
    obj_func: Callable[..., Any], x: Any, t: Any, d: Any, f: Any, g: Any, gtd: Any,
    c1: float = 1e-4, c2: float = 0.9, tolerance_change: float = 1e-9, max_ls: int = 25,
) -> tuple[Any, Any, Any, int]:  # fmt: skip
    """The line search of LBFGS by the name under which other packages use it.

    `obj_func(x, t, d)` gives the loss and the gradient (a vector) at `x + t d`; `f`, `g` and `gtd` are those at `x` and the slope along
    `d`. Returns the loss, the gradient and the step length that were found, and the number of evaluations.
    """

    def at(length: Any) -> Point:
        loss, gradient = obj_func(x, length, d)
        return Point(float(length), _number(loss), (loss, gradient, length), float(gradient.dot(d)))

    first = [t]  # goes on as it was given
    start = Point(0.0, float(f), (f, g, 0), float(gtd))
    line = StrongWolfe(lambda length: at(first.pop() if first else _like(length, gtd)), start, max_ls, c1, c2)
    best, made = line.find(float(t), float(d.abs().max()), tolerance_change)
    return *best.gradient, made


class LBFGS(Optimizer):
    """Limited-memory BFGS over all parameters together; each `step` makes up to `max_iter` iterations.

    `step` needs a closure that computes the loss and the gradients anew. An iteration goes by `lr`, or as far as
    `line_search_fn="strong_wolfe"` finds good. It ends when the gradient is below `tolerance_grad`, or the step or the
    change of the loss below `tolerance_change`, or after `max_eval` evaluations (default: 1.25 `max_iter`). There can
    be only one group (ValueError). The last `history_size` steps are remembered.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Number = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_ranges(lr)
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        names = "lr max_iter max_eval tolerance_grad tolerance_change history_size line_search_fn"
        super().__init__(params, picked(locals(), names))
        if len(self.param_groups) != 1:
            raise ValueError(
                f"{type(self).__name__} doesn't support per-parameter options (parameter groups): give it one list"
            )

    def _check_loaded(self, state: dict[Any, Any], groups: list[dict[str, Any]]) -> None:
        group = groups[0]
        numbers, whole = ("lr", "tolerance_grad", "tolerance_change"), ("max_iter", "max_eval", "history_size")
        check_options(self, 0, {"line_search_fn": None, **group}, numbers, whole)
        if group.get("line_search_fn") not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported as line_search_fn, not {group['line_search_fn']!r}")
        params = group["params"]
        own = state.get(params[0], {}) if params else {}
        what = "the first parameter"
        check_is_dict(what, own)
        if not own.get("n_iter"):
            return
        check_has(self, what, own, ("func_evals", *_MEMORY))
        length = sum(2 * p.numel() if p.dtype.is_complex else p.numel() for p in params)
        for name in ("d", "prev_flat_grad"):
            check_piece(what, name, own[name], (length,))
        for name in ("func_evals", "n_iter", "t", "H_diag", "prev_loss"):
            check_piece(what, name, own[name], None, number=True)
        for name, shape in (("old_dirs", (length,)), ("old_stps", (length,)), ("ro", None)):
            if not isinstance(own[name], list) or len(own[name]) != len(own["ro"]):
                raise TypeError(f"the loaded '{name}' should be a list, as long as 'ro', got {own[name]!r:.80}")
            for piece in own[name]:
                check_piece(what, name, piece, shape)
        places = own.get("al")  # what the two loops share: PyTorch makes it once
        if places is not None and not (isinstance(places, list) and len(places) >= group["history_size"]):
            raise TypeError(f"the loaded 'al' should be a list of 'history_size' entries, got {places!r:.80}")

    def step(self, closure: Callable[[], _R]) -> _R:  # type: ignore[override]
        """Minimize for some iterations. Returns the loss of the first evaluation."""
        group = self.param_groups[0]
        params: list[Tensor] = group["params"]
        rate, max_iter, max_eval = group["lr"], group["max_iter"], group["max_eval"]
        search = group["line_search_fn"]
        state = self.state[params[0]]  # one for all of them
        for name in ("func_evals", "n_iter"):
            state.setdefault(name, 0)
        memory = {name: state.get(name) for name in _MEMORY}  # taken over at the end

        first_loss, gradient = self._evaluate(closure)
        loss = _number(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        if float(_largest(gradient)) <= group["tolerance_grad"]:
            return first_loss

        iterations = 0
        while iterations < max_iter:
            iterations += 1
            state["n_iter"] += 1
            direction = self._direction(state, memory, gradient, group["history_size"])
            memory["prev_flat_grad"], memory["prev_loss"] = wrap(gradient), loss
            length = _first_length(gradient, rate) if state["n_iter"] == 1 else rate
            t = float(length)
            slope = float(_dot(gradient, direction))
            memory["d"], memory["t"] = wrap(direction), length
            if slope > -group["tolerance_change"]:
                break

            before, made = loss, 0
            start = [param._array for param in params]
            if search is None:
                self._place(start, direction, t)
                if iterations != max_iter:
                    value, gradient = self._evaluate(closure)
                    loss, made = _number(value), 1
            elif search != "strong_wolfe":
                raise RuntimeError(f"only 'strong_wolfe' is supported as line_search_fn, but got {search!r}")
            else:
                turns = min(_MOST_TURNS, max_eval - evaluations)
                line = StrongWolfe(self._along(closure, start, direction), Point(0.0, loss, gradient, slope), turns)
                best, made = line.find(t, float(_largest(direction)), group["tolerance_change"])
                if best.t != t:
                    memory["t"] = t = best.t
                loss, gradient = best.loss, best.gradient
                self._place(start, direction, t)
            evaluations += made
            state["func_evals"] += made
            if (
                evaluations >= max_eval
                or (made and float(_largest(gradient)) <= group["tolerance_grad"])
                or float(_largest(direction)) * abs(t) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        state.update(memory)
        return first_loss

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[Any, Any]:
        """The loss and the gradient, as one vector."""
        return loss_of(closure), self._gather_flat_grad()

    def _along(self, closure: Callable[[], Any], start: list[Any], direction: Any) -> Callable[[float], Point]:
        """The points on the line from `start`, by step length. The parameters stay at the last one."""

        def point(t: float) -> Point:
            self._place(start, direction, t)
            loss, gradient = self._evaluate(closure)
            return Point(t, _number(loss), gradient, float(_dot(gradient, direction)))

        return point

    def _direction(self, state: dict[str, Any], memory: dict[str, Any], gradient: Any, history_size: int) -> Any:
        """Minus the gradient, times the inverse Hessian as the remembered steps show it."""
        if state["n_iter"] == 1:
            memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -gradient
        ys, steps, ros = memory["old_dirs"], memory["old_stps"], memory["ro"]
        before, last = memory["prev_flat_grad"]._array, memory["d"]._array
        y, s, curvature, scale = _pair(gradient, before, last, jnp.float64(float(memory["t"])))
        if curvature > 1e-10:
            if len(ys) == history_size:
                for remembered in (ys, steps, ros):
                    remembered.pop(0)
            ys.append(wrap(y))
            steps.append(wrap(s))
            ros.append(wrap(1.0 / curvature))
            memory["H_diag"] = wrap(scale)
        alphas = state.setdefault("al", [None] * history_size)
        direction = -gradient
        for i in reversed(range(len(ys))):
            alpha, direction = _towards(direction, ys[i]._array, steps[i]._array, ros[i]._array)
            alphas[i] = wrap(alpha)
        diagonal = memory["H_diag"]
        direction = direction * (diagonal._array if isinstance(diagonal, Tensor) else diagonal)
        for i in range(len(ys)):
            direction = _back(direction, ys[i]._array, steps[i]._array, ros[i]._array, alphas[i]._array)
        return direction

    def _gather_flat_grad(self) -> Any:
        params = self.param_groups[0]["params"]
        return _flat([jnp.zeros_like(p._array) if p.grad is None else p.grad._array for p in params])

    def _place(self, start: list[Any], direction: Any, t: float) -> None:
        """Put the parameters at start + t * direction."""
        offset, t = 0, jnp.float64(t)
        for param, array in zip(self.param_groups[0]["params"], start, strict=True):
            flat = _flat([array])
            moved = _moved(flat, direction[offset : offset + flat.size], t).astype(flat.dtype)
            offset += flat.size
            if jnp.iscomplexobj(array):
                pairs = moved.reshape((*array.shape, 2))
                moved = jax.lax.complex(pairs[..., 0], pairs[..., 1])
            if has_its_own(type(param), "add_"):
                param._write(array)
                with no_grad():
                    param.add_(wrap(moved.reshape(array.shape) - array))
            else:
                param._write(moved.reshape(array.shape))
