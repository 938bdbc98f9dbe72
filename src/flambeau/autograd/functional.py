"""Jacobians, Hessians and products with them, of functions of Tensors, by the tape.

https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.context.grad_mode import enable_grad
from ..core.dispatch.help import explain_namespace as _explain
from ..core.dispatch.messages import message
from ..core.dispatch.operator import namespaces
from ..core.tensor.tensor import Tensor
from ..ops.making.constants import ones_like, zeros_like
from ..ops.making.ranges import eye
from ._public import grad

Found = Sequence[Tensor | None]
INPUT = "the input to the user-provided function is"
OUTPUTS = "outputs of the user-provided function"


def _tensors(given: Any, what: str, function: str) -> tuple[tuple[Tensor, ...], bool]:
    """A tensor or a tuple of them as a tuple, and whether it was one tensor. TypeError for anything else."""
    single = isinstance(given, Tensor)
    tensors = (given,) if single else given
    wrong = None
    if not isinstance(tensors, tuple):
        wrong = f"given {what}", type(given)
    else:
        wrong = next(
            ((f"value at index {i}", type(t)) for i, t in enumerate(tensors) if not isinstance(t, Tensor)), None
        )
    if wrong is not None:
        raise TypeError(
            f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {wrong[0]} has type {wrong[1]}."
        )
    return tensors, single


def _inputs(given: Any, create_graph: bool, name: str) -> tuple[tuple[Tensor, ...], bool]:
    tensors, single = _tensors(given, "inputs", name)
    if create_graph:
        return tuple(t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors), single
    return tuple(t.detach().requires_grad_() for t in tensors), single


def _call(
    func: Callable[..., Any], inputs: tuple[Tensor, ...], name: str, strict: bool
) -> tuple[tuple[Tensor, ...], bool]:
    outs, single = _tensors(func(*inputs), OUTPUTS, name)
    for i, out in enumerate(outs):
        if strict and not out.requires_grad:
            lacking = "does not require gradients"
            raise RuntimeError(
                f"Output {i} of the user-provided function {lacking}. The outputs must be computed in a "
                "differentiable manner from the input when running in strict mode."
            )
    return outs, single


def _scalar(func: Callable[..., Any], inputs: tuple[Tensor, ...], name: str, strict: bool) -> Tensor:
    outs, single = _call(func, inputs, name, strict)
    if not single:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
    return outs[0]


def _vector(v: Any, like: tuple[Tensor, ...], single: bool, function: str, what: str) -> tuple[Tensor, ...]:
    """The given weights; ones if there is just one element to weigh."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if {what} a single Tensor with a single element. Pass one of its shape."
            )
        return (ones_like(like[0]),)
    vectors, _ = _tensors(v, "v", function)
    if single and len(vectors) != 1:
        raise RuntimeError("The given v should contain a single Tensor.")
    if len(vectors) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vectors)}.")
    for i, (vector, tensor) in enumerate(zip(vectors, like, strict=True)):
        if vector.shape != tensor.shape:
            place = "" if single else f"Entry {i} in "
            raise RuntimeError(f"{place}v has invalid size: should be {tensor.shape} but got {vector.shape}.")
    return vectors


def _pull(outs: Found, inputs: tuple[Tensor, ...], weights: Found, create_graph: bool) -> Found:
    """The weighted sum of the derivatives; None where there is none."""
    live = [(o, w) for o, w in zip(outs, weights, strict=True) if o is not None and o.requires_grad]
    if not live:
        return (None,) * len(inputs)
    return grad([o for o, _ in live], inputs, [w for _, w in live],  # type: ignore[list-item]
                retain_graph=True, create_graph=create_graph, allow_unused=True)  # fmt: skip


def _check(found: Found, strict: bool, what: str, first: int = 0) -> None:
    for i, gradient in enumerate(found, first):
        if strict and gradient is None:
            raise RuntimeError(f"{what} is independent of input {i}. This is not allowed in strict mode.")


def _check_slope(found: Found, strict: bool, what: str | None = None) -> None:
    """As `_check` for `what`, if that is given; what depends on an input has to do so in a way that has a derivative."""
    for i, gradient in enumerate(found):
        if what is not None:
            _check(found[i : i + 1], strict, what, i)
        if strict and (gradient is None or not gradient.requires_grad):
            raise RuntimeError(
                "While computing the hessian, found that the jacobian of the user-provided function with respect to input "
                f"{i} is independent of the input. This is not allowed in strict mode. You should ensure "
                "that your function is twice differentiable and that the jacobian "
                "depends on the inputs (this would be violated by a linear function for example)."
            )


