"""Gradients against finite differences.

https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..core.autograd.engine import grad
from ..core.context import doors
from ..core.dispatch.messages import message
from ..core.tensor.sparse import is_sparse
from ..core.tensor.tensor import Tensor, wrap
from ..ops.making.constants import empty_like, zeros_like
from ..ops.shape.complex_parts import view_as_real
from ..sparse import as_sparse_gradcheck

__all__ = [
    "GradcheckError", "get_analytical_jacobian", "get_numerical_jacobian", "get_numerical_jacobian_wrt_specific_input",
    "gradcheck", "gradgradcheck",
]  # fmt: skip


_FORWARD = "Jacobian computed with forward mode mismatch"


class GradcheckError(RuntimeError):
    """An analytical gradient does not agree with the finite differences."""


def _outputs(function: Callable[..., Any], inputs: tuple[Any, ...]) -> list[Tensor]:
    out = function(*inputs)
    outs = list(out) if isinstance(out, (tuple, list)) else [out]
    return [o for o in outs if isinstance(o, Tensor) and (o.dtype.is_floating_point or o.dtype.is_complex)]


def _numerical(function: Callable[..., Any], inputs: tuple[Any, ...], which: int, eps: float) -> list[np.ndarray]:
    """For each output the matrix (input elements, output elements) of d output / d input; complex inputs twice."""
    base = np.array(inputs[which].detach()._array)
    flat = base.reshape(-1)
    columns = []
    directions: list[Any] = [eps, eps * 1j] if base.dtype.kind == "c" else [eps]
    for i in range(flat.size):
        for direction in directions:
            values = []
            for sign in (1, -1):
                moved = flat.copy()
                moved[i] += sign * direction
                probe = list(inputs)
                probe[which] = wrap(jax.device_put(moved.reshape(base.shape))).requires_grad_()
                values.append([np.asarray(o.detach()._array).reshape(-1) for o in _outputs(function, tuple(probe))])
            columns.append([(up - down) / (2 * eps) for up, down in zip(*values, strict=True)])
    count = len(_outputs(function, inputs))
    return [np.stack([c[k] for c in columns]) if columns else np.zeros((0, 0)) for k in range(count)]


def _analytical(output: Tensor, source: Tensor) -> np.ndarray:
    """The same matrix by the tape, a row of the Jacobian at a time."""
    size, is_complex = output.numel(), output.dtype.is_complex
    rows = []
    for j in range(size):
        parts = []
        for weight in (1, 1j) if is_complex else (1,):
            seed = np.zeros(size, output._np_dtype)
            seed[j] = weight
            found = None
            if output.requires_grad:
                seeded = wrap(jax.device_put(seed.reshape(output.shape)))
                (found,) = grad(output, source, seeded, retain_graph=True, allow_unused=True)
            g = np.zeros(source.numel(), source._np_dtype) if found is None else np.asarray(found._array).reshape(-1)
            # a real-valued direction t of the input changes Re(conj(weight) * output) by Re(conj(g) * t)
            parts.append(np.stack([g.real, g.imag], -1).reshape(-1) if source.dtype.is_complex else g)
        rows.append(parts[0] + 1j * parts[1] if is_complex else parts[0])
    return np.stack(rows, -1) if rows else np.zeros((0, 0))


def _forward(function: Callable[..., Any], inputs: tuple[Any, ...], which: int, count: int) -> list[np.ndarray]:
    """The same matrices by forward mode, a direction of the input at a time."""
    from . import forward_ad

    source = inputs[which]
    columns: list[list[Any]] = []
    for i in range(source.numel()):
        for direction in (1, 1j) if source.dtype.is_complex else (1,):
            tangent = np.zeros(source.numel(), source._np_dtype)
            tangent[i] = direction
            with forward_ad.dual_level():
                probe = list(inputs)
                probe[which] = forward_ad.make_dual(source, wrap(jax.device_put(tangent.reshape(source.shape))))
                found = [forward_ad.unpack_dual(o).tangent for o in _outputs(function, tuple(probe))]
                columns.append([None if f is None else np.asarray(f.detach()._array).reshape(-1) for f in found])
    sizes = [next((c[k].size for c in columns if c[k] is not None), 0) for k in range(count)]
    return [
        np.stack([np.zeros(sizes[k]) if c[k] is None else c[k] for c in columns]) if columns else np.zeros((0, 0))
        for k in range(count)
    ]


def _compare(analytical: np.ndarray, numerical: np.ndarray, what: str, k: int, i: int, **closeness: float) -> None:
    if not analytical.size and not numerical.any():
        return
    if not np.allclose(analytical, numerical, equal_nan=True, **closeness):
        raise GradcheckError(
            f"{what} for output {k} with respect to input {i},\n"
            f"numerical:{wrap(jax.device_put(numerical))}\nanalytical:{wrap(jax.device_put(analytical))}\n"
        )


def _look_again(output: Tensor, source: Tensor, analytical: np.ndarray, tolerance: float, batched: bool) -> None:
    """A second backward pass gives the same, zeros give zeros, and `vmap` what single passes give."""
    again = _analytical(output, source)
    if analytical.size and np.abs(again - analytical).max() > tolerance:
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different "
            f"values, although analytical gradient matches numerical gradient."
            f"The tolerance for nondeterminism was {tolerance}."
        )
    (found,) = grad(output, source, zeros_like(output.detach()), retain_graph=True, allow_unused=True)
    if found is not None and np.any(np.asarray(found.detach()._array)):
        raise GradcheckError("backward not multiplied by grad_output")
    if batched:
        _batched(output, source)


def _mapped(function: Callable[..., Any], rows: Tensor, one_by_one: np.ndarray, what: str) -> None:
    """`vmap` of a derivative gives what it gives for each row."""
    try:
        made = doors.vmap(function)(rows)
    except Exception as error:
        raise GradcheckError(f"While computing batched gradients, got: {error}\n\n{what} computation.") from error
    if not np.allclose(np.asarray(made.detach()._array), one_by_one):
        raise GradcheckError(f"For {what} computation: vmap gives {made}, one by one it is {one_by_one}")


def _batched(output: Tensor, source: Tensor) -> None:
    rows = _directions(output.detach(), 2)

    def backward(row: Tensor) -> Any:
        (found,) = grad(output, source, row, retain_graph=True, materialize_grads=True)
        return found

    single = np.stack([np.asarray(backward(rows[j]).detach()._array) for j in range(2)])
    _mapped(backward, rows, single, "gradcheck or gradgradcheck failed while testing batched gradient")


def _batched_forward(
    function: Callable[..., Any], inputs: tuple[Any, ...], which: int, forward: list[np.ndarray]
) -> None:
    from . import forward_ad

    source = inputs[which]
    rows = _directions(source.detach(), 2)

    for k, jacobian in enumerate(forward):
        if not jacobian.size or source.dtype.is_complex:
            continue

        def along(row: Tensor, k: int = k) -> Tensor:
            with forward_ad.dual_level():
                probe = list(inputs)
                probe[which] = forward_ad.make_dual(source, row)
                out = _outputs(function, tuple(probe))[k]
                found = forward_ad.unpack_dual(out).tangent
                return zeros_like(out) if found is None else found

        single = np.stack([np.asarray(along(rows[j]).detach()._array) for j in range(2)])
        _mapped(along, rows, single, "gradcheck failed while testing batched forward gradient")


def _directions(values: Tensor, count: int) -> Tensor:
    """`count` directions for something of this shape, always the same."""
    rng = np.random.default_rng(0)
    made = rng.normal(size=(count, *values.shape)) + (
        1j * rng.normal(size=(count, *values.shape)) if values.dtype.is_complex else 0
    )
    return wrap(jax.device_put(made.astype(values._np_dtype)))


def _check_options(forward: bool, backward: bool, batched: bool, batched_forward: bool) -> None:
    """AssertionError for options that do not go together."""
    if not (forward or backward):
        raise AssertionError(message("gradcheck_needs_a_direction"))
    if batched and not backward:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if batched_forward and not forward:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")


def _checked(given: tuple[Any, ...]) -> list[int]:
    """Which inputs require gradients; a warning for those of less than double precision, ValueError if there is none."""
    checked = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )
    for i in checked:
        if given[i].dtype.itemsize not in (8, 16) or given[i]._np_dtype == np.complex64:
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will likely "
                "fail if all the inputs are not of double precision floating point or complex.",
                UserWarning,
                stacklevel=3,
            )
        if any(step == 0 and n > 1 for n, step in zip(given[i].shape, given[i].stride(), strict=True)):
            raise RuntimeError(message("gradcheck_of_stride_0", i=i))
    return checked


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of `func` at `inputs` agree with central differences of step `eps`.

    `check_forward_ad` looks at its forward-mode derivatives, too; without `check_backward_ad` only at those. Every direction is
    looked at, also with `fast_mode`. A second backward pass may differ by `nondet_tol`, zeros must give zeros, and each output
    is looked at without the others (`check_undefined_grad` asks for no more). Gradients have their inputs' dtypes in any case
    (`check_grad_dtypes`). `check_batched_grad` and `check_batched_forward_grad` look at `vmap` of the derivatives. Of sparse
    inputs every place is varied, with `masked` only what is stored.

    Inputs that require grad should be double precision. Raises GradcheckError where they do not agree, unless
    `raise_exception=False`; ValueError if no input requires grad; AssertionError for options that do not go together.
    """
    options = {k: v for k, v in locals().items() if k not in ("func", "inputs", "masked")}
    if any(is_sparse(x) and x.requires_grad for x in ((inputs,) if isinstance(inputs, Tensor) else inputs)):
        return as_sparse_gradcheck(gradcheck)(func, inputs, masked=bool(masked), **options)  # type: ignore[no-any-return]
    _check_options(check_forward_ad, check_backward_ad, check_batched_grad, check_batched_forward_grad)
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = _checked(given)
    outs = _outputs(func, given)
    live = [k for k, o in enumerate(outs) if o.requires_grad]
    try:
        for i in checked:
            numericals = _numerical(func, given, i, eps)
            forward = _forward(func, given, i, len(outs)) if check_forward_ad else []
            for k, found in enumerate(forward):
                _compare(found, numericals[k], _FORWARD, k, i, rtol=rtol, atol=atol)
            if check_batched_forward_grad:
                _batched_forward(func, given, i, forward)
            if not check_backward_ad:
                continue
            if not live and any(n.any() for n in numericals):
                raise GradcheckError("Numerical gradient for function expected to be zero: no output requires grad")
            for k in live:
                analytical = _analytical(outs[k], given[i])
                _compare(analytical, numericals[k], "Jacobian mismatch", k, i, rtol=rtol, atol=atol)
                _look_again(outs[k], given[i], analytical, nondet_tol, check_batched_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    gen_non_contig_grad_outputs: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    **options: Any,
) -> bool:
    """`gradcheck` of the gradients themselves, for random (or the given) `grad_outputs`.

    `check_fwd_over_rev` looks at their forward-mode derivatives, `check_rev_over_rev` at their gradients.
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    live = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    outs = [o for o in _outputs(func, given) if o.requires_grad]
    if grad_outputs is None:
        weights = []
        for o in outs:
            values = empty_like(o).detach()
            (view_as_real(values) if o.dtype.is_complex else values).uniform_(-1, 1)
            weights.append(values.requires_grad_())
    else:
        weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def gradients(*values: Any) -> Any:
        xs, ws = values[: len(given)], values[len(given) :]
        results = [o for o in _outputs(func, xs) if o.requires_grad]
        found = grad(results, [xs[i] for i in live], list(ws), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    if options.get("check_undefined_grad", True) and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    options.update(check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev)
    return gradcheck(gradients, (*given, *weights), **options)


def _deprecated(name: str, grad_out: float) -> None:
    warnings.warn(message("old_jacobian", name=name), FutureWarning, stacklevel=3)
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0. {name} no longer supports values of grad_out != 1.0.")


def _recorded(inputs: Any) -> list[int]:
    return [k for k, value in enumerate(inputs) if isinstance(value, Tensor) and value.requires_grad]


def get_numerical_jacobian(
    fn: Callable[..., Any], inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> tuple[Tensor, ...]:
    """The Jacobian of `fn(inputs)`'s first output by finite differences, for each input that requires grad. FutureWarning."""
    _deprecated("get_numerical_jacobian", grad_out)
    values = tuple(inputs)
    return tuple(
        wrap(jax.device_put(_numerical(lambda *given: fn(given), values, which, eps)[0])) for which in _recorded(values)
    )


def get_numerical_jacobian_wrt_specific_input(
    fn: Callable[..., Any], input_idx: int, inputs: Any, outputs: Any, eps: float, input: Any = None,
    is_forward_ad: bool = False,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The Jacobians of all outputs of `fn(*inputs)` for one input, by finite differences."""
    values = list(inputs)
    if input is not None:
        values[input_idx] = input
    return tuple(wrap(jax.device_put(found)) for found in _numerical(fn, tuple(values), input_idx, eps))


def get_analytical_jacobian(
    inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[tuple[Tensor, ...], bool, bool, bool]:
    """The Jacobian by the tape, and whether it is the same twice, and gradients have sizes and types of the inputs. FutureWarning."""
    _deprecated("get_analytical_jacobian", grad_out)
    found, same = [], True
    for which in _recorded(inputs):
        first, second = (_analytical(output, inputs[which]) for _ in range(2))
        same = same and (not first.size or bool(np.abs(first - second).max() <= nondet_tol))
        found.append(wrap(jax.device_put(first)))
    return tuple(found), same, True, True  # the engine refuses gradients of other sizes and types
