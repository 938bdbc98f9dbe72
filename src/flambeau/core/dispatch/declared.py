"""What a declaration of an operator keeps: the array function, and its compiled programs by static arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..array import dtypes, programs
from ..array.return_types import return_type
from ..tape.nodes import camel
from ..tape.programs import Program
from .at_once import AtOnce
from .autocast import Rules
from .directly import Direct, Form
from .numpy_forms import ByNumPy, NumPyForm
from .promotion import fit, half_of, promoted, refuse_narrow, refuse_scalars, strong, widened
from .signature import Signature, unpack

dtypes._on_default_change.append(programs.forget)


class Operator:
    """What `@operator` keeps of a declaration: the array function, and its compiled programs by static arguments."""

    def __init__(
        self,
        function: Callable[..., Any],
        promote: str | None,
        returns: Any,
        grad: Any,
        space: str = "",
        images: bool = False,
        check: Callable[..., None] | None = None,
        options: Callable[..., None] | None = None,
        derivative: str | None = None,
        casts: Rules = (),
        narrow: bool = False,
        of_layers: bool = False,
        direct: Form | None = None,
        between: tuple[str, ...] = (),
        numbers: tuple[str, ...] = (),
        whole: tuple[str, ...] = (),
        exact: tuple[str, ...] = (),
        or_number: dict[str, str] | None = None,
        real: str | None = None,
        constant: dict[str, Any] | None = None,
        room: dict[str, str] | None = None,
        unrounded: tuple[str, ...] = (),
        stored_by: str | None = None,
        by_numpy: NumPyForm | None = None,
        at_once: AtOnce | None = None,
    ):
        self.function = function
        self.stored_by = stored_by
        self.check = check
        self.images = images
        self.casts = casts
        self.name: str = function.__name__.lstrip("_")
        named = space + self.name
        self.space = space
        self.promote = promote
        self.signature: Signature = Signature(
            function, options, between, exact, or_number, room, whole, promote is not None
        )
        self.returns: Any | None = return_type(named, returns) if returns else None
        self.grad: Any = grad or camel(self.name) + "Backward0"
        self.derivative = derivative
        self.narrow = narrow
        self.direct = direct
        self.by_numpy = by_numpy
        self.at_once = at_once
        self.whole = whole
        self.real: str | None = real and f"{self.name}: {real}"
        self.constant = constant
        self.unrounded = unrounded
        self.of_layers = of_layers  # whose inputs are tensors, where operators like `where` take numbers too
        self.leading_tensors: int = self.signature.leading_tensors(promote is not None and not of_layers, numbers)
        self.numbers_taken: set[Any] = set()  # places of dynamic values, and kinds of numbers that may stand there
        self.programs: programs.Table = programs.Table()
        self.written: programs.Table = programs.Table()

    def program(self, key: tuple[Any, ...]) -> Program:
        """The compiled program for these static arguments."""
        try:
            found = self.programs[key]
        except TypeError:
            bad = next((p[1] for p in key if not isinstance(p, int) and not _hashable(p[1])), None)
            raise TypeError(f"{self.name}(): unexpected argument of type {type(bad).__name__}") from None
        if found is None:
            self.signature.refuse_kinds(self.name, key)
            found = self.programs[key] = Program(
                self._flat(key),
                self.name,
                self._label(key),
                self.images,
                self.derivative,
                ("call", *self._identity(key)),
                self._direct(key),
                self._by_numpy(key),
            )
            found.arguments = (self.signature.names, key)
            if self.constant is not None:
                found.constant = self.signature.places(key, self.constant)
        return found

    def _direct(self, key: tuple[Any, ...]) -> Direct | None:
        return None if self.direct is None else Direct(self.direct, self.signature, key)

    def _by_numpy(self, key: tuple[Any, ...]) -> ByNumPy | None:
        return None if self.by_numpy is None else ByNumPy(self.by_numpy, self.signature, key)

    def _identity(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a program is in every process."""
        return self.function, self.space, self.promote, self.narrow, self.check, key

    def _label(self, key: tuple[Any, ...]) -> str | Callable[[list[Any]], str]:
        """The node's name for these static arguments: a text, or a function of the arrays."""
        grad = self.grad
        if isinstance(grad, str) or len(inspect.signature(grad).parameters) == 1:
            return grad
        names = self.signature.names
        statics = {name: part[1] for name, part in zip(names, key, strict=True) if isinstance(part, tuple)}
        return lambda arrays: grad(arrays, statics)

    def write_program(self, key: tuple[Any, ...]) -> Program:
        """The same with the result cast to the first argument's dtype, for the in-place form."""
        found = self.written[key]
        if found is None:
            self.signature.refuse_kinds(self.name, key)
            compute = self._flat(key)

            def inplace(*flat: Any) -> Any:
                out = compute(*flat)
                out = out[0] if isinstance(out, tuple) else out
                return fit(out, flat[0].shape, flat[0].dtype)

            identity = ("write", *self._identity(key))
            found = self.written[key] = Program(
                inplace,
                self.name + "_",
                self._label(key),
                derivative=self.derivative,
                identity=identity,
                direct=self._direct(key),
                by_numpy=self._by_numpy(key),
            )
            found.arguments = (self.signature.names, key)
        return found

    def _flat(self, key: tuple[Any, ...]) -> Callable[..., Any]:
        function, signature, promote, check = self.function, self.signature, self.promote, self.check
        narrow, name, tensors_only, whole = self.narrow, self.name, self.of_layers and promote is None, self.whole
        parameters, real = signature.parameters, self.real
        unrounded = signature.places(key, dict.fromkeys(self.unrounded, "")) if self.unrounded else {}

        def flat_function(*flat: Any) -> Any:
            if check is not None:
                check(*flat)
            values, arrays, scalars = unpack(signature, key, flat)
            if scalars and arrays:
                named = {i: signature.parameter_at(key, i)[0] for i in scalars}
                refuse_scalars(flat, arrays, named, whole, signature.exact, real)
            if not narrow:
                refuse_narrow(name, flat, promote is not None)
            if tensors_only:
                signature.refuse_numbers(name, key, flat)
            half = half_of(flat, arrays, unrounded)
            if half is not None:
                flat = widened(flat, half, unrounded)
            if promote is not None and arrays:
                values, _, _ = unpack(signature, key, promoted(flat, arrays, scalars, promote))
            else:
                values, _, _ = unpack(signature, key, tuple(jnp.asarray(f) for f in flat))
            args: list[Any] = []
            kwargs: dict[str, Any] = {}
            for parameter, value in zip(parameters, values, strict=True):
                if parameter.kind is parameter.VAR_POSITIONAL:
                    args.extend(value)
                elif parameter.kind is parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = value
                else:
                    args.append(value)
            out = function(*args, **kwargs)
            if half is not None:
                return out.astype(half)
            return tuple(strong(o) for o in out) if isinstance(out, (tuple, list)) else strong(out)

        return flat_function


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
