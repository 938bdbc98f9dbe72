"""Tensors of a trace that outlive it, because somebody has kept them (`self.loss = loss`): each call gives them its values."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import jax

from ..core.tape.nodes import AccumulateGrad
from ..core.tensor.looks import settled_view
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor
from .arguments import Arguments
from .node import saved_on_tape, spent
from .plan import ARGUMENT, LOOK, MADE
from .recipes import Recipes
from .recorder import Recorder


def left_behind(recorder: Recorder, arguments: Arguments, recipes: Recipes, level: Any) -> list[Tensor]:
    """Those that nobody has described: one for each storage (a hook keeps one in a dict, an optimizer as its state)."""
    known = {id(t) for t in (*recipes.kept, *arguments.stand_ins, *recorder.owners.values())}
    known |= {id(t) for t in saved_on_tape(recipes.live)}
    storages = {t._storage for t in recipes.kept if isinstance(t, Tensor)} | arguments.storages()

    def scan() -> list[Tensor]:
        return [
            o
            for o in gc.get_objects()
            if issubclass(type(o), Tensor)
            and id(o) not in known
            and type(getattr(o, "_storage", None)) is Storage
            and o._storage not in storages
            and getattr(o._storage.value, "_trace", None) is level
        ]

    if scan():
        gc.collect()
    found = scan()
    for tensor in found:
        settled_view(tensor)
        if tensor._edge is not None and type(tensor._edge[0]) is not AccumulateGrad:
            tensor._edge = spent()
    return list({id(t._storage): t for t in found}.values())


def kept(recipes: Recipes) -> tuple[list[tuple[Storage, int]], list[tuple[Tensor, None, int]]]:
    """After the trace: those results that the function has also kept somewhere.

    Their storages with the numbers of the outputs, and the tensors with the numbers of their gradients.
    """
    found = [
        (weakref.ref(t), recipe)
        for t, recipe in recipes.take_kept()
        if isinstance(t._storage.value, jax.core.Tracer) and recipe.kind != ARGUMENT
    ]
    if any(ref() is not None for ref, _ in found):
        gc.collect()
    storages: list[tuple[Storage, int]] = []
    edges: list[tuple[Tensor, None, int]] = []
    for ref, recipe in found:
        tensor = ref()
        if tensor is None:
            continue
        through = recipe.kind == LOOK and recipe.what[0] == MADE
        number = recipes.recipes[recipe.what[1]].what if through else recipe.what
        if recipe.kind == MADE and tensor._view is not None:
            tensor._storage, tensor._view, tensor._base = Storage(tensor._storage.value), None, None
        if isinstance(number, int):
            storages.append((tensor._storage, number))
        if recipe.live >= 0:
            edges.append((tensor, None, recipe.live))
        elif recipe.dead:
            tensor._edge = spent()
    return storages, edges
