"""The Python function that calls a program: gather, run, scatter, hand out. It is written out for each program, so that what a
program does not need costs nothing: a small network's step feels each look-up and each call of a function.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from typing import Any

import jax

from ..core.autograd.engine import backward as tape_backward
from ..core.context.tracing import structure
from ..core.dispatch.checks import number_at
from ..core.tape.nodes import AccumulateGrad
from ..core.tensor.storage import HostStorage, PartsStorage, Storage, as_held
from ..core.tensor.tensor import Tensor, blank, wrap
from ..native import reading
from .ahead import looks
from .guards.places import MISSING
from .looking import look
from .node import Backward, spent
from .packing import Pack, PackedStorage
from .plan import ARGUMENT, AT, LEAF, LOOK, MADE, OFF, SAME, USED_UP, Effect, Found, Plan, Recipe, Unevaluable
from .runs import Runs
from .templates import Built, OfRecipe

# What the text names beside the objects of the program
_NAMES = {
    "ARITHMETIC": (ArithmeticError, ValueError, LookupError), "Built": Built, "HostStorage": HostStorage, "Pack": Pack,
    "PackedStorage": PackedStorage, "PartsStorage": PartsStorage, "Storage": Storage, "Tensor": Tensor, "Unevaluable": Unevaluable,
    "as_held": as_held, "blank": blank, "copy": jax.numpy.array, "getrefcount": getrefcount, "look": look,
    "new": object.__new__, "number_at": number_at, "wrap": wrap,
}  # fmt: skip


class Call:
    """The text of one program's call, with what it names."""

    def __init__(self, plan: Plan, runs: Runs, backward: Backward | None, unpack: Callable[[], Callable[..., Any]]):
        self.plan = plan
        self.executable: Any = runs.executable
        self.backward = backward
        self.names: dict[str, Any] = {**_NAMES, "runs": runs, "unpack": unpack}
        self.spent: Any = spent()
        self.lines: list[str] = []

    def write(self) -> Callable[..., Any]:
        """`call(tensors, given, call)`: of the arguments' leaves those that are tensors, all of them, and (args, kwargs)."""
        plan = self.plan
        draws = bool(plan.drawing.sources)
        if draws:
            self.add(f"marks = {self.name(plan.drawing.mark)}()", "try:")
            begin = len(self.lines)
        self._gather()
        self._check_ahead()
        self._run()
        if draws:
            self.lines[begin:] = ["    " + line for line in self.lines[begin:]]
            self.add("except BaseException:", "    runs.draw_again(marks, given)", "    raise")
        self._scatter()
        self._make()
        self._set_gradients()
        self._hand_out()
        text = ["def call(tensors, given, call=None):", *("    " + line for line in self.lines)]
        exec("\n".join(text), self.names)
        return self.names.pop("call")  # or each would hold the other

    def name(self, thing: Any) -> str:
        self.names[text := f"x{len(self.names)}"] = thing
        return text

    def add(self, *lines: str) -> None:
        self.lines += lines

    def _now(self, tensor: Found) -> str:
        return self.name(tensor) if isinstance(tensor, Tensor) else f"{self.name(tensor.find)}()"

    # --- gather and run -------------------------------------------------------------------------------------------

    def _gather(self) -> None:
        executable, state = self.executable, self.plan.state
        families = executable.packing.families if executable.packing else []
        flats = [f"flat{i}" for i in range(len(families))]
        for flat, family in zip(flats, map(self.name, families), strict=True):
            self.add(f"pack = {family}.pack",
                     f"{flat} = {family}.join() if pack is None or pack.broken else pack.flat")  # fmt: skip
        if flats:
            hopeless = " or ".join(f"{flat} is None" for flat in flats)
            self.add(f"if {hopeless}:", f"    del {', '.join(flats)}",
                     "    return unpack()(tensors, given, call)")  # fmt: skip
        for n in (
            self._looked_at()
        ):  # a batch comes in NumPy's memory, which is told faster than an array that is on its way from there
            i, dense = self.plan.inputs[n]
            whole = f" and tensors[{i}]._view is None" if dense else ""
            self.add(f"made{n} = s.host if type(s := tensors[{i}]._storage) is HostStorage{whole} else None")
        values = [
            f"t._storage.value if (t := tensors[{i}])._view is None else t._array"
            if dense
            else f"tensors[{i}]._storage.value"
            for i, dense in self.plan.inputs
        ]
        in_parts = {s for s in executable.loose if executable.spans and type(s) is PartsStorage}
        values += [f"{self.name(s)}.{'host' if s in in_parts else 'value'}" for s in executable.loose]
        self.add(f"inputs = [{', '.join(values)}]")
        computed = []
        if state.others:
            others = [f"as_held({self.name(o.find)}()._storage)" if executable.spans and hasattr(o, "find")
                      else f"{self.name(o)}(given)" for o in state.others]  # fmt: skip
            computed.append(f"inputs += [{', '.join(others)}]")
        if self.plan.results.expressions:
            numbers = (f"{self.name(expression.value)}(given)" for expression in self.plan.results.expressions)
            computed.append(f"numbers = [{', '.join(numbers)}]")
        if computed:
            self.add("try:", *("    " + line for line in computed), "except ARITHMETIC as fault:",
                     "    raise Unevaluable from fault")  # fmt: skip
        if executable.donated:
            # not what anybody else holds: a clone, a checkpoint, the tape
            self.add(f"for i in {executable.donated}:", f"    if getrefcount(inputs[i]) > {_ALONE}:",
                     "        inputs[i] = copy(inputs[i], copy=True)")  # fmt: skip
        if flats:
            self.add(f"inputs += [{', '.join(flats)}]", f"del {', '.join(flats)}")

    def _check_ahead(self) -> None:
        """Look at what the program is given, before anything has changed."""
        checks, arguments, state = self.plan.ahead, len(self.plan.inputs), self.plan.state
        if not checks:
            return
        loose = self.executable.loose

        def place(n: int) -> int:
            if n < arguments:
                return n
            n -= arguments
            if n < len(state.tensors):
                return arguments + loose.index(state.tensors[n]._storage)
            return arguments + len(loose) + n - len(state.tensors)

        looking = reading.functions.for_programs()
        assert looking is not None
        places = self.name([place(check.given) for check in checks])
        made = self._looked_at()
        given = ", ".join(["inputs", *(f"made{n}" for n in made)])
        self.add(
            f"if not {self.name(looking(looks(checks, place, made)))}({given}):", f"    runs.refuse(inputs, {places})"
        )
        if made:
            self.add(f"del {', '.join(f'made{n}' for n in made)}")

    def _looked_at(self) -> list[int]:
        """The arguments that are looked at ahead of the program."""
        return sorted(n for n in self.plan.looked_at if n < len(self.plan.inputs))

    def _run(self) -> None:
        for tensor in self.plan.changes.unread:  # or a step would hold two gradients of each parameter
            self.add(f"{self._now(tensor)}._grad = None")
        self.add("outputs = runs.run(*inputs)")
        if self.plan.word is not None:
            self.add(
                f"word = outputs[{self.executable.outputs[self.plan.word]}]",
                "if not (runs.word_at_hand and word.is_ready() and not number_at(word.unsafe_buffer_pointer()).value):",
                "    runs.check(word, outputs)",
            )
        self.add("runs.calls += 1")

    # --- scatter --------------------------------------------------------------------------------------------------

    def _scatter(self) -> None:
        executable, changes = self.executable, self.plan.changes
        packing, place = executable.packing, executable.outputs
        if packing is not None:
            first = len(place)
            for i, family in enumerate(packing.families):
                self.add(f"{self.name(family)}.accept(outputs[{first + i}])")
            first += len(packing.families)
            for i, layout in enumerate(packing.layouts):
                self.add(f"pack{i} = Pack({self.name(layout)}, outputs[{first + i}])")
        writes = [(storage, place[n]) for storage, n in changes.storages if n in place]
        if writes:
            self.add(f"for storage, n in {self.name(writes)}:", "    storage.set(outputs[n])")
        for source, n in changes.places:
            self.add(f"{self.name(source.find)}()._storage.set(outputs[{place[n]}])")
        for (i, whole), n in changes.arguments:
            written = "_storage.set" if whole else "_write"
            self.add(f"tensors[{i}].{written}(outputs[{place[n]}])")
        for tensor, argument, what in self.plan.tape.edges:
            if what == LEAF:  # before the node, which leads there
                self.add(f"{self._target(tensor, argument)}.requires_grad_()")
        if self.backward is not None:
            given = f"[*inputs, *outputs[-{self.backward.saved}:]]" if self.backward.saved else "inputs"
            self.add(f"node = {self.name(self.backward.node)}(tensors, {given})")

    # --- hand out -------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        packed = self.executable.packing.recipes if self.executable.packing else {}
        recipes = [(i, recipe) for i, recipe in enumerate(self.plan.results.recipes) if i not in packed]
        later = [i for i, r in recipes if r.kind == LOOK and r.what[0] == MADE and r.what[1] > i]
        for i, recipe in sorted(recipes, key=lambda pair: pair[0] in later):
            self._make_one(i, recipe)

    def _make_one(self, i: int, recipe: Recipe) -> None:
        kind, what = recipe.kind, recipe.what
        if kind == SAME:
            self.add(f"r{i} = {self.name(what)}")
        elif kind == AT:
            self.add(f"r{i} = {self.name(what.find)}()")
        elif kind == ARGUMENT:
            self.add(f"r{i} = tensors[{what}]")
        elif kind == MADE and self.executable.outputs[what] in self.executable.in_parts:
            self.add(f"r{i} = blank(Tensor, PartsStorage(outputs[{self.executable.outputs[what]}]))")
        elif recipe.is_plain:
            self._new(f"outputs[{self.executable.outputs[what]}]", f"r{i}")
        else:
            if kind == MADE:
                self.add(f"r{i} = wrap(outputs[{self.executable.outputs[what]}])")
            else:
                root_kind, root = what
                tensor = (
                    self.name(root) if root_kind == SAME
                    else f"{self.name(root.find)}()" if root_kind == AT
                    else f"tensors[{root}]" if root_kind == ARGUMENT
                    else f"r{root}"
                )  # fmt: skip
                if recipe.follows is not None:
                    begins = "" if recipe.offset is None else f"._replace(offset=numbers[{recipe.offset}])"
                    self.add(f"r{i} = look({tensor}, {self.name(recipe.view)}{begins}, {self.name(recipe.follows)})")
                else:
                    self.add(f"r{i} = blank(Tensor, {tensor}._storage, {self.name(recipe.view)})")
            if recipe.cls is not Tensor:
                self.add(f"r{i}.__class__ = {self.name(recipe.cls)}")
            if recipe.dead:
                self.add(f"r{i}._edge = {self.name(self.spent)}")
            elif recipe.live >= 0:
                self.add(f"r{i}._edge = None if node is None else (node, {recipe.live})")
            elif recipe.leaf:
                self.add(f"r{i}.requires_grad_()")

    def _new(self, value: str, target: str) -> None:
        """A new whole tensor off the tape."""
        self.add("s = new(Storage)", f"s.value = {value}", "s.version = 0", f"{target} = blank(Tensor, s)")

    def _set_gradients(self) -> None:
        changes, packing = self.plan.changes, self.executable.packing
        packed = packing.recipes if packing else {}
        for tensor, recipe in changes.grads:
            if recipe in packed:
                pack, place = packed[recipe]
                self.add("s = new(PackedStorage)", f"s.packed = (pack{pack}, {place}, 0)",
                         f"{self._now(tensor)}._grad = blank(Tensor, s)")  # fmt: skip
        for tensor, recipe in changes.grads:
            if recipe not in packed:
                self.add(f"{self._now(tensor)}._grad = {None if recipe is None else f'r{recipe}'}")
        for i, n in changes.argument_grads:
            self.add(f"{self.name(_add_grad)}(tensors[{i}], outputs[{self.executable.outputs[n]}])")
        for tensor, argument, what in self.plan.tape.edges:
            target = self._target(tensor, argument)
            if what == OFF:
                self.add(f"{self.name(_take_off)}({target})")
            elif what == USED_UP:
                self.add(f"{target}._set_edge({self.name(self.spent)})")
            elif what != LEAF:
                self.add("if node is not None:", f"    {target}._set_edge((node, {what}))")

    def _target(self, tensor: Found, argument: int | None) -> str:
        return f"tensors[{argument}]" if argument is not None else self._now(tensor)

    def _hand_out(self) -> None:
        results = self.plan.results
        if type(results.template) is OfRecipe and not results.effects:
            self.add(f"return r{results.template.number}")
            return
        packed = self.executable.packing.recipes if self.executable.packing else {}
        made = ["None" if i in packed else f"r{i}" for i in range(len(results.recipes))]
        self.add(f"built = Built([{', '.join(made)}], {'numbers' if results.expressions else '()'}, call)")
        if results.effects and len(results.places) > 1:  # one is found while what leads to it is as it was
            for place in results.places:
                self.add(f"built.memo[{id(place)}] = {self.name(place)}.find(call)")
        for effect in results.effects:
            self.add(f"{self.name(_apply)}({self.name(effect)}, built)")
        self.add(f"return {self.name(results.template)}.make(built)")


