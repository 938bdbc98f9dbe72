"""Changes of dicts with an order of their own, of subclasses given as arguments, of modules' tables, and of attributes with a default."""

from __future__ import annotations

import collections
import dataclasses
import warnings
from typing import Any

import pytest

import flambeau as fb
from flambeau import nn


class Table(dict):
    pass


class Row(list):
    pass


@dataclasses.dataclass
class Config:
    a: Any = 1


def update_ordered(held, x):
    held["ordered"].update(z=3.0)
    held["ordered"] |= {"y": 1.0}
    held["ordered"].update({"a": 5.0})


def delete_attribute(held, x):
    del held["config"].a


def set_it_again(held, x):
    if "a" in vars(held["config"]):
        delattr(held["config"], "a")
    else:
        held["config"].a = 4


def under_tensors(held, x):
    held["table"][x] = 1


def change_lists(held, x):
    del held["list"][0]


def pop_from_lists(held, x):
    held["list"].pop(-1)


def insert_into_lists(held, x):
    held["list"].insert(0, nn.ReLU())


def clear_modules(held, x):
    held["modules"].clear()


def pop_modules(held, x):
    held["modules"].pop("a")


def delete_modules(held, x):
    del held["modules"]["a"]


def pop_parameters(held, x):
    held["parameters"].pop("a")


def delete_values(held, x):
    del held["parameters"]["n"]


def made() -> dict[str, Any]:
    return {
        "ordered": collections.OrderedDict(a=1.0),
        "config": Config(2),
        "table": {},
        "list": nn.ModuleList([nn.ReLU(), nn.Tanh(), nn.Sigmoid()]),
        "modules": nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()}),
        "parameters": nn.ParameterDict({"a": fb.ones(1), "n": 3}),
    }


def shown(held: dict[str, Any]) -> Any:
    return (
        list(held["ordered"].items()),
        dict(vars(held["config"])),
        len(held["table"]),
        [type(m).__name__ for m in held["list"]],
        [(k, type(m).__name__) for k, m in held["modules"].items()],
        list(held["parameters"]),
    )


CHANGES = [update_ordered, delete_attribute, set_it_again, under_tensors, change_lists, pop_from_lists, insert_into_lists,
           clear_modules, pop_modules, delete_modules, pop_parameters, delete_values]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_call_makes_the_change(change):
    seen = []
    for compile in (lambda function: function, fb.compile):
        held, log = made(), []

        def step(x, held=held):
            change(held, x)
            return x * 2

        compiled = compile(step)
        for _ in range(4):
            try:
                log.append((compiled(fb.ones(2)).tolist(), shown(held)))
            except (KeyError, AttributeError, IndexError) as error:
                log.append((type(error).__name__, shown(held)))
        seen.append(log)
    assert seen[0] == seen[1]


@pytest.mark.filterwarnings("ignore")
def test_subclasses_of_containers_as_arguments_are_the_callers_own():
    def step(x, table, row):
        table[len(table)] = 1
        row.append(len(row))
        return x * len(table)

    seen = []
    for compile in (lambda function: function, fb.compile):
        table, row, compiled = Table(a=1.0), Row([5]), compile(step)
        seen.append([(compiled(fb.ones(1), table, row).item(), dict(table), list(row)) for _ in range(4)])
    assert seen[0] == seen[1]


def test_dicts_with_tensors_as_keys_are_arguments():
    step, held = fb.compile(lambda x, held: x * len(held["of"])), {"of": {fb.ones(3): 1}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, 4):
            assert step(fb.ones(2), held).tolist() == [n, n]
            held["of"] = {fb.ones(3): i for i in range(n + 1)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change",
    [
        lambda c, d: c.__dict__.__setitem__("a", 9),
        lambda c, d: vars(c).update(a=vars(c)["a"] + 1),
        lambda c, d: vars(c).pop("a", None),
        lambda c, d: d["new"],
        lambda c, d: d[f"k{len(d)}"],
    ],
    ids=["set", "update", "pop", "entry", "entries"],
)
def test_arguments_through_their_attributes_and_factories(change):
    seen = []
    for compile in (lambda function: function, fb.compile):
        config, table = Config(2), collections.defaultdict(float, a=1.0)
        step = compile(lambda x, c, d: (change(c, d), x * len(d))[1])
        seen.append([(step(fb.ones(1), config, table).item(), dict(vars(config)), dict(table)) for _ in range(4)])
    assert seen[0] == seen[1]
