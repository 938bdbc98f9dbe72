"""What each of Python's instructions reads, writes and leaves on the stack (Python 3.11 to 3.13)."""

from __future__ import annotations

import functools
import opcode
import sys
from collections import deque
from types import CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ...core.dispatch.host_numbers import (
    HostFloat,
    HostInt,
    HostScalar,
    HostText,
    HostValue,
    LooseInt,
    settle,
    settle_key,
)
from ...core.tensor.tensor import Tensor
from . import texts, tuples
from .access import attribute, imported, in_place, iterate, look_through, or_unknown, push, store_attribute
from .calls import call
from .code import LIBRARY, USER, kind_of_code
from .foreign import show
from .items import HANDLERS as _OF_ITEMS
from .items import Handlers, answer, truth
from .numeric import (
    asking,
    by_its_say,
    followed,
    looks_at_types,
    no_numbers_on_the_way,
    returned,
    settle_beside,
    settle_mixed,
    settled,
)
from .places import MISSING, Cell, Item
from .symbols import FRESH, HELD, NULL, UNKNOWN
from .values import is_container

METHOD_BIT = sys.version_info >= (3, 12)  # LOAD_ATTR also loads methods
NULL_AFTER = sys.version_info >= (3, 13)  # on the stack, what is called comes before its `self`
SETS_ATTRIBUTES = sys.version_info >= (3, 13)
NB_OPS = [name for _, name in opcode._nb_ops]  # type: ignore[attr-defined]

HANDLERS = Handlers(_OF_ITEMS)
_handles = HANDLERS.handles


# --- the stack --------------------------------------------------------------------------------------------------------


@_handles("NOP RESUME CACHE PRECALL SETUP_ANNOTATIONS MAKE_CELL COPY_FREE_VARS JUMP_FORWARD JUMP_BACKWARD "
          "JUMP_BACKWARD_NO_INTERRUPT ENTER_EXECUTOR GEN_START")  # fmt: skip
def _nothing(shadow: Any, ins: Any) -> None:
    pass


@_handles("POP_TOP POP_EXCEPT END_FOR POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE POP_JUMP_BACKWARD_IF_NONE "
          "POP_JUMP_BACKWARD_IF_NOT_NONE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE")  # fmt: skip
def _pop(shadow: Any, ins: Any) -> None:
    shadow.pop()


@_handles("END_SEND")
def _end_send(shadow: Any, ins: Any) -> None:
    value = shadow.pop()
    shadow.pop()
    shadow.push(value)


@_handles("CLEANUP_THROW")
def _cleanup_throw(shadow: Any, ins: Any) -> None:
    """A `yield from` into which something was thrown: it goes on, or ends with what the inner iterator has given."""
    for _ in range(3):
        shadow.pop()
    shadow.push(UNKNOWN)
    shadow.push(UNKNOWN)


@_handles("COPY")
def _copy(shadow: Any, ins: Any) -> None:
    shadow.push(shadow.stack[-ins.arg] if len(shadow.stack) >= ins.arg else UNKNOWN)


@_handles("SWAP")
def _swap(shadow: Any, ins: Any) -> None:
    stack = shadow.stack
    stack[-1], stack[-ins.arg] = stack[-ins.arg], stack[-1]


@_handles("PUSH_NULL")
def _push_null(shadow: Any, ins: Any) -> None:
    shadow.push(NULL)


@_handles("RETURN_VALUE RETURN_CONST RAISE_VARARGS RERAISE RETURN_GENERATOR")
def _leaves(shadow: Any, ins: Any) -> None:
    if ins.name == "RETURN_GENERATOR":
        shadow.push(UNKNOWN)
    elif ins.name == "RETURN_VALUE":
        returned(shadow, shadow.pop())


@_handles("YIELD_VALUE")
def _yield(shadow: Any, ins: Any) -> None:
    value = shadow.pop()
    if isinstance(value, HostText):  # whoever takes it may be a function in C
        shadow.replace(len(shadow.stack), value.settle())
    shadow.push(UNKNOWN)


@_handles("PUSH_EXC_INFO LOAD_ASSERTION_ERROR LOAD_BUILD_CLASS LOAD_LOCALS")
def _push_unknown(shadow: Any, ins: Any) -> None:
    if ins.name == "PUSH_EXC_INFO":
        shadow.stack[-1:] = [UNKNOWN]
    shadow.push(UNKNOWN)


