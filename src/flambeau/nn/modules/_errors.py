"""Where in a network an error happened, and what led to it: told in the error while it passes the modules' calls."""

from __future__ import annotations

import difflib
from types import CodeType
from typing import Any

from ...core.tensor.tensor import Tensor
from ._advice import advice, of_a_view
from ._trail import Step, shown, steps_to

# only for these is the text known to be one message for people
_REWORDED = (RuntimeError, ValueError, TypeError, IndexError)
_MOST_SEEN = 12
_OURS = ("flambeau", "torch")  # under the drop-in our modules go by torch's name


class _Place:
    """The module in which an error was raised, and the path to it from the outermost module that it has passed."""

    def __init__(self, module: Any, inputs: str, error: BaseException, args: tuple[Any, ...]):
        self.class_name = type(module).__name__
        self.inputs = inputs
        self.path = ""
        self.passed = module
        self.text = error.args[0] if len(error.args) == 1 and _may_be_reworded(error) else None
        self.note = ""
        self.more = ""
        self.advice = ""
        self.seen: dict[str, list[int]] = {}  # the tensors in a user's forward
        self.trails: list[tuple[str, list[Step]]] = []
        if isinstance(self.text, str) and not (args and any(map(_is_traced, args))):
            self._look(module, error, args)

    def __reduce__(self) -> Any:
        return type(None), ()  # an error that goes to another process takes its texts along, and no module

    def _look(self, module: Any, error: BaseException, args: tuple[Any, ...]) -> None:
        """What the module's inputs, or the values in a user's `forward`, tell of an error of ours."""
        frames = _frames(error)
        if not frames or not _is_ours(frames[-1]):
            return
        try:
            if _is_ours_class(type(module)):
                self.advice = advice(module, args, str(self.text))
                values = {"": args[0]} if args and isinstance(args[0], Tensor) else {}
            else:
                self.advice = of_a_view(str(self.text), args)
                values = _values(module, frames)
                self.seen = {name: list(value.shape) for name, value in values.items()}
                values = {n: v for n, v in values.items() if any(v is a for a in _arguments(module, frames))}
            self.trails = [(name, steps) for name, v in values.items() if (steps := steps_to(v))][:2]
        except Exception:  # whatever it is, the error that is to be told counts
            self.advice, self.trails = "", []

    def tell(self, error: BaseException) -> None:
        """Put all this into the error's text and notes, in place of what was said from further inside."""
        where = f"in {self.path} ({self.class_name})" if self.path else f"in {self.class_name}"
        if self.path and isinstance(self.text, str):
            error.args = (f"{where}: {self.text}" + (f" ({self.advice})" if self.advice else ""),)
        notes = error.__dict__.setdefault("__notes__", [])
        self.note = _exchanged(notes, self.note, f"{where}: {self.inputs}" if self.inputs else where)
        self.more = _exchanged(notes, self.more, self._more())

    def _more(self) -> str:
        lines = [self.advice] if self.advice and not self.path else []
        if self.seen:
            seen = [f"{name} {shape}" for name, shape in list(self.seen.items())[-_MOST_SEEN:]]
            lines.append(f"shapes in its forward: {', '.join(seen)}")
        for name, steps in self.trails:
            rows = shown(steps, self.passed)
            if not name:
                rows.append((f"{self.path or 'this'} ({self.class_name})", self.advice or "fails"))
            wide = max(len(what) for what, _ in rows)
            lines.append(f"the way to {name or 'its input'}:")
            lines += [f"  {what:<{wide}}  {shape}".rstrip() for what, shape in rows]
        return "\n".join(lines)


def _may_be_reworded(error: BaseException) -> bool:
    """Whether a module's path may stand before the text; an assertion of the user's own stays as it is."""
    if type(error) is not AssertionError:
        return type(error) in _REWORDED
    frames = _frames(error)  # none of one that a program's check has made: the words are the user's
    return bool(frames) and _is_ours(frames[-1])


def _exchanged(notes: list[str], old: str, new: str) -> str:
    if old and old in notes:
        place = notes.index(old)
        notes[place : place + 1] = [new] if new else []
    elif new:
        notes.append(new)
    return new


def _is_traced(value: Any) -> bool:
    return isinstance(value, Tensor) and "Tracer" in type(getattr(value._storage, "value", None)).__name__


def _frames(error: BaseException) -> list[Any]:
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames


def _is_ours(frame: Any) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in _OURS


def _is_ours_class(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _OURS


def _forward(module: Any, frames: list[Any]) -> int:
    """Which frame is the one of the module's own `forward`; -1 if none is."""
    code: CodeType | None = getattr(getattr(type(module), "forward", None), "__code__", None)
    return max((i for i, f in enumerate(frames) if f.f_code is code), default=-1)


def _values(module: Any, frames: list[Any]) -> dict[str, Tensor]:
    """The tensors among the local values of the module's forward."""
    at = _forward(module, frames)
    return {} if at < 0 else {n: v for n, v in frames[at].f_locals.items() if isinstance(v, Tensor)}


def _arguments(module: Any, frames: list[Any]) -> list[Tensor]:
    """The tensors that the forward has given to what failed."""
    for frame in frames[_forward(module, frames) + 1 :]:
        found = []
        for value in frame.f_locals.values():
            parts = value if isinstance(value, (list, tuple)) else (value,)
            for part in parts:
                found += [v for v in (part if isinstance(part, (list, tuple)) else (part,)) if isinstance(v, Tensor)]
        if found:
            return found
    return []


def locate(error: BaseException, module: Any, inputs: str, args: tuple[Any, ...] = ()) -> None:
    """Name the module in `error`, which is just leaving a call of it. A call further out puts its part in front.

    The place is a note of the error (`add_note`), and for PyTorch's usual exceptions it also leads the message as soon
    as there is a path to name: `in features.3 (Conv2d): expected 64 channels, got 3`. What would fit follows the message;
    the shapes on the way there, from the tape, are a second note.
    """
    place = error.__dict__.get("_place")
    if place is None:
        place = error._place = _Place(module, inputs, error, args)  # type: ignore[attr-defined]
    elif place.passed is not module:
        if module._modules.get("_orig_mod") is not place.passed:  # a compiled module goes by its original's names
            name = _name_in(module, place.passed)
            place.path = f"{name}.{place.path}" if place.path else name
        place.passed = module
    place.tell(error)


def _name_in(parent: Any, child: Any) -> str:
    for name, module in parent.named_modules(remove_duplicate=False):
        if module is child and name:
            return name
    return f"<{type(child).__name__}>"  # called, but no submodule: held in a plain list, say


def shapes_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What `locate` says of a call's inputs."""
    values = (*args, *kwargs.values())
    shapes = [_shape(v) for v in values if isinstance(v, Tensor)]
    return f"input{'s' * (len(shapes) > 1)} {', '.join(shapes)}" if shapes else ""


def _shape(value: Tensor) -> str:
    if value.is_nested:  # its sizes are no numbers, or not to be had
        return "nested"
    return "x".join(map(str, value.shape)) or "scalar"


def no_forward(module: Any) -> NotImplementedError:
    """The error of a module whose class defines no `forward`, with the name of a method that may have been meant for it."""
    meant = difflib.get_close_matches("forward", [n for n in vars(type(module)) if n != "forward"], 1, 0.7)
    return NotImplementedError(
        f'Module [{module._get_name()!s}] is missing the required "forward" function'
        + (f": is `{meant[0]}` meant?" if meant else ", which says what it computes")
    )
