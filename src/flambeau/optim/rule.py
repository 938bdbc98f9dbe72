"""What the optimizers share: a pure update rule for one parameter, run for a whole group in one XLA call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..core.array import programs
from ..core.array.meta import NoData
from ..core.context.grad_mode import no_grad
from ..core.context.tracing import PACKED_ARRAY, PACKED_STATE, recorder
from ..core.dispatch.checks import on_host
from ..core.dispatch.messages import message
from ..core.tensor.donation import are_alone
from ..core.tensor.sparse import SparseOperand, check_not_traced, is_sparse
from ..core.tensor.storage import cut_over
from ..core.tensor.tensor import Tensor, wrap
from ..native.elementwise import fused, fused_sets, instructions
from ..runtime.memory import Growth
from ._arrays import apart, bundles, in_blocks, is_complex, joined, narrowed, one_number, placed, split, widened
from ._directly import OVER, directly
from ._grouped import GroupedOptimizer
from ._loading import NUMBERS, check_has, check_is_dict, check_option, check_options, check_piece
from ._options import Asked, plain
from ._own_writes import step_by_methods
from ._reach import WHOLE, begun_in_parts, lies_in_parts, reach_of
from ._spread import by_parts, cut_of
from .differentiable import differentiable_step
from .optimizer import Beginnings, ParamsT, beside, by_mesh, check_capturable, full_like, step_without_values, switched

# Options that PyTorch's older checkpoints lack, with what they then mean.
_LATER = {
    "amsgrad": False,
    "capturable": False,
    "centered": False,
    "differentiable": False,
    "foreach": None,
    "fused": None,
    "maximize": False,
    "momentum": 0,
    "nesterov": False,
}


_MANY = 1 << 20  # numbers of a model beside whose step a look at the process's memory costs nothing


class RuleOptimizer(GroupedOptimizer):
    """An optimizer that is a pure function of (parameter, gradient, state, options).

    A subclass declares which options are inputs of the compiled program (`scalars`, numbers or pairs of numbers, which
    may change at every step), which of these drop out of it while they are 0 (`optional`; the rule then sees None), and
    which are built into it (`flags`). The rule, `update(param, grad, state, options)`, changes the dict `state` and
    returns the new parameter. It sees real arrays of 32 bits or more (complex ones as pairs of reals, 16-bit ones
    widened) and scalars in float64; `scaled` and its relatives below take a scalar to the arrays' type.
    """

    begins_alike = True
    scalars: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")
    optional: ClassVar[tuple[str, ...]] = ("weight_decay",)
    flags: ClassVar[tuple[str, ...]] = ("maximize",)
    whole: ClassVar[tuple[str, ...]] = ()  # those of these that are whole numbers
    late: ClassVar[bool] = False  # whether a parameter may have some of its state and get the rest later
    elementwise: ClassVar[bool] = True  # whether the rule may be given several small parameters as one array
    shared: ClassVar[tuple[str, ...]] = ("step",)  # 0-dim state, kept per parameter but as a rule equal in all of them
    sorts: ClassVar[bool] = False  # whether `kind` is to be asked
    captured: ClassVar[str] = "params and state_steps"  # what `capturable` is about, in the text of an error
    captured_on_xla: ClassVar[bool | None] = None  # whether that text names XLA; None: unless `foreach` is asked for
    written: ClassVar[str] = "add_"  # the method of a parameter by which PyTorch adds the step to it
    foreach_recorded: ClassVar[bool] = False  # whether PyTorch records `foreach` steps that are differentiable
    decays_apart: ClassVar[bool] = False  # whether weights shrink before that, where no option of the group says so
    update: ClassVar[Callable[..., Any]]

    _pick: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._pick = itemgetter(*cls.scalars, *cls.flags)

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        foreach = bool(defaults.get("foreach"))
        if defaults.get("fused"):
            if defaults.get("differentiable"):
                raise RuntimeError("`fused` does not support `differentiable`")
            if foreach:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        super().__init__(params, defaults)

    def _start(self) -> None:
        super()._start()
        self._prepared: dict[Any, Any] = {}
        self._numbers: dict[Any, tuple[int, int]] = {}
        self._growth = Growth()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            self._fill_in(group)
            for param in group["params"]:
                own = self.state.get(param, {})
                for name in [name for name, value in own.items() if value is None]:
                    del own[name]  # PyTorch's SGD once wrote None for a buffer that is not there yet
                for name in self.shared:
                    if isinstance(own.get(name), NUMBERS):
                        own[name] = wrap(placed(one_number(own[name]), param._array))
        self._share_again()

    def _share_again(self) -> None:
        """Let equal numbers of `shared` state be one array, as they are when they begin: the same programs serve then, to the last bit."""
        known: dict[Any, Any] = {}
        for own in self.state.values():
            for name in self.shared if isinstance(own, dict) else ():
                held = own.get(name)
                if (
                    type(held) is not Tensor
                    or held._view is not None
                    or (number := on_host(held)) is None
                    or number.ndim
                ):
                    continue
                array = held._array
                kind = name, number.dtype, array.sharding, array.committed, number.tobytes()
                if known.setdefault(kind, array) is not array:
                    held._storage.set(known[kind])

    def _fill_in(self, group: dict[str, Any]) -> None:
        """Give a loaded group the options that older checkpoints lack."""
        for name in self.defaults:
            if name in _LATER or name in self.flags:
                group.setdefault(name, _LATER.get(name, self.defaults[name]))

    def _check_loaded(self, state: dict[Any, Any], groups: list[dict[str, Any]]) -> None:
        for index, group in enumerate(groups):
            full = dict(group)
            self._fill_in(full)
            check_options(self, index, full, self.scalars, self.whole)
            for name in (*self.scalars, *self.whole) if self.sorts and group["params"] else ():
                self.option(name, full[name], self.kind(group["params"][0], full))
            for number, param in enumerate(group["params"]):
                if param in state:
                    self._check_state(f"parameter {number} of group {index}", param, state[param], full)

    def _check_state(self, what: str, param: Tensor, own: Any, group: dict[str, Any]) -> None:
        check_is_dict(what, own)
        names = self.names_of(self.kind(param, group), group)
        check_has(self, what, own, (*self.shared, *names) if own and not self.late else ())
        for name in (*self.shared, *names):
            value = own.get(name)
            if value is None and (self.late or name not in own):
                continue
            common = name in self.shared
            check_piece(what, name, value, None if common else self.state_shape(name, tuple(param.shape)), common)

    # --- state ----------------------------------------------------------------------------------------------------

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The names of the state that has the parameter's own shape, as the group's options ask for it."""
        raise NotImplementedError

    def kind(self, param: Tensor, group: dict[str, Any]) -> Any:
        """What separates the parameters of a group: each kind has a program, and may have a rule and state, of its own."""
        return None

    def option(self, name: str, value: Any, kind: Any) -> Any:
        """An option as the rule of a kind of parameters takes it."""
        return value

    def rule(self, kind: Any) -> Callable[..., Any]:
        """The rule by which parameters of a kind are updated."""
        return self.update

    def names_of(self, kind: Any, group: dict[str, Any]) -> tuple[str, ...]:
        """The names of the state that a kind of parameters has."""
        return self.state_names(group)

    def state_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a piece of state of a parameter of this shape."""
        return shape

    def initial(self, name: str, group: dict[str, Any]) -> float:
        """The value that a new piece of state starts from."""
        return 0.0

    def _complete(self, params: list[Tensor], group: dict[str, Any], names: tuple[str, ...]) -> None:
        """Give every parameter the state that it does not have yet."""
        first = reach_of(params[:1]).read(params[0])
        common = {name: placed(one_number(self.initial(name, group)), first) for name in self.shared}
        begin = full_like if recorder() is not None else Beginnings()
        for param in params:
            own = self.state[param]
            for name in (*self.shared, *names) if own and not self.late else ():
                if name not in own:
                    raise KeyError(f"'{name}' is not in the state of a parameter of shape {list(param.shape)}")
            for name in self.shared:
                if name not in own:
                    own[name] = wrap(common[name])
            for name in names:
                if name not in own and self._lies_so(name, param):
                    own[name] = begun_in_parts(param, begin, self.initial(name, group))
                elif name not in own:
                    array, value = param._array, self.initial(name, group)
                    shape = self.state_shape(name, array.shape)
                    start = complex(value, value) if is_complex(array) else value
                    own[name] = beside(param, begin(array, start, shape, cut_over(param._storage)))

    def _lies_so(self, name: str, param: Tensor) -> bool:
        """Whether a new piece of state lies in unequal parts, as its parameter does."""
        return lies_in_parts(param) and self.state_shape(name, tuple(param.shape)) == tuple(param.shape)

    # --- the step -------------------------------------------------------------------------------------------------

    def written_by(self, group: dict[str, Any]) -> str:
        """The method of a parameter by which PyTorch writes the step into it."""
        return self.written

    def _step_group(self, index: int, group: dict[str, Any], params: list[Tensor]) -> None:
        self._step_values(index, group, step_by_methods(self, index, group, params))
        if recorder() is None and any(numbers >= _MANY for _, numbers in self._numbers.values()):
            self._growth.look()  # the old values are gone by now

    def _step_values(self, index: int, group: dict[str, Any], params: list[Tensor]) -> None:
        if group.get("capturable"):
            check_capturable(group, params, self.captured, self.captured_on_xla)
        alone = len({id(param._storage) for param in params}) == len(params)
        for batch in by_mesh(params) if alone else apart(params):
            try:
                if self.sorts:
                    self._step_by_kind(index, group, batch)
                else:
                    self._step_batch(index, group, batch)
            except SparseOperand:
                sparse = [param for param in batch if is_sparse(param.grad)]
                if not sparse:
                    raise
                self._check_sparse(group)
                for param in batch if self.state_names(group) else ():
                    self.state[param]  # the state is in the order of the parameters
                dense = [param for param in batch if not is_sparse(param.grad)]
                if dense:
                    self._step_by_kind(index, group, dense)
                check_not_traced()
                with no_grad():
                    for param in sparse:
                        self._step_sparse(group, param)

    def _step_by_kind(self, index: int, group: dict[str, Any], params: list[Tensor]) -> None:
        kinds: dict[Any, list[Tensor]] = {}
        for param in params:
            kinds.setdefault(self.kind(param, group), []).append(param)
        if len(kinds) > 1:  # the state is in the order of the parameters
            for param in params:
                self.state[param]
        for kind, members in kinds.items():
            self._step_batch(index, group, members, kind)

    def _check_sparse(self, group: dict[str, Any]) -> None:
        """RuntimeError if the rule does not take sparse gradients."""
        name = next(cls for cls in type(self).__mro__ if "update" in cls.__dict__).__name__
        instead = ", please consider SparseAdam instead" if name == "Adam" else ""
        raise RuntimeError(f"{name} does not support sparse gradients{instead}")

    def _step_sparse(self, group: dict[str, Any], param: Tensor) -> None:
        """One step for a parameter whose gradient is sparse."""
        raise NotImplementedError

    def _step_batch(self, index: int, group: dict[str, Any], params: list[Tensor], kind: Any = None) -> None:
        trace = recorder()
        own_group = group
        reach = reach_of(params, [param.grad for param in params]) if trace is None and self.elementwise else WHOLE
        grads = [reach.read(param.grad) for param in params]  # raises for a sparse one
        if trace is not None:
            group = {name: plain(value) for name, value in group.items()}
        names, program, scalars = self._prepare(index, group, kind)
        tensors: dict[int, Tensor] = {}
        if isinstance(scalars, list):
            tensors = {i: value for i, value in enumerate(scalars) if isinstance(value, Tensor)}
        if trace is not None:
            replaced = self._replaced_options(trace, own_group)
            count = len(scalars)
            options = Asked(self, index, own_group, kind)
            scalars = trace.draws.host(options.numbers if tensors else options.values)
            if replaced:
                scalars = [replaced.get(i, scalars[i]) for i in range(count)]
        if tensors:
            scalars = [tensors[i]._array.reshape(()) if i in tensors else scalars[i] for i in range(len(scalars))]
        own, common = [], []
        if names or self.shared:
            states = [self.state[param] for param in params]
            try:
                own = [state[name] for name in names for state in states]
                common = [state[name] for state in states for name in self.shared]
            except KeyError:
                self._complete(params, group, names)
                own = [state[name] for name in names for state in states]
                common = [state[name] for state in states for name in self.shared]
        width = len(self.shared)
        if trace is not None:
            trace.guard(options.asked, "an optimizer's options, parameters or state have changed", options.parts)
            self._watch_state(trace, params if names or self.shared else [], names)
            for i in range(width):
                trace.hold_one(common[i::width])
        recorded = self.defaults.get("differentiable", False)
        if recorded is not False and switched(recorded):
            if group.get("foreach") and not self.foreach_recorded:
                raise AssertionError(message("foreach_recorded") + "; leave `foreach` out where `differentiable=True`")
            differentiable_step(program, params, own, common, tensors, scalars, self.shared)
            return
        reach, grads = reach.beside(params, grads, own)
        common_arrays = [reach.number(tensor) for tensor in common]
        if all(array is common_arrays[i % width] for i, array in enumerate(common_arrays)):
            common_arrays = common_arrays[:width]  # one step count for all of them

        # The one call. What clones and the tape hold, too, stays as it is.
        numbers = self._count_numbers((index, kind), params) if trace is None else 0
        over = (are_alone([*params, *own]),) if self.elementwise and numbers >= OVER else ()
        arrays = ([*map(reach.read, params)], grads, [*map(reach.read, own)], common_arrays, scalars)
        met = None if trace is None else _met(trace, [*params, *own, *common])
        cut = cut_of(params, own) if self.elementwise and reach is WHOLE else None
        try:  # the program of a compiled step owns the memory of parameters and state
            if cut is not None:
                new_params, new_own, new_common = by_parts(program, cut)(*arrays, met)
            else:
                new_params, new_own, new_common = program(*arrays, trace is not None, met, *over)
        except NoData:
            new_params, new_own, new_common = step_without_values(program, arrays)
        for tensor, array in zip([*params, *own], [*new_params, *new_own], strict=True):
            reach.write(tensor, array)
        for i, tensor in enumerate(common):
            tensor._write(new_common[i % len(new_common)])

    def _count_numbers(self, place: Any, params: list[Tensor]) -> int:
        """How many numbers a batch of parameters has; as last time if it has as many members."""
        known = self._numbers.get(place)
        if known is None or known[0] != len(params):
            known = self._numbers[place] = (len(params), sum([param.numel() for param in params]))
        return known[1]

    def _watch_state(self, trace: Any, params: list[Tensor], names: Any) -> None:
        """A compiled step holds while the state is in these tables."""
        for param in params:
            state = self.state[param]
            trace.keep_state(self.state, param, state)
            for name in (*names, *self.shared):
                trace.keep_state(state, name, state[name])

    def _replaced_options(self, trace: Any, group: dict[str, Any]) -> dict[int, Any]:
        """Options that the compiled function itself has changed before this step, by their place among the scalars."""
        found: dict[int, Any] = {}
        position = 0
        for name in self.scalars:
            value = group[name]
            if name in self.optional and not isinstance(value, Tensor) and plain(value) == 0:
                continue
            parts = value if isinstance(value, (tuple, list)) else (value,)
            for part in parts:
                other = trace.option(group, name, part)
                if other is not None and not isinstance(other, Tensor):
                    found[position] = jnp.asarray(other, np.float64)
                position += 1
        return found

    def _prepare(
        self, index: int, group: dict[str, Any], kind: Any = None
    ) -> tuple[tuple[str, ...], Callable[..., Any], Any]:
        """The state names, the program and the scalars for a group; as last time if no option has changed."""
        key = self._pick(group)
        place = index if kind is None else (index, kind)
        known = self._prepared.get(place)
        if known is not None and not any(isinstance(value, Tensor) for value in key) and known[0] == key:
            return known[1]  # where a tensor's value is not asked for: a trace has none
        whole = key
        if kind is not None:
            key = tuple(map(self.option, (*self.scalars, *self.flags), key, [kind] * len(key)))
        values: list[Any] = []
        sizes: list[int | None] = []  # None: off; 0: a number; n: a tuple of n numbers
        constant = True
        for name, value in zip(self.scalars, key, strict=False):
            if isinstance(value, (tuple, list)):
                constant = constant and isinstance(value, tuple)
                sizes.append(len(value))
                values += value
            elif name in self.optional and not isinstance(value, Tensor) and value == 0:
                sizes.append(None)
            else:
                sizes.append(0)
                values.append(value)
        for name, value in zip(self.scalars, key, strict=False):
            check_option(name, value, self.defaults.get(name))
        scalars: Any
        if any(isinstance(value, Tensor) for value in values):
            constant = False
            scalars = [v if isinstance(v, Tensor) else np.float64(v) for v in values]
        else:
            scalars = np.array(values, np.float64)  # a call takes it from the host at less cost than device_put
        names = self.names_of(kind, group)
        flags = tuple(zip(self.flags, map(_flag, key[len(self.scalars) :]), strict=True))
        alone = not self.elementwise
        program = _program(self.rule(kind), self.scalars, tuple(sizes), flags, names, self.shared, alone)
        result = (names, program, scalars)
        if constant:
            self._prepared[place] = (whole, result)
        return result


def _options(flags: Any, scalars: tuple[str, ...], sizes: tuple[int | None, ...], values: Any) -> SimpleNamespace:
    """What the rule asks of its options: the flags, and the numbers, or pairs of numbers, that are inputs of the program."""
    options = SimpleNamespace(**dict(flags))
    numbers = iter([values[i].astype(np.float64) for i in range(len(values))])
    for name, size in zip(scalars, sizes, strict=True):
        value: Any = None
        if size is not None:
            value = tuple(next(numbers) for _ in range(size)) if size else next(numbers)
        setattr(options, name, value)
    return options


def _of_one(update: Callable[..., Any], names: tuple[str, ...], shared: tuple[str, ...]) -> Callable[..., list[Any]]:
    """The update of one parameter: of options, whether it is to be done, common state, the parameter, its gradient and own state."""

    def of_one(options: Any, met: Any, ours: Any, param: Any, grad: Any, *mine: Any) -> list[Any]:
        state = dict(zip(names, map(widened, mine), strict=True)) | dict(zip(shared, ours, strict=True))
        wide = widened(param)
        new = update(wide, widened(grad).astype(wide.dtype), state, options)
        made = [narrowed(new, param), *(narrowed(state[name], old) for name, old in zip(names, mine, strict=True))]
        made += [state[name].astype(ours[i].dtype) for i, name in enumerate(shared)]
        if met is None:
            return made
        return [jnp.where(met, a, b) for a, b in zip(made, (param, *mine, *ours), strict=True)]

    return of_one


@functools.cache
def _program(
    update: Callable[..., Any],
    scalars: tuple[str, ...],
    sizes: tuple[int | None, ...],
    flags: tuple[tuple[str, Any], ...],
    names: tuple[str, ...],
    shared: tuple[str, ...],
    alone: bool,
) -> Callable[..., Any]:
    """The compiled update of a list of parameters. It takes and gives flat lists of arrays."""
    n, width = len(names), len(shared)
    owned = (0, *range(2, 2 + n))  # for each result the argument over which it may be written
    of_one = _of_one(update, names, shared)

    def prepare(common: Any, values: Any) -> Any:
        options = _options(flags, scalars, sizes, values)
        return instructions(functools.partial(of_one, options, None, common), 2 + n, 1 + n, dict(enumerate(owned)))

    def program(params: Any, grads: Any, own: Any, common: Any, values: Any, in_place: bool, met: Any = None) -> Any:
        memory = dict(enumerate(owned)) if in_place else {}
        one = functools.partial(of_one, _options(flags, scalars, sizes, values), met)
        count = len(params)
        new_params: list[Any] = [None] * count
        new_own: list[Any] = [None] * len(own)
        new_common: list[Any] = [None] * len(common)
        alike = len(common) <= width  # one step count for all parameters
        state_size = (1 + n) * sum(param.size * param.dtype.itemsize for param in params)

        columns = [params, grads, *(own[j * count : (j + 1) * count] for j in range(n))]
        if alike and not alone and not in_place and met is None and count > 1:
            made = fused_sets(functools.partial(one, common), columns)
            if made is not None:
                return made[0], [array for column in made[1 : 1 + n] for array in column], made[1 + n :]

        @jax.jit  # traced once for the parameters of one shape
        def updated(ours: Any, *arrays: Any) -> list[Any]:
            return one(ours, *arrays) if alone else fused(functools.partial(one, ours), arrays, memory)

        bundled = in_place and alike and state_size <= PACKED_STATE and not in_blocks(params)
        for members in bundles(params, grads, alone or not bundled):
            place = 0 if alike else members[0] * width
            ours = common[place : place + width]
            together = [joined([column[i] for i in members]) for column in columns]
            results = updated(ours, *together)
            for i, param in zip(members, split(results[0], [params[i] for i in members]), strict=True):
                new_params[i] = param
            for j, result in enumerate(results[1 : 1 + n]):
                for i, part in zip(members, split(result, [params[i] for i in members]), strict=True):
                    new_own[j * count + i] = part
            new_common[place : place + width] = results[1 + n :]
        return new_params, new_own, new_common

    program.__name__ = getattr(update, "__name__", "update")
    compiled = programs.jit(program, quickly=False, static_argnums=5)
    return compiled if alone else directly(compiled, programs.jit(prepare, quickly=False), width)


def _met(trace: Any, tensors: list[Tensor]) -> Any:
    """Whether a compiled step's checks were met up to here, if its program will own the memory of this state.

    Where one is not, the state stays as it was. A small state stays so anyway: a program writes it to other memory.
    """
    sizes = [tensor.numel() * tensor.dtype.itemsize for tensor in tensors]
    if max(sizes, default=0) <= PACKED_ARRAY and sum(sizes) <= PACKED_STATE:
        return None
    met = trace.demands.met()
    if met is not None:
        trace.demands.kept.update(tensor._storage for tensor in tensors)
    return met


def _flag(value: Any) -> Any:
    """An option that is built into a program: what is no text or tuple is on or off."""
    return value if isinstance(value, (str, tuple)) else bool(value)


# --- what rules are written with ----------------------------------------------------------------------------------


def scaled(x: Any, scalar: Any) -> Any:
    """x times a scalar, which is rounded to x's type first."""
    return x * scalar.astype(x.dtype)


def lerp(start: Any, end: Any, weight: Any) -> Any:
    """From `start` (weight 0) towards `end` (weight 1), computed from the nearer side so that both ends are exact."""
    return jnp.where(weight < 0.5, start + scaled(end - start, weight), end - scaled(end - start, 1 - weight))


def decayed(grad: Any, param: Any, options: Any) -> Any:
    """The gradient of what is minimized: turned around for `maximize`, with the weight decay's part."""
    grad = -grad if options.maximize else grad
    if options.weight_decay is not None and not getattr(options, "decoupled_weight_decay", False):
        grad = grad + scaled(param, options.weight_decay)
    return grad


def shrunk(param: Any, options: Any) -> Any:
    """The parameter after decoupled weight decay (Loshchilov and Hutter, 2019), where it is asked for."""
    asked = options.weight_decay is not None and options.decoupled_weight_decay
    return scaled(param, 1 - options.lr * options.weight_decay) if asked else param


def picked(given: dict[str, Any], names: str) -> dict[str, Any]:
    """Those arguments of a constructor that are options of the groups, in PyTorch's order."""
    return {name: given[name] for name in names.split()}
