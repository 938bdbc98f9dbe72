"""Trees of containers, in both libraries."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import pytest
import torch

import flambeau as fb

Pair = namedtuple("Pair", "a b")
TREE = {
    "b": [1, (2, None)],
    "a": Pair(3, OrderedDict(x=4)),
    "d": deque([5], maxlen=3),
    "e": defaultdict(int, z=6),
    "f": (),
}


def tree_module(lib: Any) -> Any:
    return importlib.import_module(f"{lib.__name__}.utils._pytree")


def outcome(call: Any, lib: Any) -> Any:
    try:
        made = call(tree_module(lib), lib)
    except Exception as error:
        return type(error), str(error).replace("flambeau", "torch")
    return repr(made).replace("flambeau", "torch")


@pytest.mark.parametrize(
    "call",
    [
        lambda p, lib: p.tree_flatten(TREE),
        lambda p, lib: p.tree_unflatten(list("abcdefg"), p.tree_structure(TREE)),
        lambda p, lib: p.tree_unflatten([1], p.tree_structure(TREE)),
        lambda p, lib: [
            getattr(p.tree_structure(TREE), n) for n in ("num_leaves", "num_nodes", "num_children", "type", "context")
        ],
        lambda p, lib: p.tree_map(lambda a, b: (a, b), [1, 2], [3, (4, 5)]),
        lambda p, lib: p.tree_map(lambda a, b: (a, b), [1, 2], [3]),
        lambda p, lib: p.tree_map(lambda a, b: (a, b), [1, 2], (3, 4)),
        lambda p, lib: p.tree_map(lambda a, b: (a, b), {"a": 1, "b": 2}, {"b": 3, "a": 4}),
        lambda p, lib: p.tree_map(lambda a, b: (a, b), {"a": 1, "b": 2}, {"b": 3, "c": 4}),
        lambda p, lib: p.tree_map_only(int, lambda x: x * 2, [1, "a", 2.0]),
        lambda p, lib: p.tree_map_only((int, str), lambda x: x * 2, [1, "a", 2.0]),
        lambda p, lib: p.tree_map_only(lambda x: x == "a", lambda x: x * 2, [1, "a", 2.0]),
        lambda p, lib: p.tree_leaves([1, (2, 3)], is_leaf=lambda x: isinstance(x, tuple)),
        lambda p, lib: [p.tree_any(lambda x: x > 1, [1, 2]), p.tree_all(lambda x: x > 1, [1, 2])],
        lambda p, lib: [
            p.tree_any_only(int, lambda x: x > 1, ["a", 2]),
            p.tree_all_only(int, lambda x: x > 1, ["a", 1]),
        ],
        lambda p, lib: [(p.keystr(path), leaf) for path, leaf in p.tree_flatten_with_path(TREE)[0]],
        lambda p, lib: p.tree_map_with_path(lambda path, x: p.keystr(path), TREE),
        lambda p, lib: [p.key_get(TREE, path) for path, _ in p.tree_leaves_with_path(TREE)],
        lambda p, lib: p._broadcast_to_and_flatten(1, p.tree_structure(TREE)),
        lambda p, lib: p._broadcast_to_and_flatten([1, (2, 3)], p.tree_structure([[0, 0], (0, [0, 0])])),
        lambda p, lib: p._broadcast_to_and_flatten([1, [2, 3]], p.tree_structure([0, (0, 0)])),
        lambda p, lib: p.treespec_dumps(p.tree_structure([1, (2, {"a": 3}), defaultdict(list, q=1), OrderedDict(r=3)])),
        lambda p, lib: p.treespec_loads(p.treespec_dumps(p.tree_structure([1, (2, {"a": 3})]))),
        lambda p, lib: p.treespec_dumps(p.tree_structure(TREE)),
        lambda p, lib: [p.is_namedtuple(Pair), p.is_namedtuple_instance(Pair(1, 2)), p.is_structseq(time.localtime())],
        lambda p, lib: [p.treespec_leaf(), p.treespec_tuple([p.treespec_leaf()]), p.treespec_dict(a=p.treespec_leaf())],
        lambda p, lib: [p.tree_is_leaf(3), p.tree_is_leaf([]), p.tree_structure([1]) == p.tree_structure([2])],
        lambda p, lib: p.arg_tree_leaves(1, [2, 3], x={"a": 4}),
        lambda p, lib: p.tree_leaves(lib.max(lib.ones(2, 2), 0).values.shape),
        lambda p, lib: p.tree_map(lambda x: x.shape, [lib.ones(2), {"a": lib.ones(3, 1)}]),
        lambda p, lib: p.tree_unflatten([1], 3),
        lambda p, lib: p.map_only(3),
    ],
)
def test_as_torch(call: Any) -> None:
    assert outcome(call, fb) == outcome(call, torch)


def test_classes_of_ones_own() -> None:
    for lib in (fb, torch):
        p = tree_module(lib)

        class Box:
            def __init__(self, held: Any, name: str):
                self.held, self.name = held, name

        p.register_pytree_node(
            Box, lambda box: ([box.held], [box.name]), lambda parts, name: Box(next(iter(parts)), name[0])
        )
        with pytest.raises(ValueError, match="is already registered as pytree node"):
            p.register_pytree_node(Box, None, None)
        doubled = p.tree_map(lambda x: x * 2, {"box": Box(3, "n")})["box"]
        assert (doubled.held, doubled.name) == (6, "n")

        mapped = lib.func.vmap(lambda box: Box(box.held + 1, box.name))(Box(lib.zeros(3), "v"))
        assert mapped.held.tolist() == [1, 1, 1] and mapped.name == "v"

        @dataclasses.dataclass
        class Point:
            x: Any
            y: Any = None

        p.register_dataclass(Point)
        assert p.tree_leaves(Point(1)) == [1] and p.tree_map(str, Point(1, 2)) == Point("1", "2")
        assert [p.keystr(path) for path, _ in p.tree_leaves_with_path(Point(1, 2))] == [".x", ".y"]