@_handles("CHECK_EXC_MATCH")
def _push_after_pop(shadow: Any, ins: Any) -> None:
    shadow.pop()
    shadow.push(UNKNOWN)


# --- variables --------------------------------------------------------------------------------------------------------


@_handles("LOAD_CONST")
def _load_const(shadow: Any, ins: Any) -> None:
    shadow.push(ins.value)


@_handles("LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR LOAD_CLOSURE")
def _load_fast(shadow: Any, ins: Any) -> None:
    if ins.value in shadow.code.co_cellvars:  # a cell for a function that is about to be made
        shadow.push(FRESH)
    else:
        shadow.push(HELD)


@_handles("LOAD_FAST_LOAD_FAST")
def _load_two(shadow: Any, ins: Any) -> None:
    shadow.push(HELD)
    shadow.push(HELD)


@_handles("STORE_FAST")
def _store_fast(shadow: Any, ins: Any) -> None:
    shadow.pop()


@_handles("STORE_FAST_STORE_FAST")
def _store_two(shadow: Any, ins: Any) -> None:
    shadow.pop(2)


@_handles("STORE_FAST_LOAD_FAST")
def _store_and_load(shadow: Any, ins: Any) -> None:
    value = shadow.pop()
    shadow.push(value if ins.value[0] == ins.value[1] else HELD)


@_handles("DELETE_FAST DELETE_DEREF DELETE_NAME")
def _delete_fast(shadow: Any, ins: Any) -> None:
    if ins.name == "DELETE_DEREF" and (cell := _cell(shadow, ins.value)) is not None:
        shadow.watcher.writes.put(Cell(cell, ins.value))


def _cell(shadow: Any, name: str) -> CellType | None:
    """The cell of a variable of an enclosing function, if it was there before the trace."""
    code = shadow.code
    if name not in code.co_freevars:
        return None
    closure = shadow.function.__closure__ if shadow.function is not None else None
    return closure[code.co_freevars.index(name)] if closure else None


def _load_cell(shadow: Any, name: str) -> None:
    cell = _cell(shadow, name)
    if cell is None:
        shadow.push(HELD)
        return
    place = Cell(cell, name)
    if id(cell) not in shadow.watcher.fresh:
        shadow.watcher.reads.see(cell)
    shadow.push(or_unknown(shadow.watcher.read(place)))


@_handles("LOAD_DEREF LOAD_CLASSDEREF")
def _load_deref(shadow: Any, ins: Any) -> None:
    _load_cell(shadow, ins.value)


@_handles("LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS")
def _load_from_dict(shadow: Any, ins: Any) -> None:
    shadow.pop()
    shadow.push(UNKNOWN)


@_handles("STORE_DEREF")
def _store_deref(shadow: Any, ins: Any) -> None:
    shadow.pop()
    cell = _cell(shadow, ins.value)
    if cell is not None and id(cell) not in shadow.watcher.fresh:
        shadow.watcher.writes.put(Cell(cell, ins.value))


def _global(shadow: Any, name: str) -> Any:
    watcher, scope = shadow.watcher, shadow.frame.f_globals
    watcher.reads.see(scope)
    value = watcher.read(Item(scope, name))
    if value is MISSING:
        built = shadow.frame.f_builtins
        value = built.get(name, UNKNOWN)
    return value


@_handles("LOAD_GLOBAL")
def _load_global(shadow: Any, ins: Any) -> None:
    null = bool(ins.arg & 1)
    if null and not NULL_AFTER:
        shadow.push(NULL)
    shadow.push(_global(shadow, ins.value))
    if null and NULL_AFTER:
        shadow.push(NULL)


@_handles("LOAD_NAME")
def _load_name(shadow: Any, ins: Any) -> None:
    scope = shadow.frame.f_locals
    if scope is not shadow.frame.f_globals and ins.value in scope:
        shadow.push(scope[ins.value])
    else:
        shadow.push(_global(shadow, ins.value))


@_handles("STORE_GLOBAL DELETE_GLOBAL")
def _store_global(shadow: Any, ins: Any) -> None:
    if ins.name == "STORE_GLOBAL":
        shadow.pop()
    shadow.watcher.reads.see(shadow.frame.f_globals)
    shadow.watcher.writes.put(Item(shadow.frame.f_globals, ins.value))


@_handles("STORE_NAME")
def _store_name(shadow: Any, ins: Any) -> None:
    shadow.pop()
    if shadow.frame.f_locals is shadow.frame.f_globals:
        shadow.watcher.reads.see(shadow.frame.f_globals)
        shadow.watcher.writes.put(Item(shadow.frame.f_globals, ins.value))


