"""What is read of classes and of modules by their names: what a class inherits, what an abstract one counts as its own, what an import finds."""

from __future__ import annotations

import abc
import importlib
import sys
import types

from compiler.scenarios import Case, Table, attempt

case = Table()


@case(programs=2)
def attribute_of_a_class_that_inherits_from_another(compile, x):
    class First:
        k = 2.0

    class Second:
        k = 4.0

    class Own(First):
        pass

    f = compile(lambda x: x * Own.k)
    yield f(x)
    Own.__bases__ = (Second,)
    yield f(x)


@case(programs=6)
def questions_about_inheritance(compile, x):
    class First:
        pass

    class Second:
        pass

    class Own(First):
        pass

    held = types.SimpleNamespace(cls=Own, thing=Own())
    subclass = compile(lambda x: x + 1 if issubclass(held.cls, (int, First)) else x - 1)
    instance = compile(lambda x: x + 1 if isinstance(held.thing, First) else x - 1)
    for bases in ((First,), (Second,), (First, Second)):
        Own.__bases__ = bases
        yield subclass(x), instance(x)


@case(programs=2)
def order_of_inheritance(compile, x):
    class First:
        pass

    class Second:
        pass

    class Own(First):
        pass

    f = compile(lambda x: x * len(Own.__mro__) + len(Own.__bases__))
    yield f(x)
    Own.__bases__ = (First, Second)
    yield f(x)


@case(programs=3)
def names_of_a_class(compile, x):
    class Own:
        "text"

    held = types.SimpleNamespace(thing=Own())
    f = compile(lambda x: x * len(type(held.thing).__name__) + len(type(held.thing).__doc__))
    yield f(x)
    Own.__name__ = "Longer"
    yield f(x)
    Own.__doc__ = "longer text"
    yield f(x)


@case(programs=4)
def what_an_abstract_class_counts_as_its_own(compile, x):
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    class Own:
        pass

    held = types.SimpleNamespace(cls=Own, thing=Own())
    subclass = compile(lambda x: x + 1 if issubclass(held.cls, (int, Shape)) else x - 1)
    instance = compile(lambda x: x + 1 if isinstance(held.thing, Shape) else x - 1)
    yield subclass(x), instance(x)
    Shape.register(Own)
    yield subclass(x), instance(x)


@case(programs=2)
def classes_that_answer_themselves(compile, x):
    class Meta(type):
        holds = False

        def __instancecheck__(cls, thing):
            return Meta.holds

        def __subclasscheck__(cls, kind):
            return Meta.holds

    class Own(metaclass=Meta):
        pass

    f = compile(lambda x: x + (1 if isinstance(x, Own) else 5) + (1 if issubclass(int, Own) else 7))
    yield f(x)
    Meta.holds = True
    yield f(x)


def module(name, **held):
    made = sys.modules[name] = types.ModuleType(name)
    vars(made).update(held, __path__=[])
    return made


@case
def modules_that_are_imported_inside(compile, x):
    first = module("made_here", k=2.0)
    first.part = module("made_here.part", z=3.0)

    def of_module(x):
        import made_here

        return x * made_here.k

    def from_module(x):
        from made_here import k

        return x * k

    def of_part(x):
        import made_here.part
        import made_here.part as part

        return x * made_here.part.z + part.z

    def by_function(x):
        return x * importlib.import_module("made_here").k + __import__("made_here").k + sys.modules["made_here"].k

    steps = [compile(step) for step in (of_module, from_module, of_part, by_function)]
    try:
        yield [step(x) for step in steps]
        first.k = 5.0
        yield [step(x) for step in steps]
        first.part.z = 7.0
        yield [step(x) for step in steps]
        module("made_here", k=50.0, part=first.part)
        yield [step(x) for step in steps]
        sys.modules["made_here"].part = module("made_here.part", z=70.0)
        yield [step(x) for step in steps]
    finally:
        del sys.modules["made_here"], sys.modules["made_here.part"]
    yield [attempt(step, x) for step in steps]


@case(programs=1)
def imports_that_find_the_same(compile, x):
    def step(x):
        import math
        from math import sqrt

        return x * math.sqrt(4.0) + sqrt(9.0)

    f = compile(step)
    for _ in range(3):
        yield f(x)


@case.test
def test_classes_and_imports(case: Case) -> None:
    case.check()
