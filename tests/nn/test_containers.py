"""Containers: every method, with PyTorch's results, errors and printed forms."""

import copy
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
import flambeau.nn
from support.programs import agree
from support.properties import examples


def numbered(t, *numbers):
    """Modules that print and add a number."""

    class N(t.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.n = n

        def extra_repr(self):
            return str(self.n)

        def forward(self, x):
            return x + self.n

    return [N(n) for n in numbers]


def sequential(t, *numbers):
    return t.nn.Sequential(*numbered(t, *numbers))


def module_list(t, *numbers):
    return t.nn.ModuleList(numbered(t, *numbers))


def named(t, **numbers):
    return t.nn.Sequential(OrderedDict(zip(numbers, numbered(t, *numbers.values()), strict=True)))


def module_dict(t, **numbers):
    return t.nn.ModuleDict(dict(zip(numbers, numbered(t, *numbers.values()), strict=True)))


def one(t, number=7):
    return numbered(t, number)[0]


def shown(result):
    return (result, list(result._modules)) if hasattr(result, "_modules") else result


SEQUENTIAL = {
    "slice": lambda t, m: m[1:],
    "slice step": lambda t, m: m[::2],
    "slice back": lambda t, m: m[-2:],
    "index": lambda t, m: (m[0], m[-1]),
    "out of range": lambda t, m: m[5],
    "below": lambda t, m: m[-4],
    "string": lambda t, m: m["0"],
    "float": lambda t, m: m[1.0],
    "set": lambda t, m: m.__setitem__(-1, one(t)),
    "set out of range": lambda t, m: m.__setitem__(3, one(t)),
    "set string": lambda t, m: m.__setitem__("x", one(t)),
    "set int": lambda t, m: m.__setitem__(0, 3),
    "del": lambda t, m: m.__delitem__(0),
    "del back": lambda t, m: m.__delitem__(-1),
    "del slice": lambda t, m: m.__delitem__(slice(0, 2)),
    "del out of range": lambda t, m: m.__delitem__(3),
    "pop": lambda t, m: m.pop(0),
    "pop slice": lambda t, m: m.pop(slice(0, 2)),
    "append": lambda t, m: m.append(one(t)) is m,
    "append int": lambda t, m: m.append(1),
    "extend": lambda t, m: m.extend(numbered(t, 8, 9)) is m,
    "extend int": lambda t, m: m.extend(3),
    "insert": lambda t, m: m.insert(1, one(t)),
    "insert back": lambda t, m: m.insert(-1, one(t)),
    "insert end": lambda t, m: m.insert(3, one(t)),
    "insert first": lambda t, m: m.insert(-3, one(t)),
    "length": lambda t, m: (len(m), bool(m), [x.n for x in m], [x.n for x in reversed(m)], m[0] in m),
    "attribute": lambda t, m: getattr(m, "0"),
    "dir": lambda t, m: [d for d in dir(m) if d[0].isdigit()],
}
ONLY_SEQUENTIAL = {
    "add": lambda t, m: m + sequential(t, 8),
    "add list": lambda t, m: m + [one(t)],  # noqa: RUF005
    "iadd": lambda t, m: m.__iadd__(sequential(t, 8)) is m,
    "iadd list": lambda t, m: m.__iadd__([one(t)]),
    "mul": lambda t, m: (m * 2, 2 * m, (m * 2)[3] is m[0]),
    "mul zero": lambda t, m: m * 0,
    "mul negative": lambda t, m: m * -1,
    "mul float": lambda t, m: m * 1.5,
    "imul": lambda t, m: m.__imul__(3) is m,
    "imul zero": lambda t, m: m.__imul__(0),
    "imul float": lambda t, m: m.__imul__(0.5),
    "insert out of range": lambda t, m: m.insert(4, one(t)),
    "insert below": lambda t, m: m.insert(-4, one(t)),
    "insert int": lambda t, m: m.insert(1, 7),
    "call": lambda t, m: m(5),
    "call two": lambda t, m: m(5, 6),
    "call none": lambda t, m: m(),
    "of a list": lambda t, m: t.nn.Sequential(numbered(t, 1)),
    "of a dict": lambda t, m: t.nn.Sequential({"a": one(t)}),
    "of none": lambda t, m: t.nn.Sequential(None),
    "of an int key": lambda t, m: t.nn.Sequential(OrderedDict([(0, one(t))])),
    "of two": lambda t, m: t.nn.Sequential(OrderedDict(a=one(t)), one(t)),
    "empty": lambda t, m: (t.nn.Sequential(), len(t.nn.Sequential()), t.nn.Sequential()(3)),
    "named": lambda t, m: shown(named(t, a=1, b=2)),
    "named slice": lambda t, m: shown(named(t, a=1, b=2)[1:]),
    "named append": lambda t, m: shown(named(t, a=1).append(one(t)).append(one(t))),
    "named set": lambda t, m: (lambda s: (s.__setitem__(0, one(t)), shown(s)))(named(t, a=1)),
    "named del": lambda t, m: (lambda s: (s.__delitem__(0), shown(s)))(named(t, a=1, b=2)),
}
ONLY_LIST = {
    "add": lambda t, m: m + module_list(t, 8),
    "add list": lambda t, m: m + [one(t)],  # noqa: RUF005
    "iadd": lambda t, m: m.__iadd__([one(t)]) is m,
    "set slice": lambda t, m: m.__setitem__(slice(0, 1), numbered(t, 9)),
    "append none": lambda t, m: m.append(None),
    "pop out of range": lambda t, m: m.pop(4),
    "extend generator": lambda t, m: m.extend(x for x in numbered(t, 8, 9)),
    "call": lambda t, m: m(1),
    "of an int": lambda t, m: t.nn.ModuleList(3),
    "of a generator": lambda t, m: t.nn.ModuleList(x for x in numbered(t, 1, 2)),
    "of nothing": lambda t, m: t.nn.ModuleList(),
}


@pytest.mark.parametrize("code", [*SEQUENTIAL.values(), *ONLY_SEQUENTIAL.values()], ids=[*SEQUENTIAL, *ONLY_SEQUENTIAL])
def test_sequential(code):
    def run(t):
        m = sequential(t, 1, 2, 3)
        return shown(code(t, m)), shown(m)

    agree(run, words=5)


@pytest.mark.parametrize("code", [*SEQUENTIAL.values(), *ONLY_LIST.values()], ids=[*SEQUENTIAL, *ONLY_LIST])
def test_module_list(code):
    if code in (SEQUENTIAL["insert back"], SEQUENTIAL["insert first"]):
        return  # negative positions: below

    def run(t):
        m = module_list(t, 1, 2, 3)
        return shown(code(t, m)), shown(m)

    agree(run, words=5)


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(-7, 7))
@examples(50)
def test_insertion_is_that_of_a_list(numbers, position):
    for make in (module_list, sequential):
        if make is sequential and not -len(numbers) <= position <= len(numbers):
            continue
        m = make(fb, *numbers)
        m.insert(position, one(fb, 99))
        expected = list(numbers)
        expected.insert(position, 99)
        assert [x.n for x in m] == expected
        assert list(m._modules) == [str(i) for i in range(len(expected))]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_insertion_before_names_that_are_no_numbers(position):
    def run(t, m):
        m.insert(position, one(t))
        return list(m._modules)

    agree(lambda t: run(t, named(t, a=1, b=2)))
    agree(lambda t: run(t, t.nn.Sequential(OrderedDict([("0", one(t)), ("b", one(t)), ("2", one(t))]))))


