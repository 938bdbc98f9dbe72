"""A pickle machine that executes nothing.

It runs the opcodes of https://docs.python.org/3/library/pickletools.html on plain data. Names are looked up in the
table of `allowed`, and only what that table says may be called is called. All errors are pickle.UnpicklingError or
RuntimeError.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pickle import HIGHEST_PROTOCOL, UnpicklingError
from typing import Any

from . import allowed, budget, names
from .errors import brief

_SHORT_LINE, _MAX_LINE = 1 << 8, 1 << 16
_SIGNS_OF_DAMAGE = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, struct.error, RecursionError, AssertionError,
)  # fmt: skip
_CODES: dict[int, Callable[[Any], None]] = {}


def refused(module: str, name: str) -> UnpicklingError:
    """The error for a name that is not known to be safe."""
    dotted = f"{module}.{name}"
    shown = dotted if len(dotted) <= 200 else dotted[:197] + "..."
    hint = ""
    if module.partition(".")[0] in names.PACKAGES and "." not in name:
        hint = " (it is part of a whole model, it seems: files with just its state_dict() load without this)"
    serialization = "torch.serialization"
    known = name if module in ("builtins", "__builtin__") else shown
    return UnpicklingError(
        f"refused to load {shown}: with weights_only=True only tensors, parameters and plain data are loaded, and "
        f"nothing is executed{hint}. Unsupported global: GLOBAL {known} was not an allowed global by default. "
        f"Please use `{serialization}.add_safe_globals([{known}])` or the `{serialization}.safe_globals([{known}])` "
        f"context manager to allowlist this global if you trust this class/function. If you trust whoever made the file, "
        "torch.load(..., weights_only=False) lets it run any code."
    )


def _opcode(code: bytes) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def register(method: Callable[[Any], None]) -> Callable[[Any], None]:
        _CODES[code[0]] = method
        return method

    return register


class _Outside(Exception):
    """Carries an exception of the user's own functions past the handler of damaged files."""

    def __init__(self, error: Exception):
        self.error = error


def _outside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as e:
        raise _Outside(e) from None


