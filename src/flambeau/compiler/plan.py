"""What a trace has found for each call to do: what is computed from what, what is made of the results, what changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core.context.tracing import Refusal
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor
from .ahead import Ahead
from .draws import Drawing
from .guards.places import Place
from .templates import OfArgument, Template

SAME, AT, ARGUMENT, MADE, LOOK = "same", "at", "argument", "made", "look"
OFF, LEAF, USED_UP = -1, -2, -3  # what becomes of a tensor's place on the tape, beside a number of a gradient

# A tensor that is the same one at each call, or where it is at the time of the call (`TensorAt`, `GradOf`)
Found = Any


class Unevaluable(Exception):
    """A program can't be run at this call: Python's numbers can't be computed (a division by zero, an index out of range), or other
    processes would run another one. Nothing has been changed yet."""


class Recipe(NamedTuple):
    """How a call finds or makes one of the tensors that it hands out or stores somewhere."""

    # SAME: an object; AT: what a place holds before the call; ARGUMENT: an argument; MADE: a new tensor; LOOK: a new view of
    # another recipe's tensor
    kind: str
    what: Any  # the object, or the number of the argument, output or recipe
    view: Any = None  # the geometry of a LOOK
    cls: type = Tensor
    live: int = -1  # the number of the gradient that it has, if any
    dead: bool = False  # whether its graph was used up inside
    leaf: bool = False  # whether it is a new leaf that requires grad
    follows: Any = None  # how a LOOK follows the tensor that it is a view of (`looking.Following`)
    offset: int | None = None  # the number, among those of the host, of where its view begins, if that counts

    @property
    def is_plain(self) -> bool:
        """Whether it makes a new whole tensor off the tape."""
        return self.kind == MADE and self[2:] == _PLAIN


_PLAIN = Recipe(MADE, 0)[2:]


class Effect(NamedTuple):
    """A change of Python's own objects that each call makes after its run, in order."""

    place: Place | None  # where `args[0]` is put (None: `function` is called)
    function: Any
    args: list[Template]
    kwargs: dict[str, Template]


@dataclass(frozen=True, slots=True)
class State:
    """What a program reads beside its arguments, in the order in which it takes it."""

    tensors: list[Tensor]  # whose storages are read, the same ones at each call
    others: list[Any]  # what gives a value when it is called: numbers of the host, moving tensors, gradients
    where: dict[int, int]  # id of the constant that stands for a piece in the jaxpr -> its number


@dataclass(frozen=True, slots=True)
class Computation:
    """What is computed: a jaxpr in which constants stand for state and for the cotangents of a later backward pass.

    It holds the arrays of the trace, and is gone when the XLA program has been built.
    """

    jaxpr: Any
    seeds: list[Any]  # the constants that stand for cotangents
    plain: int  # the outputs after these are gradients for the cotangents


@dataclass(frozen=True, slots=True)
class Results:
    """What a call gives to the caller and to Python's own objects."""

    recipes: list[Recipe]
    template: Template  # of what is returned
    effects: list[Effect]
    expressions: list[Any]  # Python's numbers in these
    handed_out: set[int]  # numbers of the recipes that are used there
    places: list[OfArgument]  # the caller's containers in these


@dataclass(frozen=True, slots=True)
class Changes:
    """What a call writes into tensors. Numbers are those of outputs, of recipes for gradients."""

    storages: list[tuple[Storage, int]]
    places: list[tuple[Found, int]]
    arguments: list[tuple[tuple[int, bool], int]]  # the argument, and whether its whole storage is written
    argument_grads: list[tuple[int, int]]
    grads: list[tuple[Found, int | None]]
    unread: list[Found]  # those whose old `.grad` the call does not look at, if they are large
    together: list[list[Storage]]  # storages that hold one array
    kept: set[Storage]  # those whose old values the traced computation itself keeps where a check fails


@dataclass(frozen=True, slots=True)
class Tape:
    """What a call records for a backward pass after it."""

    metas: list[tuple[tuple[int, ...], Any]]  # shape and dtype of the results that have a gradient
    inner: frozenset[int]  # those of them that others are computed from
    wanted: list[tuple[Found, int | None]]  # tensors that gradients go to, or arguments, in the order of these outputs
    # and then those that none comes to, though the results depend on them
    edges: list[tuple[Found, int | None, int]]  # tensors or arguments whose place on the tape changes, and to what


@dataclass(frozen=True, slots=True)
class Plan:
    """What each call does around the run of the XLA program."""

    inputs: list[
        tuple[int, bool]
    ]  # the arguments that it takes: number, whether as the tensor shows it or its whole storage
    state: State
    word: int | None  # the output that tells which check has failed
    refusals: list[Refusal]
    ahead: list[Ahead]  # checks before the program runs; those of the word come after them
    drawing: Drawing
    results: Results
    changes: Changes
    tape: Tape
    counts: dict[str, int]  # for people: how much it reads and writes
    on_cpu: bool = True  # whether all that it computes with lies there
    far: bool = False  # whether arguments are cut over several processes
    place: Any = None  # the device on which it runs if nothing that it takes says so

    @property
    def looked_at(self) -> set[int]:
        """The numbers of the inputs that each call looks at before the program runs."""
        return {check.given for check in self.ahead}
