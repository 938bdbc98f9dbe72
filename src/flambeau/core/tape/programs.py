"""Array functions as programs with derivatives, each compiled once for its kinds of arguments: what the nodes of the tape run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

from ...native import channels_last
from ..array import programs
from ..array.meta import MetaArray, NoData, evaluate, like

_PATIENCE, _LONG = 32, 5000  # results that may go to XLA, and calls for which the host computes none then
UNKNOWN = object()  # the identity of a function that another process would not know


class Program:
    """A pure array function under `jax.jit`, with its derivatives, each compiled once."""

    __slots__ = (
        "function",
        "name",
        "label",
        "run",
        "makes_images",
        "identity",
        "arguments",
        "constant",
        "derivative_label",
        "direct",
        "by_numpy",
        "seeing",
        "small",
        "rests",
        "balance",
        "_derivatives",
        "_layouts",
        "_uses",
        "__weakref__",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        label: Any = None,
        makes_images: bool = False,
        derivative: Any = None,
        identity: Any = UNKNOWN,
        direct: Any = None,
        by_numpy: Any = None,
    ):
        self.function: Callable[..., Any] = function
        # what gives, for arrays of which some are images, a function that needs no program, or None
        self.direct: Any = direct
        self.identity: Any = identity  # what the function is in every process (see `executables.py`)
        self.name: str = name
        self.label: Any = label  # what the nodes of its calls are called: a text, or a function of the arrays
        # what gives the results of NumPy's arrays, while there is no program for their shapes
        self.by_numpy: Any = by_numpy
        self.run: Any = programs.jit(function, identity, by_numpy=by_numpy, inline=True)
        self.makes_images: bool = makes_images  # whether it has convolutions
        self.derivative_label: Any = derivative  # the same for calls of its derivatives
        self.arguments: Any = None  # the names of the operator's arguments, and what says where each lies
        self.constant: dict[int, str] = {}  # places of what has no derivative, and its name
        # the same of views that are read inside, and whether it may be (see dispatch/seeing.py)
        self.seeing: dict[Any, Any] = {}
        # the same of small arrays, as the host runs them: called from within, and by the public function (see
        # dispatch/small.py)
        self.small: list[Any] = [None, None]
        self.rests: int = 0  # for so many calls nobody looks whether it is one of these
        self.balance: int = (
            0  # how often that paid, less thrice how often XLA asked for a result, which costs more than it gave
        )
        self._derivatives: dict[Any, Program] = {}
        self._layouts: dict[Any, Callable[..., Any]] = {}
        self._uses: dict[Any, frozenset[int]] = {}

    def __call__(self, *arrays: Any) -> Any:
        if channels_last.held or self.makes_images:
            turned = channels_last.images_among(arrays, self.makes_images)
            if turned is not None:
                return self._by_layout(turned, arrays)(*arrays)
        return self.run(*arrays)

    def handed_over(self) -> None:
        """A result that the host has computed goes to XLA. If most of them do, XLA had better compute them."""
        self.balance -= 3
        if self.balance < -_PATIENCE:
            self.rests, self.balance = max(self.rests, _LONG), 0

    def anywhere(self, *arrays: Any) -> Any:
        """The results, also where arrays have no values."""
        try:
            return self(*arrays)
        except NoData:
            return evaluate(self.run, arrays)

    def _by_layout(self, turned: tuple[bool, ...], arrays: Sequence[Any]) -> Callable[..., Any]:
        key = (turned, tuple([(getattr(a, "shape", None), getattr(a, "dtype", type(a))) for a in arrays]))
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) >= programs.SHAPES:
                self._layouts.clear()
            found = None if self.direct is None else self.direct(arrays, turned)
            if found is None:
                identity = ("images", self.identity, turned)
                run, about = programs.ready(
                    identity, arrays, lambda: channels_last.layout_program(self.function, arrays, turned, self.name)
                )
                found = channels_last.holding(run, *about)
            self._layouts[key] = found
        return found

    def uses(self, arguments: Sequence[Any]) -> frozenset[int]:
        """Which arguments' values matter for the result (the gradient of a sum does not depend on what was summed)."""
        key = tuple((getattr(a, "shape", ()), getattr(a, "dtype", type(a))) for a in arguments)
        found = self._uses.get(key)
        if found is None:
            if len(self._uses) >= programs.SHAPES:
                self._uses.clear()
            known = [like(a) if type(a) is MetaArray else a for a in arguments]
            jaxpr = jax.make_jaxpr(self.function)(*known).jaxpr
            _, used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
            found = self._uses[key] = frozenset(i for i, is_used in enumerate(used) if is_used)
        return found

    def derivative(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Program:
        """The program from (arguments, cotangents of the outputs `given`) to the gradients of the arguments `wanted`."""
        found = self._derivatives.get((wanted, given))
        if found is None:
            pull = getattr(self.direct, "derivative", None)
            by_numpy = getattr(self.by_numpy, "derivative", None)
            found = self._derivatives[wanted, given] = Program(
                self._pullback(wanted, given),
                self.name + "Backward",
                self.derivative_label,
                self.makes_images,
                identity=("derivative", self.identity, wanted, given),
                direct=pull and pull(wanted, given),
                by_numpy=by_numpy and by_numpy(wanted, given),
            )
        return found

    def _pullback(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Callable[..., Any]:
        def backward(*arguments: Any) -> tuple[Any, ...]:
            count = len(arguments) - len(given)
            saved, cotangents = arguments[:count], arguments[count:]

            def outputs(*chosen: Any) -> list[Any]:
                full = list(saved)
                for i, value in zip(wanted, chosen, strict=True):
                    full[i] = value
                made = self.function(*full)
                made = made if isinstance(made, tuple) else (made,)
                return [made[i] for i in given]

            made, pull = jax.vjp(outputs, *(saved[i] for i in wanted))
            for c, m in zip(cotangents, made, strict=True):
                if c.shape != m.shape:  # what was saved was computed again, unchecked, or put there by a hook
                    raise RuntimeError(
                        f"{self.name}: a gradient of shape {list(c.shape)} has come for a result that has the shape "
                        f"{list(m.shape)} by what was saved of its arguments: has checkpoint's second run computed others?"
                    )
            # JAX's cotangents of complex values are the conjugates of PyTorch's
            pulled = pull([_conj(c.astype(m.dtype)) for c, m in zip(cotangents, made, strict=True)])
            return tuple(_conj(g) for g in pulled)

        return backward


def _conj(x: Any) -> Any:
    return jnp.conj(x) if x.dtype.kind == "c" else x
