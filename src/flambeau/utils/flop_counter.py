"""Floating-point operations of a program, by module and by operator: two for each multiply-add.

What an operator needs is counted from its traced program (`core/dispatch/multiply_adds.py`). Which operators count, and under
which of ATen's names, is as in PyTorch: products of matrices, convolutions and attention, not products with a vector.
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax

from flambeau import _ops
from flambeau.core.context.grad_mode import state
from flambeau.core.dispatch.multiply_adds import of_backward, of_call
from flambeau.core.tape.nodes import OperatorNode
from flambeau.core.tensor.tensor import Tensor, wrap
from flambeau.utils.module_tracker import GLOBAL, ModuleTracker

from ..core.dispatch.messages import message

__all__ = ["FlopCounterMode", "register_flop_formula"]

aten: Any = _ops.ops.aten

flop_registry: dict[Any, Callable[..., int]] = {}  # by packet of overloads; called with shapes, `out_shape` by keyword


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the flops of the operators `targets` (such as `torch.ops.aten.mul`, or a list) are what this function says.

    It is called with the call's arguments, shapes in place of tensors, and `out_shape=`; with `get_raw` with the tensors
    themselves and `out_val=`. Raises ValueError for anything but operators, RuntimeError for one that has a formula already.
    """

    def register(formula: Callable[..., Any]) -> Callable[..., Any]:
        function = formula if get_raw else shape_wrapper(formula)
        for target in targets if isinstance(targets, list | tuple) else [targets]:
            if not isinstance(target, _ops.OpOverloadPacket):
                raise ValueError(
                    f"register_flop_formula(targets): expected each target to be OpOverloadPacket (i.e. "
                    f"torch.ops.mylib.foo), got {target} which is of type {type(target)}"
                )
            if target in flop_registry:
                raise RuntimeError(f"duplicate registrations for {target}")
            flop_registry[target] = function
        return formula

    return register


def get_shape(i: Any) -> Any:
    """The shape of a tensor; anything else as it is."""
    return i.shape if isinstance(i, Tensor) else i


def _shapes(values: Any) -> Any:
    return jax.tree_util.tree_map(get_shape, values, is_leaf=lambda x: x is None or isinstance(x, Tensor))


def shape_wrapper(f: Callable[..., Any]) -> Callable[..., Any]:
    """A formula of shapes as one that is given tensors."""

    @functools.wraps(f)
    def formula(*args: Any, out_val: Any = None, **kwargs: Any) -> Any:
        args, kwargs, out_shape = _shapes((args, kwargs, out_val))
        return f(*args, out_shape=out_shape, **kwargs)

    return formula


# --- formulas of shapes ----------------------------------------------------------------------------------------------


def _from_shapes(function: Callable[..., Any], *shapes: Any, **options: Any) -> int:
    return 2 * of_call(function, *(wrap(jax.ShapeDtypeStruct(tuple(s), "float32")) for s in shapes), **options)