def test_extension_by_itself():
    m, s = module_list(fb, 1, 2), sequential(fb, 1, 2)
    assert [x.n for x in m.extend(m)] == [x.n for x in s.extend(s)] == [1, 2, 1, 2]


@pytest.mark.parametrize("numbers", [(), (0,), (0, 0, 0, 1, 2, 2), (1, 2, 1), (3, 3)])
def test_printed_lists(numbers):
    agree(lambda t: repr(module_list(t, *numbers)))
    agree(lambda t: repr(t.nn.Sequential(module_list(t, *numbers), one(t))))
    agree(lambda t: repr(t.nn.ModuleList([sequential(t, *numbers), sequential(t, *numbers), one(t), None])))


DICT = {
    "views": lambda t, m: [list(m), list(m.keys()), list(m.items()), list(m.values()), len(m), "a" in m, 3 in m],
    "types": lambda t, m: [type(m.keys()), type(m.items()), type(m.values())],
    "get": lambda t, m: (m["a"], m.a),
    "get missing": lambda t, m: m["z"],
    "set": lambda t, m: m.__setitem__("z", one(t)),
    "set again": lambda t, m: m.__setitem__("a", one(t)),
    "set none": lambda t, m: m.__setitem__("z", None),
    "set int": lambda t, m: m.__setitem__("z", 3),
    "set number": lambda t, m: m.__setitem__(3, one(t)),
    "set taken": lambda t, m: m.__setitem__("keys", one(t)),
    "set dot": lambda t, m: m.__setitem__("a.b", one(t)),
    "del": lambda t, m: m.__delitem__("a"),
    "del missing": lambda t, m: m.__delitem__("z"),
    "pop": lambda t, m: m.pop("a"),
    "pop missing": lambda t, m: m.pop("z"),
    "clear": lambda t, m: m.clear(),
    "update dict": lambda t, m: m.update({"z": one(t), "b": one(t)}),
    "update ordered": lambda t, m: m.update(OrderedDict([("z", one(t)), ("b", one(t))])),
    "update module dict": lambda t, m: m.update(module_dict(t, z=5, a=6)),
    "update pairs": lambda t, m: m.update([("z", one(t)), ("b", one(t))]),
    "update zip": lambda t, m: m.update(zip("zb", numbered(t, 1, 2), strict=True)),
    "update int": lambda t, m: m.update(3),
    "update none": lambda t, m: m.update(None),
    "update singles": lambda t, m: m.update([3]),
    "update ones": lambda t, m: m.update([(3,)]),
    "update threes": lambda t, m: m.update([("a", one(t), 3)]),
    "update numbers": lambda t, m: m.update([(3, one(t))]),
    "call": lambda t, m: m(1),
    "of pairs": lambda t, m: t.nn.ModuleDict([("q", one(t)), ("a", one(t))]),
    "of nothing": lambda t, m: t.nn.ModuleDict(),
}