# --- attributes -------------------------------------------------------------------------------------------------------


@_handles("LOAD_ATTR LOAD_METHOD")
def _load_attr(shadow: Any, ins: Any) -> None:
    owner = shadow.pop()
    if isinstance(owner, (HostInt, LooseInt, HostScalar)) and ins.value.startswith(
        "__"
    ):  # int's own `__lt__` knows no floats
        shadow.replace(len(shadow.stack), owner.settle())
    method = ins.name == "LOAD_METHOD" or (METHOD_BIT and ins.arg & 1)
    value = attribute(shadow, owner, ins.value)
    if not method:
        push(shadow, value)
    else:  # a function and its `self`, or a value and nothing
        shadow.push(HELD)
        push(shadow, value)


@_handles("LOAD_SUPER_ATTR")
def _load_super_attr(shadow: Any, ins: Any) -> None:
    _, cls, owner = shadow.pop(3)
    try:
        value = getattr(super(cls, owner), ins.value)
    except Exception:
        value = UNKNOWN
    if not ins.arg & 1:
        shadow.push(value)
    elif NULL_AFTER:
        shadow.push(value)
        shadow.push(NULL)
    else:
        shadow.push(NULL)
        shadow.push(value)


@_handles("STORE_ATTR DELETE_ATTR")
def _store_attr(shadow: Any, ins: Any) -> None:
    owner = shadow.pop()
    value = shadow.pop() if ins.name == "STORE_ATTR" else UNKNOWN
    store_attribute(shadow, owner, ins.value, value, deleted=ins.name == "DELETE_ATTR")


# --- operators --------------------------------------------------------------------------------------------------------


@_handles("UNARY_POSITIVE UNARY_NEGATIVE UNARY_INVERT")
def _unary(shadow: Any, ins: Any) -> None:
    shadow.pop()
    shadow.push(UNKNOWN)


@_handles("UNARY_NOT TO_BOOL POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_TRUE POP_JUMP_BACKWARD_IF_FALSE "
          "POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_IF_TRUE JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP")  # fmt: skip
def _truth(shadow: Any, ins: Any) -> None:
    value = shadow.pop()
    if is_container(value):
        truth(shadow, value)
    elif hasattr(type(value), "__len__"):
        look_through(shadow.watcher, value)
    if ins.name in ("UNARY_NOT", "TO_BOOL"):
        shadow.push(UNKNOWN)
    elif "OR_POP" in ins.name:
        shadow.push(value)


_TAKES_APART = (Tensor, np.ndarray, np.generic)  # what stands on their other side


@_handles("BINARY_OP")
def _binary_op(shadow: Any, ins: Any) -> None:
    left, right = shadow.pop(2)
    sign = NB_OPS[ins.arg]
    if sign == "%" and texts.filled_in(shadow, left, right):
        shadow.push(UNKNOWN)
        return
    if sign.endswith("=") and in_place(shadow, left, sign, right):
        shadow.push(left)
        return
    if sign == "%" and isinstance(left, (str, bytes)):
        shadow.watcher.reads.deep(right)
        show(right)
        settle(right)
        no_numbers_on_the_way(shadow, None, [right])
    if by_its_say(shadow, left, right):
        shadow.push(UNKNOWN)
        return
    if isinstance(left, _TAKES_APART) or isinstance(right, _TAKES_APART):
        shadow.watcher.reads.deep((left, right))
    for value in (left, right):
        if is_container(value):
            iterate(shadow, value)
        elif isinstance(value, HostValue):
            settle_beside(value, sign, right if value is left else left)
    shadow.push(UNKNOWN)


@_handles("COMPARE_OP")
def _compare(shadow: Any, ins: Any) -> None:
    pair = shadow.pop(2)
    by_its_say(shadow, *pair)
    if any(is_container(value) or isinstance(value, (tuple, SimpleNamespace)) for value in pair):
        shadow.watcher.reads.deep(tuple(pair))
        settle_mixed(pair)
    shadow.push(UNKNOWN)


# Equal numbers may be one object or several (but for small ints), and a program holds for what they are equal to.
_NUMBERS = frozenset((int, float, complex, bytes, HostFloat, HostInt, LooseInt))