def _apply(effect: Effect, built: Built) -> None:
    """Do to Python's objects what the function did."""
    if effect.place is not None:
        effect.place.put(effect.args[0].make(built) if effect.args else MISSING)
    else:
        effect.function(*[a.make(built) for a in effect.args], **{k: v.make(built) for k, v in effect.kwargs.items()})


def _take_off(tensor: Tensor) -> None:
    """Take a tensor off the tape. Programs that have looked whether a leaf requires grad look again."""
    edge = tensor._edge
    structure.version += edge is not None and type(edge[0]) is AccumulateGrad
    tensor._set_edge(None)


def _add_grad(tensor: Tensor, array: Any) -> None:
    """Hand a gradient to an argument: to its `.grad`, or down the tape that it comes from."""
    edge = tensor._tape_edge()
    if edge is not None and type(edge[0]) is not AccumulateGrad:
        tape_backward([tensor], [wrap(array)])
        return
    held = tensor._grad
    tensor._grad = wrap(array if held is None else held._array + array)


class _Cell:
    value: Any


def _baseline() -> int:
    """What `getrefcount` says of an array that only its storage and the list of inputs hold."""
    cell = _Cell()
    cell.value = object()
    inputs = [cell.value]
    return max([getrefcount(inputs[i]) for i in (0,)])


_ALONE = _baseline()