@pytest.mark.parametrize("code", DICT.values(), ids=DICT)
def test_module_dict(code):
    def run(t):
        m = module_dict(t, b=1, a=2)
        return shown(code(t, m)), shown(m)

    agree(run, words=5)


# --- parameters -------------------------------------------------------------------------------------------------------


def parameter(t, value):
    return t.nn.Parameter(t.full((2,), float(value)))


def content(m):
    return m, m._parameters, {k: v for k, v in m.__dict__.items() if k in ("_size", "_keys") or k[0] != "_"}


LIST_OF_PARAMETERS = {
    "print": lambda t, m: repr(m),
    "print mixed": lambda t, m: repr(t.nn.ParameterList([parameter(t, 1), t.ones(3, 2), "x", 3, t.tensor(1.0)])),
    "print one": lambda t, m: repr(t.nn.ParameterList([t.ones(1, dtype=t.float16)])),
    "print none": lambda t, m: repr(t.nn.ParameterList()),
    "print nested": lambda t, m: repr(t.nn.ParameterList([t.nn.ParameterList([t.ones(2)]), t.nn.Linear(1, 1)])),
    "index": lambda t, m: (m[0], m[-1], len(m), list(m)),
    "slice": lambda t, m: content(m[1:]),
    "out of range": lambda t, m: m[3],
    "below": lambda t, m: m[-4],
    "string": lambda t, m: m["0"],
    "set": lambda t, m: m.__setitem__(0, t.ones(2)),
    "set back": lambda t, m: m.__setitem__(-1, parameter(t, 9)),
    "set out of range": lambda t, m: m.__setitem__(3, parameter(t, 9)),
    "set int": lambda t, m: m.__setitem__(0, 5),
    "append": lambda t, m: m.append(t.ones(2)) is m,
    "append int": lambda t, m: m.append(3) is m,
    "extend": lambda t, m: m.extend([parameter(t, 8), 3]) is m,
    "extend list": lambda t, m: m.extend(t.nn.ParameterList([t.ones(1)])),
    "extend int": lambda t, m: m.extend(3),
    "extend tensor": lambda t, m: m.extend(t.ones(2)),
    "iadd": lambda t, m: m.__iadd__([t.ones(2)]) is m,
    "add": lambda t, m: m + m,
    "call": lambda t, m: m(2),
    "dir": lambda t, m: [d for d in dir(m) if d[0].isdigit()],
    "state": lambda t, m: m.state_dict(),
    "of a generator": lambda t, m: content(t.nn.ParameterList(t.ones(1) for _ in range(2))),
    "of an int": lambda t, m: t.nn.ParameterList(3),
    "copy": lambda t, m: content(copy.deepcopy(m)),
}


