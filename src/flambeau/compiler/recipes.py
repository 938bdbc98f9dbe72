"""How each call makes the tensors that the traced function has made or found: the recipes, written while the trace is read."""

from __future__ import annotations

import gc
from typing import Any

import jax

from ..core.context.tracing import Untraceable
from ..core.tape.nodes import AccumulateGrad
from ..core.tensor.looks import settled_view
from ..core.tensor.tensor import Tensor
from .arguments import Arguments
from .looking import Following, check_dense, following, share
from .moving import Moving
from .node import used_up
from .plan import ARGUMENT, AT, LOOK, MADE, SAME, Recipe
from .recorder import Recorder


class Numbered:
    """Things by identity, each once: one value that several tensors hold (an optimizer's step count) stays one array."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self._numbers: dict[int, int] = {}

    def number(self, thing: Any) -> int:
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self.things)
            self.things.append(thing)
        return number


class Recipes:
    """`live` are the tensors with a place on the tape that `backward` can be called on after the call."""

    def __init__(
        self, recorder: Recorder, arguments: Arguments, moving: Moving, outputs: Numbered, expressions: Numbered
    ):
        self.recorder = recorder
        self.arguments = arguments
        self.moving = moving
        self.outputs = outputs
        self.expressions = expressions
        self.recipes: list[Recipe] = []
        self.live: list[Tensor] = []
        self.kept: list[Any] = []  # tensors and storages whose ids are in use
        self._numbers: dict[int, int] = {}
        self._views: dict[int, list[tuple[int, Tensor, Following]]] = {}  # by the id of a base that is not described
        self._young: set[int] | None = None  # ids of objects that were made since the trace began

    def number(self, tensor: Tensor) -> int:
        """The number of a tensor's recipe."""
        number = self._numbers.get(id(tensor))
        if number is None:
            recipe = self._describe(tensor)
            number = self._numbers[id(tensor)] = len(self.recipes)
            self.recipes.append(recipe)
            self.kept.append(tensor)
            for place, view, how in self._views.pop(id(tensor), ()):
                self.recipes[place] = Recipe(LOOK, (MADE, number), view._geometry, type(view), follows=how)
        return number

    def take_kept(self) -> list[tuple[Tensor, Recipe]]:
        """The tensors that were described, which nobody here holds any longer."""
        found = [(t, self.recipes[self._numbers[id(t)]]) for t in self.kept if isinstance(t, Tensor)]
        self.kept.clear()
        return found

    def _describe(self, tensor: Tensor) -> Recipe:
        if id(tensor) in self.arguments.numbers:
            return Recipe(ARGUMENT, self.arguments.numbers[id(tensor)])
        if tensor.__dict__ and isinstance(tensor._storage.value, jax.core.Tracer):
            raise Untraceable(f"it gives out a tensor with attributes of its own ({next(iter(tensor.__dict__))!r})")
        edge: Any = tensor._tape_edge()
        if (found := self._view(tensor, edge)) is not None:
            return self._counted(tensor, found)
        settled_view(tensor)
        is_leaf = edge is not None and type(edge[0]) is AccumulateGrad
        computed = edge is not None and not is_leaf
        if self.recorder.is_outside(tensor):
            found = self._outside(tensor, edge, is_leaf, computed)
            if found is not None:
                return found
        if (found := self._inner_view(tensor, edge)) is not None:
            return found
        return self._computed(tensor, edge) if computed else self._made(tensor, is_leaf)

    def _counted(self, tensor: Tensor, recipe: Recipe) -> Recipe:
        """A view that begins where a number says which is an input (`x[:, self.i]`) begins there at each call."""
        offset = recipe.view.offset
        if type(offset) is int:
            return recipe
        if recipe.follows.label is not None:  # its nodes in the trace lead there, too
            return recipe._replace(view=settled_view(tensor) or recipe.view._replace(offset=offset.settle()))
        view = recipe.view._replace(offset=offset.plain)
        tensor._view = None if tensor._view is None else tensor._view._replace(offset=offset.plain)
        return recipe._replace(view=view, offset=self.expressions.number(offset.expression))

    def _view(self, tensor: Tensor, edge: Any) -> Recipe | None:
        """Of a view of an argument, or of a tensor that was there before."""
        base = tensor._base
        if base is None:
            return self._detached(tensor) if edge is None else None
        number = self.arguments.numbers.get(id(base))
        if number is None and not self.recorder.is_outside(base):
            return None
        how = following(tensor, edge, self.recorder)
        if how is None:
            return None
        root: Any = (SAME, base)
        if number is not None:
            root = (ARGUMENT, number)
            if base._view is None:
                check_dense(self.arguments.tensors[number])
                how = how._replace(dense=True)
        elif (source := self.moving.at.get(id(base))) is not None:
            root = (AT, source)
        elif self.is_young(base) and (source := self.moving.memory().get(base._storage)) is not None:
            root, how = (AT, source), how._replace(detached=True)  # a view of `detach()`
        return Recipe(LOOK, root, tensor._geometry, type(tensor), follows=how)

    def _inner_view(self, tensor: Tensor, edge: Any) -> Recipe | None:
        """Of a view of what the function has made, if others that share its memory are handed out too."""
        base = tensor._base
        if base is None or id(base) in self.arguments.numbers or self.recorder.is_outside(base):
            return None
        how = following(tensor, edge, self.recorder)
        if how is None:
            return None
        number = self._numbers.get(id(base))
        if number is None:
            others = self._views.setdefault(id(base), [])
            if how.label is not None and not any(share(tensor._geometry, view._geometry) for _, view, _ in others):
                others.append((len(self.recipes), tensor, how))
                return None
            number = self.number(base)
        return Recipe(LOOK, (MADE, number), tensor._geometry, type(tensor), follows=how)

    def _detached(self, tensor: Tensor) -> Recipe | None:
        """Of what looks into the memory of an argument that is a part of it, off the tape (`x[1:].detach()`)."""
        number = self.arguments.part(tensor._storage)
        if number is None:
            return None
        check_dense(self.arguments.tensors[number])
        how = Following(None, None, dense=True, detached=True)
        return Recipe(LOOK, (ARGUMENT, number), tensor._geometry, type(tensor), follows=how)

    def _outside(self, tensor: Tensor, edge: Any, is_leaf: bool, computed: bool) -> Recipe | None:
        """Of a tensor that looks into memory from before the trace."""
        view, at = tensor._view, self.moving.at
        owner = self.recorder.owners.get(tensor._storage, tensor)
        if owner is tensor and not computed and self.is_young(tensor):
            source = at.get(id(tensor)) or self.moving.memory().get(tensor._storage)
            return Recipe(LOOK, (AT, source) if source else (SAME, tensor), view, type(tensor), leaf=is_leaf)
        if computed and edge[0].order >= self.recorder.start and owner is not tensor:
            return None
        if computed and owner is tensor and edge[0].order >= self.recorder.start and self.is_young(tensor):
            raise Untraceable("it gives out a view of a leaf that is a view itself: take the view outside")
        if id(tensor) in self.moving.leaves:
            return Recipe(AT, at[id(tensor)])
        if (source := at.get(id(tensor)) or at.get(id(owner))) is not None:
            return Recipe(LOOK, (AT, source), view, type(tensor))
        return Recipe(SAME, tensor) if owner is tensor or is_leaf else Recipe(LOOK, (SAME, owner), view, type(tensor))

    def _computed(self, tensor: Tensor, edge: Any) -> Recipe:
        dead = used_up(edge[0])
        live = -1 if dead else len(self.live)
        if not dead:
            self.live.append(tensor)
        if tensor._view is None:
            root = self._numbers.get(id(tensor._storage))
            if root is not None:  # `h.detach()` was described before
                return Recipe(LOOK, (MADE, root), None, type(tensor), live, dead)
            self._numbers[id(tensor._storage)] = len(self.recipes)
            self.kept.append(tensor._storage)
        return Recipe(MADE, self.outputs.number(tensor._array), None, type(tensor), live, dead)

    def _made(self, tensor: Tensor, is_leaf: bool) -> Recipe:
        storage, view, homes = tensor._storage, tensor._view, self.arguments.homes
        if storage in homes:
            return Recipe(LOOK, (ARGUMENT, homes[storage]), view, type(tensor))
        if view is None and id(storage) not in self._numbers:
            self._numbers[id(storage)] = len(self.recipes)  # what looks into the same storage finds it here
            self.kept.append(storage)
            return Recipe(MADE, self.outputs.number(storage.value), None, type(tensor), leaf=is_leaf)
        # tensors that share memory share it at each call, too
        root = self._numbers.get(id(storage))
        if root is None:
            root = self._numbers[id(storage)] = len(self.recipes)
            self.recipes.append(Recipe(MADE, self.outputs.number(storage.value)))
            self.kept.append(storage)
        return Recipe(LOOK, (MADE, root), view, type(tensor), leaf=is_leaf)

    def is_young(self, tensor: Tensor) -> bool:
        """Whether a tensor with memory from outside was made in the trace (`state.detach()`)."""
        return id(tensor) in self.young()

    def young(self) -> set[int]:
        """The ids of the objects that were made since the trace began. To be asked before anybody calls the collector."""
        if self._young is None:
            self._young = {id(thing) for thing in gc.get_objects(generation=0)}
        return self._young