def _check_graph(found: Found, strict: bool, create_graph: bool) -> None:
    for i, gradient in enumerate(found):
        if strict and create_graph and (gradient is None or not gradient.requires_grad):
            raise RuntimeError(
                f"The jacobian of the user-provided function is independent of input {i}. This is not allowed in strict mode "
                "when create_graph=True."
            )


def _full(found: Found, like: tuple[Tensor, ...], single: bool) -> Any:
    zeros = zeros_like
    made = tuple(zeros(t) if g is None else g for g, t in zip(found, like, strict=True))
    return made[0] if single else made


def _results(outs: tuple[Tensor, ...], create_graph: bool, single: bool) -> Any:
    made = outs if create_graph else tuple(o.detach() for o in outs)
    return made[0] if single else made


def _check_strategy(strategy: str, vectorize: bool, strict: bool) -> bool:
    """Whether derivatives go forward."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(message("jacobian_strategy"))
    if strict and strategy == "forward-mode":
        raise RuntimeError(
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported together (yet). '
            'Please either set `strict=False` or `strategy="reverse-mode"`.'
        )
    if strict and vectorize:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
            "Please either set `strict=False` or `vectorize=False`."
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(message("forward_ad_needs_vectorize"))
    return strategy == "forward-mode"


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """d output / d input with shape `output.shape + input.shape`, nested as tuples of outputs, then inputs.

    With `vectorize`, all rows (or columns, for `strategy="forward-mode"`) are computed at once by `torch.func`.
    RuntimeError with `strict` if an output does not depend on an input.
    """
    forward = _check_strategy(strategy, vectorize, strict)
    with enable_grad():
        tensors, single_in = _inputs(inputs, create_graph, "jacobian")
        if vectorize:
            return _vectorized(func, tensors, single_in, forward, create_graph)
        outs, single_out = _call(func, tensors, "jacobian", strict)
        stack, rows = namespaces["torch"]["stack"], []  # the one that asks classes of tensors
        for number, out in enumerate(outs):
            columns: list[list[Tensor]] = [[] for _ in tensors]
            for element in out.reshape(-1).unbind(0) if out.numel() else ():
                found = _pull((element,), tensors, (None,), create_graph)
                _check(found, strict, f"Output {number} of the user-provided function")
                _check_graph(found, strict, create_graph)
                for column, value in zip(columns, _full(found, tensors, False), strict=True):
                    column.append(value)
            rows.append(
                tuple(
                    stack(c).reshape(*out.shape, *x.shape) if c else x.new_zeros((*out.shape, *x.shape))
                    for c, x in zip(columns, tensors, strict=True)
                )
            )
    made = tuple(r[0] for r in rows) if single_in else tuple(rows)
    return made[0] if single_out else made


def _vectorized(func: Any, tensors: tuple[Tensor, ...], single_in: bool, forward: bool, create_graph: bool) -> Any:
    if forward:
        made, single_out = _by_columns(func, tensors)
    else:
        outs, single_out = _call(func, tensors, "jacobian", False)
        made = tuple(_by_rows(out, tensors, create_graph) for out in outs)
    if not create_graph:
        made = tuple(tuple(block.detach() for block in row) for row in made)
    rows = tuple(row[0] for row in made) if single_in else made
    return rows[0] if single_out else rows


def _by_rows(out: Tensor, tensors: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    """The derivatives of all elements of an output, by one backward pass for all of them."""
    from ..func import vmap

    made = [x.new_zeros((*out.shape, *x.shape)) for x in tensors]
    if out.requires_grad and out.numel():
        reached: list[int] = []

        def pulled(weights: Tensor) -> tuple[Tensor, ...]:
            found = _pull((out,), tensors, (weights,), create_graph)
            reached[:] = [i for i, gradient in enumerate(found) if gradient is not None]
            return tuple(gradient for gradient in found if gradient is not None)

        each = eye(out.numel(), dtype=out.dtype, device=out.device).reshape(-1, *out.shape)
        blocks = vmap(pulled)(each)
        for i, block in zip(reached, blocks, strict=True):
            made[i] = block.reshape(made[i].shape)
    return tuple(made)


def _by_columns(func: Any, tensors: tuple[Tensor, ...]) -> tuple[tuple[tuple[Tensor, ...], ...], bool]:
    """The derivatives by all elements of all inputs forward, and whether there is one output."""
    from ..func import jacfwd

    single: list[bool] = []

    def checked(*given: Tensor) -> Any:
        outs, is_single = _tensors(func(*given), OUTPUTS, "jacobian")
        single.append(is_single)
        return outs

    return jacfwd(checked, tuple(range(len(tensors))))(*tensors), single[-1]


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a function with one scalar output; see `jacobian`."""
    _, single = _tensors(inputs, "inputs", "hessian")

    def gradient(*tensors: Tensor) -> Any:
        live = tuple(t if t.requires_grad else t.requires_grad_() for t in tensors)
        out = _scalar(func, live, "hessian", strict)
        found = _pull((out,), live, (None,), True)
        _check_slope(found, strict)
        return _full(found, live, single)

    if outer_jacobian_strategy == "forward-mode":
        from ..func import grad as gradient_of

        _check_strategy(outer_jacobian_strategy, vectorize, strict)
        argnums: Any = 0 if single else tuple(range(len(inputs)))
        gradient = gradient_of(lambda *t: _scalar(func, t, "hessian", strict).reshape(()), argnums)
    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, v-weighted sum of the Jacobian's rows)."""
    with enable_grad():
        tensors, single_in = _inputs(inputs, create_graph, "vjp")
        outs, single_out = _call(func, tensors, "vjp", strict)
        found = _pull(
            outs, tensors, _vector(v, outs, single_out, "vjp", "the user-provided function returns"), create_graph
        )
        _check(found, strict, "The output of the user-provided function")
    return _results(outs, create_graph, single_out), _full(found, tensors, single_in)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, the Jacobian times v), by differentiating the vector-Jacobian product by its vector."""
    with enable_grad():
        tensors, single = _inputs(inputs, create_graph, "jvp")
        directions = _vector(v, tensors, single, "jvp", INPUT)
        outs, single_out = _call(func, tensors, "jvp", strict)
        weights = tuple(zeros_like(o).requires_grad_() for o in outs)
        pulled = _pull(outs, tensors, weights, True)
        _check(pulled, strict, "The output of the user-provided function")
        found = _pull(pulled, weights, directions, create_graph)
        _check_graph(found, strict, create_graph)
    return _results(outs, create_graph, single_out), _full(found, outs, single_out)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(output, the Hessian times v)."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(output, v times the Hessian); the Hessian is symmetric."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def _hessian_product(name: str, func: Any, inputs: Any, v: Any, create_graph: bool, strict: bool) -> Any:
    with enable_grad():
        tensors, single = _inputs(inputs, create_graph, name)
        vectors = _vector(v, tensors, single, name, INPUT)
        out = _scalar(func, tensors, name, strict)
        first = _pull((out,), tensors, (None,), True)
        _check_slope(first, strict, "The output of the user-provided function")
        found = _pull(first, tensors, vectors, create_graph)
    return _results((out,), create_graph, True), _full(found, tensors, single)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


# --- the pieces that packages build functions like these of ----------------------------------------------------------


def _as_tuple(inp: Any, arg_name: str | None = None, fn_name: str | None = None) -> Any:
    """A tensor, or several, as a tuple; with the two names TypeError for anything else, without them nothing is looked at."""
    if arg_name is None and fn_name is None:
        return inp if isinstance(inp, tuple) else tuple(inp) if isinstance(inp, list) else (inp,)
    return _tensors(inp, str(arg_name), str(fn_name))[0]


def _grad_preprocess(inputs: Any, create_graph: bool, need_graph: bool) -> tuple[Any, ...]:
    """The inputs of a function that derivatives are taken of: apart from what they come from, or with `create_graph` joined to it."""
    return tuple(
        t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_(need_graph) for t in inputs
    )


def _grad_postprocess(inputs: Any, create_graph: bool) -> Any:
    """Results, in tuples of tuples or alone, without their graph unless `create_graph`."""
    if isinstance(inputs, tuple):
        return tuple(_grad_postprocess(part, create_graph) for part in inputs)
    return inputs if create_graph else inputs.detach()


def _tuple_postprocess(res: Any, to_unpack: bool | tuple[bool, bool]) -> Any:
    """The tuple where True says that it was one from the start, else its one member; with two answers, of the outer and the inner ones."""
    if not isinstance(to_unpack, tuple):
        return res if to_unpack else res[0]
    outer, inner = to_unpack
    rows = res if inner else tuple(row[0] for row in res)
    return rows if outer else rows[0]


def _construct_standard_basis_for(tensors: Sequence[Tensor], tensor_numels: Sequence[int]) -> tuple[Tensor, ...]:
    """For each tensor its part, of shape (N, numel), of the N unit vectors of all elements together."""
    total = sum(tensor_numels)
    starts = [sum(tensor_numels[:i]) for i in range(len(tensor_numels))]
    return tuple(
        eye(total, dtype=tensor.dtype, device=tensor.device)[:, start : start + count]
        for tensor, start, count in zip(tensors, starts, tensor_numels, strict=True)
    )


_explain(globals(), "torch.autograd.functional")
