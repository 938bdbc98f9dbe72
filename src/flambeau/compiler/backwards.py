"""A trace's backward pass that runs after the call: what of it a program can give, and what it can't."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..core.autograd.function import FunctionNode
from ..core.context.tracing import Untraceable
from ..core.tape.nodes import AccumulateGrad, Edge
from .words import place_of


def inner(roots: list[Edge], start: int) -> frozenset[int]:
    """The numbers of the roots that others depend on: the way between them lies inside of the program."""
    under = below(roots, start)
    return frozenset(i for i, root in enumerate(roots) if root in under)


def below(roots: list[Edge], start: int) -> set[Edge]:
    """The places on the tape that the roots depend on, whether a gradient comes to them or not."""
    nodes = _inside([root for root, _ in roots], start)
    return {edge for node in nodes for edge in node.edges if edge is not None}


def followed(find: Callable[[], Any], recorder: Any, roots: list[Edge], leaves: list[Any]) -> Any:
    """What `find()` gives: it traces the gradients of `roots` by what comes to `leaves`.

    Hooks of the leaves' own run where the gradients arrive, at each backward pass, so they are left out here. Hooks inside can't run at
    each pass. What a user's `autograd.Function` reads is watched like the function itself; what it changes would be changed once only.
    """
    nodes = list(_inside([root for root, _ in roots], recorder.start))
    for node in nodes:
        for hook in (
            *(node.post_hooks or {}).values(),
            *(h for t in (node.pre_hooks or {}).values() for h in t.values()),
        ):
            raise Untraceable(
                f"a gradient inside of it (of {node.name()}) has a hook{place_of(hook)}, by register_hook, retain_grad or the like, "
                "which has to run in each backward pass, after the call"
            )
    hooks = {node: node.pre_hooks for node in leaves if node.pre_hooks}
    for node in hooks:
        node.pre_hooks = None
    watcher, writes = recorder.watcher, recorder.writes
    before = len(writes.log), len(recorder.written), len(recorder.grads)
    own = [node.name() for node in nodes if isinstance(node, FunctionNode)]
    if own:
        watcher.start()
    try:
        found = find()
    finally:
        if own:
            watcher.unwinding.end()
            watcher.stop()
        for node, held in hooks.items():
            node.pre_hooks = held
    if watcher.refused is not None:
        raise watcher.refused
    if (len(writes.log), len(recorder.written), len(recorder.grads)) != before:
        raise Untraceable(
            f"the backward of an autograd.Function ({' or '.join(dict.fromkeys(own))}) changes something outside of it, which has to "
            "happen in each backward pass, after the call"
        )
    return found


def hooked(edge: Edge | None) -> bool:
    """Whether somebody has put a hook on what comes to a place on the tape."""
    if edge is None:
        return False
    node: Any = edge[0]
    return any((node.pre_hooks or {}).values()) or bool(getattr(node, "done_hooks", None))


def refuse_hooks(gradient: Any) -> Any:
    """The hook of arguments that stand for others with hooks."""
    raise Untraceable("it takes the gradient of an argument that has hooks, which have to run")


def _inside(roots: list[Any], start: int) -> Iterator[Any]:
    """The nodes under `roots` that were recorded since `start`, without leaves."""
    stack, seen = list(roots), set()
    while stack:
        node = stack.pop()
        if node not in seen and type(node) is not AccumulateGrad and node.order >= start:
            seen.add(node)
            yield node
            stack += [e[0] for e in node.edges if e is not None]
