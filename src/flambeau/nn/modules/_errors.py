"""Where in a network an error happened: its place goes into the error's text while it passes the modules' calls."""

from __future__ import annotations

from typing import Any

from ...core.tensor.tensor import Tensor

# only for these is the text known to be one message for people
_REWORDED = (RuntimeError, ValueError, TypeError, IndexError)


class _Place:
    """The module in which an error was raised, and the path to it from the outermost module that it has passed."""

    def __init__(self, module: Any, inputs: str, error: BaseException):
        self.class_name = type(module).__name__
        self.inputs = inputs
        self.path = ""
        self.passed = module
        self.text = error.args[0] if len(error.args) == 1 and type(error) in _REWORDED else None
        self.note = ""

    def __reduce__(self) -> Any:
        return type(None), ()  # an error that goes to another process takes its texts along, and no module


def locate(error: BaseException, module: Any, inputs: str) -> None:
    """Name the module in `error`, which is just leaving a call of it. A call further out puts its part in front.

    The place is a note of the error (`add_note`), and for PyTorch's usual exceptions it also leads the message as soon
    as there is a path to name: `in features.3 (Conv2d): expected 64 channels, got 3`.
    """
    place = error.__dict__.get("_place")
    if place is None:
        place = error._place = _Place(module, inputs, error)  # type: ignore[attr-defined]
    elif place.passed is not module:
        if module._modules.get("_orig_mod") is not place.passed:  # a compiled module goes by its original's names
            name = _name_in(module, place.passed)
            place.path = f"{name}.{place.path}" if place.path else name
        place.passed = module
    where = f"in {place.path} ({place.class_name})" if place.path else f"in {place.class_name}"
    note = f"{where}: {place.inputs}" if place.inputs else where
    if place.path and isinstance(place.text, str):
        error.args = (f"{where}: {place.text}",)
    notes = error.__dict__.setdefault("__notes__", [])
    if place.note in notes:
        notes[notes.index(place.note)] = note
    else:
        notes.append(note)
    place.note = note


def _name_in(parent: Any, child: Any) -> str:
    for name, module in parent.named_modules(remove_duplicate=False):
        if module is child and name:
            return name
    return f"<{type(child).__name__}>"  # called, but no submodule: held in a plain list, say


def shapes_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What `locate` says of a call's inputs."""
    values = (*args, *kwargs.values())
    shapes = ["x".join(map(str, v.shape)) or "scalar" for v in values if isinstance(v, Tensor)]
    return f"input{'s' * (len(shapes) > 1)} {', '.join(shapes)}" if shapes else ""