class Unpickler:
    """Reads one pickle from `data`, from `position` on; afterwards `position` is behind it.

    `persistent_load` makes storages of persistent ids.
    """

    def __init__(self, data: Any, persistent_load: Callable[[Any], Any] | None = None, position: int = 0):
        self._data = memoryview(data)
        self.position: int = position
        self._persistent_load = persistent_load
        self._budget = budget.FREE + budget.PER_BYTE * len(self._data)

    def load(self) -> Any:
        """The pickled object. EOFError if there is nothing at all, UnpicklingError if it is damaged or unsafe."""
        if self.position >= len(self._data):
            raise EOFError("Ran out of input: the file ends where a pickle should begin")
        self.stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: list[Any] = []
        self._far: dict[int, Any] = {}  # what is remembered out of order
        self._hashes: dict[int, budget.EqualHashes] = {}
        self._fragile: list[Any] = []  # containers that Python frees by recursion, however deep
        try:
            return self._run()
        except BaseException:
            for container in self._fragile:
                container.clear()
            raise

    def _run(self) -> Any:
        start = code = nested = 0
        costs, nesting = budget.COSTS, budget.NESTING
        try:
            while True:
                start = self.position
                if start >= len(self._data):
                    raise EOFError(f"Ran out of input: the pickle is cut off at byte {start}")
                code = self.take(1)[0]
                if code == 0x2E:  # STOP
                    result = self.pop()
                    if nested > budget.DEPTH:
                        budget.check_depth(result, *self._fragile)
                    return result
                step = _CODES.get(code)
                if step is None:
                    raise UnpicklingError(
                        f"Unsupported operand {code}: the pickle has an operation at byte {start} that weights do not need: "
                        f"{bytes([code])!r}"
                    )
                self._budget -= costs[code]
                if self._budget < 0:
                    raise budget.too_much()
                nested += code in nesting
                step(self)
        except UnpicklingError:
            raise
        except _Outside as e:
            raise e.error from None
        except _SIGNS_OF_DAMAGE as e:
            raise UnpicklingError(
                f"the pickle is damaged at byte {start} (operation {bytes([code])!r}): {type(e).__name__}: "
                f"{str(e)[:200]}"
            ) from e

    # --- reading --------------------------------------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        stop = self.position + count
        if count < 0 or stop > len(self._data):
            raise UnpicklingError(f"the pickle is cut off: {count} bytes should follow at byte {self.position}")
        piece = self._data[self.position : stop]
        self.position = stop
        return piece

    def unpack(self, form: str) -> Any:
        """The next number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        """The next line, without its end."""
        for longest in (_SHORT_LINE, _MAX_LINE):
            rest = bytes(self._data[self.position : self.position + longest])
            length = rest.find(b"\n")
            if length >= 0:
                break
        if length < 0:
            raise UnpicklingError(f"the pickle is cut off: a line at byte {self.position} has no end")
        self.position += length + 1
        return rest[:length]

    # --- the stack ------------------------------------------------------------------------------------------------

    def pop(self) -> Any:
        """Take the top off the stack."""
        return self.stack.pop()

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop_mark(self) -> list[Any]:
        """Take all down to the last mark."""
        items = self.stack
        self.stack = self._marked.pop()
        return items

    def spend(self, cost: int) -> None:
        """Count bytes of memory that are going to be made. Raises UnpicklingError when it is too much."""
        self._budget -= cost
        if self._budget < 0:
            raise budget.too_much()

    def remember(self, index: int, value: Any) -> None:
        """Put a value into the memo."""
        if index in self._far or not 0 <= index <= len(self._memo):
            self.spend(200)
            self._far[index] = value
        elif index == len(self._memo):
            self._memo.append(value)
        else:
            self._memo[index] = value

    def recall(self, index: int) -> Any:
        """The value that was put into the memo under this number."""
        if index in self._far or index < 0:
            return self._far[index]
        return self._memo[index]

    # --- what names, calls and containers mean --------------------------------------------------------------------

    def find(self, module: str, name: str) -> Any:
        """What a name stands for."""
        module, name = names.modern(module, name)
        found = allowed.find(module, name)
        if found is None:
            if (reason := names.unsupported(module, name)) is not None:
                raise RuntimeError(f"this checkpoint cannot be loaded: {reason}")
            raise refused(module, name)
        return found

    def call(self, function: Any, args: Any) -> Any:
        """Call something that a name stood for."""
        if type(args) is not tuple:
            raise UnpicklingError(f"the pickle is damaged: a call's arguments are no tuple but {brief(args)}")
        run = allowed.caller(function)
        if run is None:
            raise UnpicklingError(f"refused to call {brief(function)}, which is not known to be safe")
        if allowed.is_added(run):
            return _outside(run, *args)
        # a call makes about what it is given, of another kind: numbers become wider, pairs a dict
        self.spend(sum(map(budget.size_of, args)) * allowed.growth(function))
        self.check_keys(function, args)
        made = run(*args)
        self.spend(budget.size_of(made))
        if isinstance(made, (defaultdict, deque)):
            self._fragile.append(made)
        return made

    def new(self, kind: Any, args: Any, kwargs: Any) -> Any:
        """Make an object without its constructor."""
        if not allowed.is_added(kind):
            if kwargs:
                raise UnpicklingError(f"refused to make {brief(kind)} with keyword arguments")
            return self.call(kind, args)
        return _outside(kind.__new__, kind, *args, **kwargs)

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state."""
        if not allowed.is_added(type(target)):
            for part in state if type(state) is tuple else (state,):
                self.spend(budget.size_of(part))
        if (setter := allowed.state_setter(target)) is not None:
            setter(target, state)
        elif allowed.is_added(type(target)):
            _outside(_set_state, target, state)
        elif type(target) in (OrderedDict, Counter) and type(state) is dict:
            for name in state:
                if type(name) is not str or hasattr(type(target), name):
                    raise UnpicklingError(f"refused to set the attribute {brief(name)} of a dict")
            target.__dict__.update(state)
        else:
            raise UnpicklingError(f"refused to set the state of {brief(type(target).__name__)}")

    def extend(self, target: Any, items: list[Any]) -> None:
        """Append to a list."""
        if type(target) not in (list, deque) and not allowed.is_added(type(target)):
            raise UnpicklingError(f"the pickle is damaged: it appends to {brief(type(target).__name__)}")
        target.extend(items)

    def update(self, target: Any, items: list[Any]) -> None:
        """Set the items of a dict."""
        if type(target) not in (dict, OrderedDict, Counter, defaultdict) and not allowed.is_added(type(target)):
            raise UnpicklingError(f"the pickle is damaged: it sets items of {brief(type(target).__name__)}")
        if len(items) % 2:
            raise UnpicklingError("the pickle is damaged: a key has no value")
        self.spend(len(items) * (110 if type(target) is OrderedDict else 50))
        for i in range(0, len(items), 2):
            self.check_key(target, items[i])
            target[items[i]] = items[i + 1]

    def add(self, target: Any, items: list[Any]) -> None:
        """Add to a set."""
        if type(target) is not set and not allowed.is_added(type(target)):
            raise UnpicklingError(f"the pickle is damaged: it adds to {brief(type(target).__name__)}")
        self.spend(len(items) * 100)
        for item in items:
            self.check_key(target, item)
            target.add(item)

    def check_key(self, target: Any, key: Any) -> None:
        """Raises RuntimeError or UnpicklingError if hashing `key`, or putting it into `target`, might take for ever."""
        if type(key) is str:
            return
        self.spend(allowed.check_key(key))
        if budget.hash_is_chosen(key):
            watch = self._hashes.get(id(target))
            if watch is None:
                watch = self._hashes[id(target)] = budget.EqualHashes()
                self.spend(300)
            self.spend(100)
            watch.add(key)

    def check_keys(self, function: Any, args: tuple[Any, ...]) -> None:
        """The same for a dict or set that is made from a container."""
        if function not in (dict, OrderedDict, Counter, set, frozenset) or not args:
            return
        pairs = function in (dict, OrderedDict) and not isinstance(args[0], dict)
        made = object()
        for item in args[0] if isinstance(args[0], (tuple, list, dict, set, frozenset)) else ():
            self.check_key(made, item[0] if pairs and type(item) in (tuple, list) and item else item)
        self._hashes.pop(id(made), None)

    def persistent(self, key: Any) -> Any:
        """A storage."""
        if self._persistent_load is None:
            raise UnpicklingError("the pickle is damaged: it names a storage where there are none")
        return _outside(self._persistent_load, key)

    # --- the opcodes ----------------------------------------------------------------------------------------------

    @_opcode(b"\x80")
    def _proto(self) -> None:
        protocol = self.take(1)[0]
        if protocol > HIGHEST_PROTOCOL:
            raise UnpicklingError(f"pickle protocol {protocol} is not known")

    @_opcode(b"\x95")
    def _frame(self) -> None:
        self.take(8)

    @_opcode(b"(")
    def _mark(self) -> None:
        self._marked.append(self.stack)
        self.stack = []

    @_opcode(b"0")
    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    @_opcode(b"2")
    def _dup(self) -> None:
        self.push(self.stack[-1])

    @_opcode(b"Q")
    def _binpersid(self) -> None:
        self.push(self.persistent(self.pop()))

    @_opcode(b"c")
    def _global(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        self.push(self.find(module, name))

    @_opcode(b"\x93")
    def _stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise UnpicklingError("the pickle is damaged: a name should be text")
        self.push(self.find(module, name))

    @_opcode(b"R")
    def _reduce(self) -> None:
        args, function = self.pop(), self.pop()
        self.push(self.call(function, args))

    @_opcode(b"\x81")
    def _newobj(self) -> None:
        args, kind = self.pop(), self.pop()
        self.push(self.new(kind, args, {}))

    @_opcode(b"\x92")
    def _newobj_ex(self) -> None:
        kwargs, args, kind = self.pop(), self.pop(), self.pop()
        self.push(self.new(kind, args, kwargs))

    @_opcode(b"b")
    def _build(self) -> None:
        state = self.pop()
        self.build(self.stack[-1], state)

    @_opcode(b"a")
    def _append(self) -> None:
        item = self.pop()
        self.extend(self.stack[-1], [item])

    @_opcode(b"e")
    def _appends(self) -> None:
        items = self.pop_mark()
        self.extend(self.stack[-1], items)

    @_opcode(b"s")
    def _setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self.update(self.stack[-1], [key, value])

    @_opcode(b"u")
    def _setitems(self) -> None:
        items = self.pop_mark()
        self.update(self.stack[-1], items)

    @_opcode(b"\x90")
    def _additems(self) -> None:
        items = self.pop_mark()
        self.add(self.stack[-1], items)

    @_opcode(b"d")
    def _dict(self) -> None:
        made: dict[Any, Any] = {}
        self.update(made, self.pop_mark())
        self.push(made)

    @_opcode(b"\x91")
    def _frozenset(self) -> None:
        made: set[Any] = set()
        self.add(made, self.pop_mark())
        self.push(frozenset(made))

    @_opcode(b"q")
    def _binput(self) -> None:
        self.remember(self.take(1)[0], self.stack[-1])

    @_opcode(b"\x94")
    def _memoize(self) -> None:
        self.remember(len(self._memo) + len(self._far), self.stack[-1])

    @_opcode(b"G")
    def _binfloat(self) -> None:
        self.push(self.unpack(">d"))

    @_opcode(b"F")
    def _float(self) -> None:
        self.push(float(self.line()))

    @_opcode(b"I")
    def _int(self) -> None:
        text = self.line()
        self.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text))

    @_opcode(b"L")
    def _long(self) -> None:
        self.push(int(self.line().removesuffix(b"L")))

    @_opcode(b"V")
    def _unicode(self) -> None:
        self.push(self.line().decode("raw-unicode-escape"))


