"""Operators on all samples at once: what `vmap` of an operator of ATen is, in operators of ATen.

A value is a tensor that all samples share, or `Samples`: a tensor with the samples in its first dimension. Element by element
operators take their arguments with dimensions of one put in after the samples; dimensions count one more, sizes have the number
of samples in front; products become batched ones. What has no such form runs for one sample after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._library.keys import Tag
from ...core.context.grad_mode import state
from ...core.context.overrides import OperatorHandle
from ...core.dispatch.messages import message
from ...core.dispatch.overloads import OpOverload, ops, seen_by_mode
from ...core.tensor.tensor import Tensor
from ...utils import _pytree as pytree
from ._operator_graph import written_untold

_aten = ops.aten


class Samples:
    """A value that differs from sample to sample."""

    __slots__ = ("whole",)

    def __init__(self, whole: Any):
        self.whole: Any = whole

    @property
    def rank(self) -> int:
        """The number of dimensions of one sample."""
        return self.whole.ndim - 1  # type: ignore[no-any-return]

    def widened(self, rank: int) -> Any:
        """All samples, with dimensions of one before the others."""
        if rank <= self.rank:
            return self.whole
        count, *sizes = self.whole.shape
        return self.whole.reshape(count, *[1] * (rank - self.rank), *sizes)


def run_operator(op: Any, *args: Any, **kwargs: Any) -> Any:
    """An operator's call that dispatch modes see, also of one that ATen does not have."""
    if not state.dispatch_modes:
        return op(*args, **kwargs)
    return seen_by_mode(op, op._run if isinstance(op, OperatorHandle) else op.computed, args, kwargs)


def _without_write(op: OpOverload) -> OpOverload:
    """For a view that a tensor becomes itself, the view: what comes later gets the result."""
    if op._opname in ("squeeze_", "unsqueeze_", "t_", "transpose_"):
        return getattr(getattr(_aten, op._opname[:-1]), op._overloadname)  # type: ignore[no-any-return]
    return op


class NoForm(Exception):
    """The operator has no form for all samples, called so."""