@_handles("IS_OP")
def _is(shadow: Any, ins: Any) -> None:
    pair = shadow.pop(2)
    if not any(value is None for value in pair):  # a number is never None, whichever it is
        settle(pair)
    large = all(
        (type(value) in _NUMBERS or isinstance(value, HostScalar)) and not (type(value) is int and -5 <= value <= 256)
        for value in pair
    )
    if large and kind_of_code(shadow.code, shadow.frame.f_globals) == USER:
        shadow.watcher.refuse(
            "it asks by `is` whether two numbers are one object, which a program does not know: write =="
        )
    if kind_of_code(shadow.code, shadow.frame.f_globals) == USER:
        tuples.asked_for(shadow.watcher, *pair)
    shadow.watcher.compared(*pair)
    for value in pair:
        if is_container(value):
            shadow.watcher.compared_containers[id(value)] = value
    shadow.push(UNKNOWN)


# --- making things ----------------------------------------------------------------------------------------------------


@_handles("BUILD_TUPLE")
def _build_tuple(shadow: Any, ins: Any) -> None:
    parts = shadow.pop(ins.arg) if ins.arg != 1 else [shadow.pop()]
    shadow.push(UNKNOWN if any(p is UNKNOWN or p is FRESH for p in parts) else tuple(parts))


@_handles("BUILD_LIST BUILD_SET")
def _build(shadow: Any, ins: Any) -> None:
    shadow.pop(ins.arg)
    shadow.push(FRESH)


@_handles("BUILD_STRING")
def _build_string(shadow: Any, ins: Any) -> None:
    parts = shadow.pop(ins.arg) if ins.arg != 1 else [shadow.pop()]
    if not texts.joined(shadow, parts):
        settle(tuple(parts))
    shadow.push(UNKNOWN)


@_handles("BUILD_MAP")
def _build_map(shadow: Any, ins: Any) -> None:
    shadow.pop(2 * ins.arg)
    shadow.push(FRESH)


@_handles("BUILD_CONST_KEY_MAP")
def _build_const_key_map(shadow: Any, ins: Any) -> None:
    shadow.pop(ins.arg + 1)
    shadow.push(FRESH)


@_handles("BUILD_SLICE")
def _build_slice(shadow: Any, ins: Any) -> None:
    parts = shadow.pop(ins.arg)
    known = tuple(p for p in parts if p is not UNKNOWN)
    settle_key(slice(*known) if len(known) == len(parts) else known)  # whoever looks into the slice settles the rest
    shadow.push(UNKNOWN if len(known) < len(parts) else slice(*parts))


@_handles("LIST_APPEND SET_ADD")
def _comprehension(shadow: Any, ins: Any) -> None:
    shadow.pop()


@_handles("MAP_ADD")
def _map_add(shadow: Any, ins: Any) -> None:
    shadow.pop(2)


@_handles("LIST_EXTEND SET_UPDATE DICT_UPDATE DICT_MERGE")
def _extend(shadow: Any, ins: Any) -> None:
    iterate(shadow, shadow.pop())


@_handles("LIST_TO_TUPLE")
def _list_to_tuple(shadow: Any, ins: Any) -> None:
    shadow.pop()
    shadow.push(UNKNOWN)


@_handles("CALL_INTRINSIC_1")
def _intrinsic(shadow: Any, ins: Any) -> None:
    shadow.pop()
    shadow.push(UNKNOWN)


@_handles("FORMAT_VALUE FORMAT_SIMPLE FORMAT_WITH_SPEC CONVERT_VALUE")
def _format(shadow: Any, ins: Any) -> None:
    spec = ""
    if ins.name == "FORMAT_WITH_SPEC" or (ins.name == "FORMAT_VALUE" and ins.arg & 4):
        spec = shadow.pop()
        settle(spec)
    value = shadow.pop()
    conversion = ins.arg & 3 if ins.name in ("FORMAT_VALUE", "CONVERT_VALUE") else 0
    if texts.formatted(shadow, value, conversion, spec):
        shadow.push(UNKNOWN)
        return
    shadow.watcher.reads.deep(value)
    show(value)
    settle(value)
    shadow.push(UNKNOWN)


@_handles("MAKE_FUNCTION")
def _make_function(shadow: Any, ins: Any) -> None:
    shadow.pop()
    if not SETS_ATTRIBUTES:
        for bit in (8, 4, 2, 1):
            if ins.arg & bit:
                shadow.pop()
    shadow.push(FRESH)