@pytest.mark.parametrize("code", LIST_OF_PARAMETERS.values(), ids=LIST_OF_PARAMETERS)
def test_parameter_list(code):
    def run(t):
        m = t.nn.ParameterList([parameter(t, i) for i in range(3)])
        return code(t, m), content(m)

    agree(run, words=5)


DICT_OF_PARAMETERS = {
    "print": lambda t, m: repr(m),
    "print mixed": lambda t, m: repr(t.nn.ParameterDict({"x": 3, "t": t.ones(2, 3), "s": "q", "n": None})),
    "print none": lambda t, m: repr(t.nn.ParameterDict()),
    "views": lambda t, m: [list(m), list(m.keys()), list(m.items()), list(m.values()), len(m), "a" in m, "z" in m],
    "types": lambda t, m: [type(m.keys()), type(m.items()), type(m.values())],
    "reversed": lambda t, m: list(reversed(m)),
    "get": lambda t, m: (m["a"], m.a, m.get("a"), m.get("z"), m.get("z", 4)),
    "get missing": lambda t, m: m["z"],
    "set tensor": lambda t, m: m.__setitem__("z", t.ones(1)),
    "set none": lambda t, m: m.__setitem__("z", None),
    "set number": lambda t, m: m.__setitem__(3, t.ones(1)),
    "set dot": lambda t, m: m.__setitem__("a.b", t.ones(1)),
    "set taken": lambda t, m: m.__setitem__("keys", t.ones(1)),
    "set attribute": lambda t, m: setattr(m, "w", parameter(t, 1)),
    "del": lambda t, m: m.__delitem__("a"),
    "del missing": lambda t, m: m.__delitem__("z"),
    "copy": lambda t, m: (type(m.copy()), m.copy()["a"] is m["a"], content(copy.deepcopy(m))),
    "setdefault": lambda t, m: (m.setdefault("a", 3), m.setdefault("q", t.ones(1)), m.setdefault("r")),
    "clear": lambda t, m: m.clear(),
    "pop": lambda t, m: m.pop("a"),
    "pop missing": lambda t, m: m.pop("z"),
    "popitem": lambda t, m: (m.popitem(), m.popitem()),
    "popitem empty": lambda t, m: t.nn.ParameterDict().popitem(),
    "fromkeys": lambda t, m: (content(m.fromkeys(["x", "y"], t.ones(1))), content(m.fromkeys("ab"))),
    "update dict": lambda t, m: m.update({"z": t.ones(1), "c": t.ones(1)}),
    "update ordered": lambda t, m: m.update(OrderedDict([("z", t.ones(1)), ("c", t.ones(1))])),
    "update parameters": lambda t, m: m.update(t.nn.ParameterDict([("z", t.ones(1)), ("c", t.ones(1))])),
    "update pairs": lambda t, m: m.update([("z", t.ones(1)), ("c", 3)]),
    "update int": lambda t, m: m.update(3),
    "update singles": lambda t, m: m.update([3]),
    "update ones": lambda t, m: m.update([(1,)]),
    "update threes": lambda t, m: m.update([(1, 2, 3)]),
    "or": lambda t, m: (content(m | t.nn.ParameterDict({"z": t.ones(1)})), content(m | {"z": t.ones(1)})),
    "ror": lambda t, m: {"z": t.ones(1)} | m,
    "ior": lambda t, m: m.__ior__({"z": t.ones(1)}) is m,
    "call": lambda t, m: m(2),
    "state": lambda t, m: m.state_dict(),
}


@pytest.mark.parametrize("code", DICT_OF_PARAMETERS.values(), ids=DICT_OF_PARAMETERS)
def test_parameter_dict(code):
    def run(t):
        m = t.nn.ParameterDict({"b": parameter(t, 1), "a": parameter(t, 2)})
        return code(t, m), content(m)

    agree(run, words=5)


def test_a_parameter_dict_protects_its_own_attributes():
    for key in ("_keys", "training"):
        with pytest.raises(KeyError, match="already exists"):
            fb.nn.ParameterDict({key: 3})