class Batches:
    """Runs operators on values that some samples share and others do not."""

    def __init__(self, size: int, randomness: str):
        self.size = size
        self.randomness = randomness

    def outside(self, value: Any) -> Any:
        """A value from outside of the function is shared."""
        return value

    def __call__(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        op = node.target
        tags = op.tags if isinstance(op, OpOverload) else ()
        batched = any(isinstance(v, Samples) for v in pytree.tree_leaves((args, kwargs)))
        if Tag.nondeterministic_seeded in tags and _named(op, args, kwargs).get("dropout_p") != 0:
            return self._drawn(op, args, kwargs, batched)
        if not batched:
            return run_operator(op, *args, **kwargs)
        rule = None
        if isinstance(op, OpOverload):
            op = _without_write(op)
            rule = _RULES.get(op._opname) or (_by_element if Tag.pointwise in tags else None)
        if rule is not None:
            try:
                return self._wrapped(rule(op, _named(op, args, kwargs), self.size))
            except NoForm:
                pass
        return self._each(node, args, kwargs)

    def _wrapped(self, result: Any) -> Any:
        if isinstance(result, (tuple, list)):
            return (
                type(result)(map(self._wrapped, result))
                if type(result) in (tuple, list)
                else [*map(self._wrapped, result)]
            )
        return Samples(result) if isinstance(result, Tensor) else result

    def _drawn(self, op: Any, args: Any, kwargs: Any, batched: bool) -> Any:
        if self.randomness == "error":
            raise RuntimeError(message("draw_under_vmap"))
        if self.randomness == "same":
            if batched:
                raise NotImplementedError(
                    f"make_fx: {op} draws for values that differ from sample to sample, under vmap(randomness='same'). Draw "
                    "uniforms of one sample's shape, and compare with them"
                )
            return run_operator(op, *args, **kwargs)
        named = _named(op, args, kwargs)
        if "size" in named:
            named["size"] = [self.size, *named["size"]]
        elif not batched:
            key, value = next((k, v) for k, v in named.items() if isinstance(v, Tensor))
            named[key] = value.expand(self.size, *value.shape)  # type: ignore[attr-defined]
        return self._wrapped(_call(op, {k: v.whole if isinstance(v, Samples) else v for k, v in named.items()}))

    def _each(self, node: Any, args: Any, kwargs: Any) -> Any:
        """One sample after the other."""
        op = node.target
        writes = isinstance(op, OpOverload) and op._schema.is_mutable
        if isinstance(op, OpOverload) and any(isinstance(t, Tensor) for t in written_untold(op, args, kwargs)):
            raise _shared_write(op)
        if writes and not isinstance(args[0], Samples):
            raise _shared_write(op)
        made = []
        for number in range(self.size):
            chosen = pytree.tree_map(lambda v, n=number: self._one(op, v, n), (args, kwargs))
            made.append(run_operator(op, *chosen[0], **chosen[1]))
        if writes:
            return args[0]
        example = node.meta.get("val")
        if not made:
            made = [example]
        if isinstance(example, (tuple, list)):
            return [self._stacked([m[i] for m in made]) for i in range(len(example))]
        return self._stacked(made)

    @staticmethod
    def _one(op: Any, value: Any, number: int) -> Any:
        if not isinstance(value, Samples):
            return value
        one = value.whole.select(0, number)
        return one.clone() if "as_strided" in op.__name__ else one  # which counts from where the memory begins

    def _stacked(self, parts: list[Any]) -> Any:
        if not isinstance(parts[0], Tensor):
            return parts[0]
        whole = run_operator(_aten.stack.default, parts)
        return Samples(whole if self.size else whole[:0])


def _shared_write(op: Any) -> Exception:
    return RuntimeError(
        f"vmap: {op} would write values that differ from sample to sample into a tensor that all samples share. Make it of one of the "
        "samples (x.new_zeros), or return the new value"
    )


def _named(op: OpOverload, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments by name; those that are not given as the schema has them."""
    named = {a.name: a.default_value for a in op._schema.arguments if a.has_default}
    named.update(zip((a.name for a in op._schema.arguments if not a.kwarg_only), args, strict=False))
    named.update(kwargs)
    return {a.name: named[a.name] for a in op._schema.arguments if a.name in named}


def _call(op: OpOverload, named: dict[str, Any]) -> Any:
    """The operator with arguments by name; those at the end that are the defaults are left out."""
    given, extra = [], {}
    arguments = list(op._schema.arguments)
    for argument in arguments:
        if argument.name not in named:
            continue
        if argument.kwarg_only:
            if not (argument.has_default and _same(named[argument.name], argument.default_value)):
                extra[argument.name] = named[argument.name]
        else:
            given.append((argument, named[argument.name]))
    while given and given[-1][0].has_default and _same(given[-1][1], given[-1][0].default_value):
        given.pop()
    return run_operator(op, *(value for _, value in given), **extra)


def _same(value: Any, default: Any) -> bool:
    return value is default or (not isinstance(value, Tensor) and type(value) is type(default) and value == default)


def _whole(value: Any) -> Any:
    return value.whole if isinstance(value, Samples) else value


def _only_batched(named: dict[str, Any], *names: str) -> None:
    """NoForm unless these arguments, and no others, differ from sample to sample."""
    for key, value in named.items():
        if key not in names and any(isinstance(v, Samples) for v in pytree.tree_leaves(value)):
            raise NoForm


# --- forms -----------------------------------------------------------------------------------------------------------


def _by_element(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    tensors = [v for v in pytree.tree_leaves(named) if isinstance(v, (Samples, Tensor))]
    rank = max(v.rank if isinstance(v, Samples) else v.ndim for v in tensors)
    first = next(iter(named.values()))
    if op._schema.is_mutable and not isinstance(first, Samples):
        raise _shared_write(op)
    widened = pytree.tree_map(lambda v: v.widened(rank) if isinstance(v, Samples) else v, named)
    return _call(op, widened)


def _direct(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """The operator leaves the dimensions in front alone."""
    _only_batched(named, next(iter(named)))
    return _call(op, {k: _whole(v) for k, v in named.items()})


_TENSORS = (
    "self",
    "input",
    "index",
    "src",
    "source",
    "grad",
    "grad_output",
    "output",
    "tensors",
    "values",
    "indices",
    "value",
)


def _by_dimension(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """Dimensions that are told count one more; the operator's tensors have equally many."""
    named = dict(named)
    ranks = set()
    for key, value in named.items():
        if key not in _TENSORS:
            continue
        several = isinstance(value, (list, tuple)) and any(isinstance(v, (Samples, Tensor)) for v in value)
        parts = value if several else [value]
        if not all(isinstance(v, (Samples, Tensor)) for v in parts):
            continue
        ranks |= {v.rank if isinstance(v, Samples) else v.ndim for v in parts}
        made = [v.whole if isinstance(v, Samples) else v.expand(size, *v.shape) for v in parts]
        named[key] = made if several else made[0]
    if len(ranks) != 1 or (rank := ranks.pop()) == 0:
        raise NoForm
    grows = int(op._opname in ("unsqueeze", "stack"))
    smaller = int(op._opname == "select_backward")
    for key in ("dim", "dims", "dim0", "dim1", "dim2", "dimension"):
        if key in named:
            named[key] = _shifted(named[key], rank + grows + smaller, op._opname)
    for key in ("input_sizes", "self_sizes"):
        if key in named:
            named[key] = [size, *named[key]]
    return _call(op, named)


def _shifted(dims: Any, rank: int, name: str) -> Any:
    if dims is None or dims == []:
        if name in ("roll", "cross", "argmax", "argmin", "sort"):
            raise NoForm
        return list(range(1, rank + 1))
    if isinstance(dims, (list, tuple)):
        return [d % rank + 1 for d in dims]
    return dims % rank + 1


def _reduced(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """A reduction of all elements is one of all dimensions but the first."""
    if "dim" in named:
        return _by_dimension(op, named, size)
    _only_batched(named, "self")
    whole, rank = named["self"].whole, named["self"].rank
    dims = list(range(1, rank + 1))
    name = {"max": "amax", "min": "amin"}.get(op._opname, op._opname)
    if len([k for k in named if k not in ("self", "dtype")]):
        raise NoForm
    if rank == 0:
        whole, dims = whole.unsqueeze(-1), [1]
    options = {} if named.get("dtype") is None else {"dtype": named["dtype"]}
    if name == "prod":
        return run_operator(_aten.prod.dim_int, whole.reshape(size, -1), 1, **options)
    overload = {"sum": "dim_IntList", "nansum": "default", "mean": "dim", "all": "dims", "any": "dims"}.get(
        name, "default"
    )
    return run_operator(getattr(getattr(_aten, name), overload), whole, dims, **options)


def _sized(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """Sizes have the number of samples in front."""
    _only_batched(named, "self")
    named = dict(named)
    key = next(k for k in ("size", "shape", "repeats") if k in named)
    sizes = list(named[key])
    whole = named["self"].whole
    if op._opname in ("expand", "repeat"):
        whole = named["self"].widened(len(sizes))
    return _call(op, {**named, "self": whole, key: [1 if key == "repeats" else size, *sizes]})


def _permuted(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    rank = named["self"].rank
    return run_operator(_aten.permute.default, named["self"].whole, [0, *(d % rank + 1 for d in named["dims"])])


def _turned(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    x = named["self"]
    return run_operator(_aten.transpose.int, x.whole, 1, 2) if x.rank == 2 else x.whole


def _squeezed(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    if "dim" in named:
        return _by_dimension(op, named, size)
    whole = named["self"].whole
    return run_operator(_aten.squeeze.dims, whole, [i for i, n in enumerate(whole.shape) if i and n == 1])


def _product(a: Any, b: Any) -> Any:
    return _whole(a).matmul(_whole(b))


def _matrices(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    return _product(*(named[k] for k in (("self", "batch2") if "batch2" in named else ("self", "mat2"))))


def _matrix_and_vector(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    a, v = named["self"], named["vec"]
    if isinstance(a, Samples) and isinstance(v, Samples):
        return a.whole.matmul(v.whole.unsqueeze(-1)).squeeze(-1)
    return a.whole.matmul(v) if isinstance(a, Samples) else v.whole.matmul(a.t())


def _dot(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    a, b = named["self"], named["tensor"]
    if isinstance(a, Samples) and isinstance(b, Samples):
        return a.whole.unsqueeze(-2).matmul(b.whole.unsqueeze(-1)).squeeze(-1).squeeze(-1)
    return a.whole.matmul(b) if isinstance(a, Samples) else b.whole.matmul(a)


def _sum_and_product(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """`addmm` and its like: the product, then what is added."""
    name = op._opname
    parts = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec")}[name]
    a, b = (named[k] for k in parts)
    single = {"addmm": "mm", "baddbmm": "bmm", "addmv": "mv"}[name]
    if isinstance(a, Samples) or isinstance(b, Samples):
        keys = ("self", "vec" if single == "mv" else "mat2")
        made: Any = (_matrix_and_vector if single == "mv" else _matrices)(
            op, dict(zip(keys, (a, b), strict=True)), size
        )
    else:
        made = getattr(a, single)(b).expand(size, *([-1] * (a.ndim if single != "mv" else 1)))
    added = named["self"]
    added = added.widened(made.ndim - 1) if isinstance(added, Samples) else added
    made = made if named["alpha"] == 1 else made * named["alpha"]
    added = added if named["beta"] == 1 else added * named["beta"]
    return made + added


def _chosen(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """Indices that stand in the first dimensions, side by side."""
    x, indices = named["self"], list(named["indices"])
    given = [i for i in indices if i is not None]
    if None in indices[: len(given)] or any(
        not isinstance(_whole(i), Tensor) or _whole(i).dtype.itemsize == 1 for i in given
    ):
        raise NoForm
    rank = max(i.rank if isinstance(i, Samples) else i.ndim for i in given)
    batched = any(isinstance(i, Samples) for i in given)
    places = [i.widened(rank) if isinstance(i, Samples) else i for i in given]
    if not isinstance(x, Samples):
        return run_operator(_aten.index.Tensor, x, places)
    if not batched:
        return run_operator(_aten.index.Tensor, x.whole, [None, *places])
    first = run_operator(_aten.arange.default, size, device=x.whole.device)
    return run_operator(_aten.index.Tensor, x.whole, [first if not rank else first.view(size, *[1] * rank), *places])


def _embedded(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    _only_batched(named, "indices")
    return _call(op, {k: _whole(v) for k, v in named.items()})


def _class_dim(x: Samples, target: Samples) -> tuple[Any, int]:
    """All targets, and the dimension of the classes in all samples."""
    return target.whole, 1 if x.rank == 1 else 2


def _nll_loss(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """Losses of classes: what stands at each target, summed in each sample."""
    _only_batched(named, "self", "target")
    x, target = (
        v if isinstance(v, Samples) else Samples(v.expand(size, *v.shape)) for v in (named["self"], named["target"])
    )
    if named["weight"] is not None:
        raise NoForm
    places, dim = _class_dim(x, target)
    counted = places.ne(named["ignore_index"])
    safe = places.where(counted, 0).unsqueeze(dim)
    losses = -x.whole.gather(dim, safe).squeeze(dim).where(counted, 0.0)
    counts = counted.reshape(size, -1).sum(1).to(losses.dtype)
    if named["reduction"] == 0 and target.rank:
        return losses, counts
    total = losses.reshape(size, -1).sum(1)
    return (total / counts if named["reduction"] == 1 else total), counts


def _nll_loss_backward(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    _only_batched(named, "grad_output", "self", "target", "total_weight")
    x, target = (
        v if isinstance(v, Samples) else Samples(v.expand(size, *v.shape)) for v in (named["self"], named["target"])
    )
    g = _whole(named["grad_output"])
    if named["weight"] is not None or not isinstance(named["grad_output"], Samples):
        raise NoForm
    places, dim = _class_dim(x, target)
    counted = places.ne(named["ignore_index"])
    if named["reduction"] == 1:
        g = g / counted.reshape(size, -1).sum(1)
    g = g.reshape(*g.shape, *[1] * (places.ndim - g.ndim)).expand(places.shape).where(counted, 0.0)
    safe = places.where(counted, 0).unsqueeze(dim)
    return x.whole.new_zeros(x.whole.shape).scatter(dim, safe, -g.unsqueeze(dim))


def _convolved(op: OpOverload, named: dict[str, Any], size: int) -> Any:
    """Samples of inputs as further rows; samples of filters as groups."""
    x, w = named["input"], named["weight"]
    _only_batched(named, "input", "weight")
    if not isinstance(x, Samples):
        raise NoForm
    rows, *rest = x.whole.shape[1:]
    if not isinstance(w, Samples):
        made: Any = _call(op, {**named, "input": x.whole.reshape(size * rows, *rest)})
        return made.reshape(size, rows, *made.shape[1:])
    if named["bias"] is not None or named["transposed"] or not rest:
        raise NoForm
    merged = x.whole.transpose(0, 1).reshape(rows, size * rest[0], *rest[1:])
    filters = w.whole.reshape(size * w.whole.shape[1], *w.whole.shape[2:])
    made = _call(op, {**named, "input": merged, "weight": filters, "groups": named["groups"] * size})
    return made.reshape(rows, size, made.shape[1] // size, *made.shape[2:]).transpose(0, 1)


_RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        """clone detach alias ones_like zeros_like empty_like full_like _to_copy contiguous lift_fresh_copy tril triu _conj conj
        resolve_conj resolve_neg view_as_real view_as_complex real imag linalg_inv_ex linalg_cholesky_ex _linalg_det _linalg_eigh
        _linalg_slogdet _linalg_svd linalg_qr native_layer_norm fill_ zero_ constant_pad_nd isfinite isinf""".split(),
        _direct,
    ),
    **dict.fromkeys(
        """_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data softmax log_softmax select slice narrow unsqueeze
        transpose split split_with_sizes unbind diagonal flip roll gather scatter scatter_add cat stack cumsum cumprod logcumsumexp
        cummax cummin sort argsort topk amax amin logsumexp var std var_mean std_mean argmax argmin select_backward slice_backward
        kthvalue unfold""".split(),
        _by_dimension,
    ),
    **dict.fromkeys(("sum", "nansum", "mean", "prod", "all", "any", "max", "min"), _reduced),
    **dict.fromkeys(
        "view reshape _unsafe_view _reshape_alias expand repeat new_zeros new_ones new_empty new_full".split(), _sized
    ),
    **dict.fromkeys(("mm", "bmm"), _matrices),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _sum_and_product),
    "copy_": _by_element,
    "permute": _permuted,
    "t": _turned,
    "squeeze": _squeezed,
    "mv": _matrix_and_vector,
    "dot": _dot,
    "index": _chosen,
    "embedding": _embedded,
    "convolution": _convolved,
    "nll_loss_forward": _nll_loss,
    "nll_loss2d_forward": _nll_loss,
    "nll_loss_backward": _nll_loss_backward,
    "nll_loss2d_backward": _nll_loss_backward,
}