@_handles("SET_FUNCTION_ATTRIBUTE")
def _set_function_attribute(shadow: Any, ins: Any) -> None:
    function = shadow.pop()
    shadow.pop()
    shadow.push(function)


@_handles("IMPORT_NAME")
def _import_name(shadow: Any, ins: Any) -> None:
    level, names = shadow.pop(2)
    name, package = "." * level + ins.value, shadow.frame.f_globals.get("__package__")
    shadow.push(imported(shadow.watcher, name if names else name.partition(".")[0], package))


@_handles("IMPORT_FROM")
def _import_from(shadow: Any, ins: Any) -> None:
    module = shadow.stack[-1] if shadow.stack else UNKNOWN
    shadow.push(attribute(shadow, module, ins.value) if isinstance(module, ModuleType) else UNKNOWN)


@_handles("BEFORE_WITH")
def _before_with(shadow: Any, ins: Any) -> None:
    shadow.pop()
    shadow.push(UNKNOWN)
    shadow.push(UNKNOWN)


@_handles("WITH_EXCEPT_START")
def _with_except(shadow: Any, ins: Any) -> None:
    shadow.push(UNKNOWN)


# --- calls ------------------------------------------------------------------------------------------------------------


@_handles("KW_NAMES")
def _kw_names(shadow: Any, ins: Any) -> None:
    shadow.keywords = ins.value if isinstance(ins.value, tuple) else shadow.code.co_consts[ins.arg]


@_handles("CALL CALL_KW")
def _call(shadow: Any, ins: Any) -> None:
    names = shadow.keywords
    if ins.name == "CALL_KW":
        names = shadow.pop()
        names = names if isinstance(names, tuple) else ()
    shadow.keywords = ()
    values = [shadow.pop()] if ins.arg == 1 else shadow.pop(ins.arg)
    first, second = shadow.pop(2)
    if NULL_AFTER:
        callee, bound = first, second
    elif first is NULL:
        callee, bound = second, NULL
    else:
        callee, bound = first, second
    shadow.called = callee
    if isinstance(callee, functools._lru_cache_wrapper):  # it would remember the text as one of its keys
        values = [texts.settled(shadow, value, len(shadow.stack) + 2 + i) for i, value in enumerate(values)]
    if shadow.watcher.replaces and looks_at_types(callee):
        values = [settled(shadow, value, len(shadow.stack) + 2 + i) for i, value in enumerate(values)]
    split = len(values) - len(names)
    args = values[:split] if bound is NULL else [bound, *values[:split]]
    if bound is NULL and shadow.watcher.replaces and (instead := followed(callee, args, names)) is not None:
        shadow.replace(len(shadow.stack) + (not NULL_AFTER), instead)
        shadow.push(UNKNOWN)
        return
    asks = (callee is isinstance and len(args) == 2) or (
        callee is type and len(args) == 1 and isinstance(args[0], HostText)
    )
    if asks and shadow.watcher.replaces and isinstance(args[0], HostValue):
        args[0] = args[0].plain  # its type is looked at before each call
        shadow.replace(len(shadow.stack) + 2, args[0])
    if not names and answer(shadow, callee, args, len(shadow.stack) + (bound is NULL and not NULL_AFTER)):
        shadow.push(UNKNOWN)
        return
    asking(shadow, callee, len(shadow.stack) + (bound is NULL and not NULL_AFTER))
    call(shadow, callee, args, dict(zip(names, values[split:], strict=True)))


def _is_followed(callee: Any) -> bool:
    function = callee.__func__ if isinstance(callee, MethodType) else callee
    return isinstance(function, FunctionType) and kind_of_code(function.__code__, function.__globals__) != LIBRARY


@_handles("CALL_FUNCTION_EX")
def _call_ex(shadow: Any, ins: Any) -> None:
    kwargs = shadow.pop() if ins.arg & 1 else {}
    args = shadow.pop()
    first, second = shadow.pop(2)
    callee = shadow.called = first if NULL_AFTER else second
    for part in (args, kwargs):
        if part is not UNKNOWN and part is not FRESH and type(part) is not tuple:
            iterate(shadow, part)
    known = isinstance(args, (tuple, list, deque))
    asking(shadow, callee, len(shadow.stack) + (not NULL_AFTER))
    if not known and not _is_followed(callee):
        no_numbers_on_the_way(shadow, callee, [args])
    call(shadow, callee, list(args) if known else [UNKNOWN], dict(kwargs) if isinstance(kwargs, dict) else {})


__all__ = ["HANDLERS"]