def _set_state(target: Any, state: Any) -> None:
    """As pickle does it, for classes that the user vouched for."""
    if (own := getattr(target, "__setstate__", None)) is not None:
        own(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    for name, value in (attributes or {}).items():
        target.__dict__[name] = value
    for name, value in (slots or {}).items():
        setattr(target, name, value)


# the opcodes that are alike: constants, numbers, memory, lengths followed by that many bytes, tuples


def _register(code: bytes, run: Callable[[Unpickler], Any]) -> None:
    """An opcode that pushes what `run` returns."""

    def step(self: Unpickler) -> None:
        value = run(self)  # which may exchange the stack
        self.stack.append(value)

    _CODES[code[0]] = step


for _code, _constant in ((b"N", None), (b"\x88", True), (b"\x89", False), (b")", ())):
    _register(_code, lambda self, value=_constant: value)  # type: ignore[misc]
for _code, _kind in ((b"]", list), (b"}", dict), (b"\x8f", set)):
    _register(_code, lambda self, kind=_kind: kind())  # type: ignore[misc]
for _code, _form in ((b"J", "<i"), (b"K", "<B"), (b"M", "<H")):
    _register(_code, lambda self, form=_form: self.unpack(form))  # type: ignore[misc]
for _code, _form in ((b"\x8a", "<B"), (b"\x8b", "<i")):
    _register(_code, lambda self, form=_form: int.from_bytes(self.take(self.unpack(form)), "little", signed=True))  # type: ignore[misc]
for _code, _form in ((b"X", "<I"), (b"\x8c", "<B"), (b"\x8d", "<Q")):
    _register(_code, lambda self, form=_form: str(self.take(self.unpack(form)), "utf-8", "surrogatepass"))  # type: ignore[misc]
for _code, _form in ((b"T", "<i"), (b"U", "<B")):  # Python 2's str
    _register(_code, lambda self, form=_form: str(self.take(self.unpack(form)), "utf-8"))  # type: ignore[misc]
for _code, _form in ((b"B", "<I"), (b"C", "<B"), (b"\x8e", "<Q")):
    _register(_code, lambda self, form=_form: bytes(self.take(self.unpack(form))))  # type: ignore[misc]
_register(b"\x96", lambda self: bytearray(self.take(self.unpack("<Q"))))
_register(b"h", lambda self: self.recall(self.take(1)[0]))
_register(b"j", lambda self: self.recall(self.unpack("<I")))
_register(b"g", lambda self: self.recall(int(self.line())))
_register(b"t", lambda self: tuple(self.pop_mark()))
_register(b"l", lambda self: self.pop_mark())
_CODES[ord("r")] = lambda self: self.remember(self.unpack("<I"), self.stack[-1])
_CODES[ord("p")] = lambda self: self.remember(int(self.line()), self.stack[-1])
_CODES[ord("1")] = lambda self: self.pop_mark() and None


def _top(count: int) -> Callable[[Unpickler], Any]:
    def run(self: Unpickler) -> Any:
        items = self.stack[-count:]
        if len(items) != count:
            raise IndexError("the stack has too few values")
        del self.stack[-count:]
        return tuple(items)

    return run


for _count, _code in ((1, b"\x85"), (2, b"\x86"), (3, b"\x87")):
    _register(_code, _top(_count))


class Opaque:
    """What stands for everything that an inspection does not look into."""

    def __init__(self, name: tuple[str, str] | None = None):
        self.name = name


class Inspector(Unpickler):
    """Runs a pickle with nothing behind its names: it lists `globals` and `storages`, and makes nothing."""

    def __init__(self, data: Any, position: int = 0):
        super().__init__(data, None, position)
        self.globals: dict[tuple[str, str], None] = {}
        self.storages: list[Any] = []

    def find(self, module: str, name: str) -> Any:
        module, name = names.modern(module, name)
        self.globals[module, name] = None
        return Opaque((module, name))

    def call(self, function: Any, args: Any) -> Any:
        return Opaque()

    def new(self, kind: Any, args: Any, kwargs: Any) -> Any:
        return Opaque()

    def build(self, target: Any, state: Any) -> None:
        pass

    def extend(self, target: Any, items: list[Any]) -> None:
        pass

    def update(self, target: Any, items: list[Any]) -> None:
        pass

    def add(self, target: Any, items: list[Any]) -> None:
        pass

    def persistent(self, key: Any) -> Any:
        self.storages.append(key)
        return Opaque()