@register_flop_formula(aten.mm)
def mm_flop(a_shape: Any, b_shape: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Flops of a product of two matrices."""
    return _from_shapes(operator.matmul, a_shape, b_shape)


@register_flop_formula(aten.addmm)
def addmm_flop(self_shape: Any, a_shape: Any, b_shape: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """The same for `addmm`."""
    return mm_flop(a_shape, b_shape)


@register_flop_formula(aten.bmm)
def bmm_flop(a_shape: Any, b_shape: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Flops of a batch of such products."""
    return mm_flop(a_shape, b_shape)


@register_flop_formula(aten.baddbmm)
def baddbmm_flop(self_shape: Any, a_shape: Any, b_shape: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """The same for `baddbmm`."""
    return mm_flop(a_shape, b_shape)


def conv_flop_count(x_shape: Any, w_shape: Any, out_shape: Any, transposed: bool = False) -> int:
    """Flops of a convolution: every place of its output (of its input, if transposed) meets the whole weight."""
    count = 2 * x_shape[0]
    for size in (*(x_shape if transposed else out_shape)[2:], *w_shape):
        count *= size
    return count


@register_flop_formula(aten.convolution)
def conv_flop(
    x_shape: Any, w_shape: Any, _bias: Any, _stride: Any, _padding: Any, _dilation: Any, transposed: bool, *args: Any,
    out_shape: Any = None, **kwargs: Any,
) -> int:  # fmt: skip
    """The same with the arguments of `torch.ops.aten.convolution`."""
    return conv_flop_count(x_shape, w_shape, out_shape, transposed)


def sdpa_flop_count(query_shape: Any, key_shape: Any, value_shape: Any) -> int:
    """Flops of attention: of its scores, and of what they weight."""
    depth = query_shape[-1]
    scores = (*query_shape[:-1], key_shape[-2])
    return mm_flop(query_shape, (*key_shape[:-2], depth, key_shape[-2])) + mm_flop(scores, value_shape)


def sdpa_backward_flop_count(grad_out_shape: Any, query_shape: Any, key_shape: Any, value_shape: Any) -> int:
    """The same for its gradients, for which the scores are computed once more."""
    forward = sdpa_flop_count(query_shape, key_shape, value_shape)
    return 2 * forward + mm_flop(query_shape, (*key_shape[:-2], query_shape[-1], key_shape[-2]))


# --- what counts, and under which name -------------------------------------------------------------------------------


def _rank(args: Any, i: int) -> int:
    return args[i].dim() if i < len(args) and isinstance(args[i], Tensor) else 0


def _linear_name(args: Any, kwargs: Any) -> str:
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    return "mm" if bias is None or not args[0].is_contiguous() else "addmm"


def _matmul_name(args: Any, kwargs: Any) -> str | None:
    left, right = _rank(args, 0), _rank(args, 1) if len(args) > 1 else 2
    if right == 1 or (left == 1 and right > 2):
        return None
    if left <= 2 and right <= 2:
        return "mm"
    if (
        left <= 2 or right <= 2
    ):  # one product of matrices, if the smaller one's gradient is wanted or nothing has to be copied
        smaller = args[1] if right <= 2 else args[0]
        return "mm" if smaller.requires_grad or (right <= 2 and args[0].is_contiguous()) else "bmm"
    return "bmm"


# our operator: the names of its products in the forward and the backward pass (None: does not count)
_COUNTED: dict[str, tuple[Any, str]] = {
    "mm": ("mm", "mm"),
    "addmm": ("addmm", "mm"),
    "bmm": ("bmm", "bmm"),
    "baddbmm": ("baddbmm", "bmm"),
    "addbmm": (None, "bmm"),
    "matmul": (_matmul_name, ""),
    "linear": (_linear_name, "mm"),
    "multi_dot": ("mm", "mm"),
    "tensordot": ("mm", "mm"),
    "einsum": ("bmm", "bmm"),
    "layer": ("addmm", "mm"),  # of RNN, LSTM and GRU
    "cell": ("addmm", "mm"),
    "attention_weights": ("bmm", "bmm"),
    "weighted": ("bmm", "bmm"),
    "attention": (  # `scaled_dot_product_attention`
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_backward",
    ),
    **{
        f"conv{kind}{rank}d": ("convolution", "convolution_backward")
        for kind in ("", "_transpose")
        for rank in (1, 2, 3)
    },
}


def _groups(name: str, node: OperatorNode, arguments: Any) -> int:
    """Of a recorded convolution; 1 for another operator."""
    if not name.startswith("conv") or node.program.name != name:
        return 1
    inner = jax.eval_shape(node.program.function, *arguments) if "transpose" in name else arguments[0]
    weight = arguments[1].shape
    return inner.shape[1 - len(weight)] // weight[1]


class FlopCounterMode:
    """While entered, counts the flops of this thread's calls and of the gradients that are computed.

    `depth`: how many levels of modules the table shows; `display`: whether it is printed at the end; `custom_mapping`:
    formulas for further operators, or in the place of those here, by `torch.ops.aten.name`. Compiled functions run as they
    stand meanwhile.
    """

    def __init__(
        self,
        mods: Any = None,
        depth: int = 2,
        display: bool = True,
        custom_mapping: dict[Any, Any] | None = None,
    ):
        if mods is not None:
            warnings.warn(message("mods_deprecated"), stacklevel=2)
        self.flop_counts: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
        self.depth = depth
        self.display = display
        self.mod_tracker: ModuleTracker = ModuleTracker()
        own = {op: f if getattr(f, "_get_raw", False) else shape_wrapper(f) for op, f in (custom_mapping or {}).items()}
        self._formulas = {str(op): (op, f) for op, f in own.items()}
        self._backward_names: dict[Any, str] = {}

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        self._stack = ExitStack()
        self._stack.enter_context(_plainly())
        self._stack.enter_context(self.mod_tracker)
        self._stack.enter_context(self._counting())
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        if self.display:
            print(self.get_table(self.depth))

    @contextmanager
    def _counting(self) -> Iterator[None]:
        before = self._outer, self._outer_node = state.observer, state.node_observer
        state.observer, state.node_observer = self._call, self._node
        try:
            yield
        finally:
            state.observer, state.node_observer = before

    # --- what the dispatch and the engine call ------------------------------------------------------------------------

    def _call(self, call: Any, op: Any, args: Any, kwargs: Any) -> Any:
        if self._outer is None:
            made = call(*args, **kwargs)
        else:
            made = self._outer(call, op, args, kwargs)
        if op is None or state.trace is not None:
            return made
        name = getattr(op, "name", None) or op.__name__
        counted = self._of_call(name, call, args, kwargs, made)
        if counted is not None:
            self._add(*counted)
        return made

    def _of_call(self, name: str, call: Any, args: Any, kwargs: Any, made: Any) -> tuple[Any, int] | None:
        known = self._formulas.get(f"aten.{name}")
        if known is None and name not in _COUNTED and (op := getattr(aten, name, None)) in flop_registry:
            known = op, flop_registry[op]
        if known is not None:
            return known[0], known[1](*args, **kwargs, out_val=made)
        if name not in _COUNTED:
            return None
        forward = _COUNTED[name][0]
        forward = forward(args, kwargs) if callable(forward) else forward
        if forward is None:
            return None
        if (known := self._formulas.get(f"aten.{forward}")) is not None:
            return known[0], known[1](*args, **kwargs, out_val=made)
        edge = getattr(made, "_edge", None)
        if name == "matmul" and edge is not None:
            self._backward_names[edge[0]] = forward
        with _unobserved():
            return getattr(aten, forward), 2 * of_call(call, *args, **kwargs)

    def _node(self, node: Any, run: Callable[[], Any]) -> Any:
        if isinstance(node, OperatorNode):
            with _unobserved():
                self._count_gradients(node)
        return run() if self._outer_node is None else self._outer_node(node, run)

    def _count_gradients(self, node: OperatorNode) -> None:
        name = node.program.name
        while name.endswith("Backward"):
            name = name.removesuffix("Backward")
        if name not in _COUNTED:
            return
        backward = _COUNTED[name][1] or self._backward_names.pop(node, "") or _matmul_backward(node)
        if backward is None:
            return
        count = of_backward(node)
        arguments: Any = node.saved if node.saved is not None else node.released
        groups = _groups(name, node, arguments)
        if groups > 1 and 1 in node.wanted:  # PyTorch counts the weight's gradient as if there were no groups
            count += count // len([i for i in node.wanted if i < 2]) * (groups - 1)
        if count:
            parents = self.mod_tracker._recorded.get(node, ({GLOBAL}, ""))[0]
            self._add(getattr(aten, backward), 2 * count, parents)

    def _add(self, op: Any, count: int, parents: Any = None) -> None:
        for path in parents or self.mod_tracker.parents:
            self.flop_counts[path][op] += count

    # --- what was counted ---------------------------------------------------------------------------------------------

    def get_total_flops(self) -> int:
        """The sum."""
        return sum(self.flop_counts[GLOBAL].values()) if GLOBAL in self.flop_counts else 0

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """By module (`"Global"`: everything), then by operator."""
        return {path: dict(counts) for path, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """A table of modules and their operators, with their share of the whole."""
        depth = self.depth if depth is None else depth
        total = self.get_total_flops()
        suffix = get_suffix_str(total)
        rows: list[list[str]] = []
        subsumed = False

        def of_module(path: str, level: int) -> list[list[str]]:
            nonlocal subsumed
            counts = self.flop_counts.get(path, {})
            own = sum(counts.values())
            subsumed = subsumed or (path != GLOBAL and own >= total)
            indent = " " * level
            found: list[tuple[str, int]] = [
                (indent + path, own),
                *((f"{indent} - {op}", n) for op, n in counts.items()),
            ]
            return [[t, convert_num_with_suffix(n, suffix), convert_to_percent_str(n, total)] for t, n in found]

        for path in sorted(self.flop_counts):
            level = path.count(".")
            if path != GLOBAL and level < depth:
                rows += of_module(path, level)
        if GLOBAL in self.flop_counts and not subsumed:
            rows = of_module(GLOBAL, 0) + [[" " + text, *rest] for text, *rest in rows]
        return _table(["Module", "FLOP", "% Total"], rows or [[GLOBAL, "0.000", "0%"]])


def _matmul_backward(node: OperatorNode) -> str | None:
    """The name for a product that was recorded before the counter was entered, from its operands' ranks."""
    arguments: Any = node.saved if node.saved is not None else node.released
    ranks = [getattr(a, "ndim", len(a.shape)) for a in arguments[:2]]
    if ranks[-1] == 1 or (ranks[0] == 1 and ranks[-1] > 2):
        return None
    return "mm" if min(ranks) <= 2 else "bmm"


@contextmanager
def _unobserved() -> Iterator[None]:
    before = state.observer, state.node_observer, state.watchers
    state.observer, state.node_observer, state.watchers = None, None, ()
    try:
        yield
    finally:
        state.observer, state.node_observer, state.watchers = before


@contextmanager
def _plainly() -> Iterator[None]:
    """Compiled functions run as they stand, so that their operators are seen."""
    before, state.uncompiled = state.uncompiled, True
    try:
        yield
    finally:
        state.uncompiled = before


# --- text ------------------------------------------------------------------------------------------------------------

suffixes: list[str] = ["", "K", "M", "B", "T"]


def get_suffix_str(number: int) -> str:
    """The suffix with which a number has at most four digits more than three before its point."""
    return suffixes[max(0, min(len(suffixes) - 1, (len(str(number)) - 2) // 3))]


def convert_num_with_suffix(number: int, suffix: str) -> str:
    """The number in units of the suffix."""
    return f"{number / 1000 ** suffixes.index(suffix):.3f}{suffix}"


def convert_to_percent_str(num: int, denom: int) -> str:
    """The share in percent."""
    return f"{num / denom:.2%}" if denom else "0%"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """In the simple format of the package `tabulate`: a column of plain numbers is written in their shortest form."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    for i, column in enumerate(columns):
        try:
            columns[i] = [f"{float(text):g}" for text in column]
        except ValueError:
            continue
    widths = [max(len(h) + 2, *map(len, c)) for h, c in zip(head, columns, strict=True)]

    def line(cells: Any) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)])

    return "\n".join([line(head), line(["-" * w for w in widths]), *map(line, zip(*columns, strict=True))])
