"""Objects to pickles whose names an importer knows, and to storages that all pickles of a package share."""

from __future__ import annotations

import io
import pickle
import pickletools
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar

from ..checkpoint.pickler import Plan, pickler
from .importer import Importer, ObjMismatchError, ObjNotFoundError, sys_importer


class StoragePlan(Plan):
    """The storages of one package. They are written whole, since pickles to come may refer to any part of them."""

    def __init__(self) -> None:
        super().__init__()
        self.final = True

    def reference(self, held: Any, location: str) -> Any:
        """What goes into the pickle for a storage: its number is a number here, and not a text as in a checkpoint."""
        made = super().reference(held, location)
        return type(made)((*made.key[:2], held.number, *made.key[3:]))


def dump(obj: Any, importer: Importer, protocol: int, plan: StoragePlan, reduced: Any) -> bytes:
    """A pickle of `obj`. `reduced(obj)` gives the persistent id of what packages itself, else None."""
    stream = io.BytesIO()
    kind = pickle._Pickler if importer is sys_importer else _pickler_of(importer)  # type: ignore[attr-defined]
    base = SimpleNamespace(Pickler=kind, __name__=__name__)  # in Python, as are the errors
    pickler(base, stream, protocol, plan, reduced).dump(obj)
    return stream.getvalue()


def _pickler_of(importer: Importer) -> type:
    class PackagePickler(pickle._Pickler):
        def save_global(self, obj: Any, name: str | None = None) -> None:
            try:
                module_name, name = importer.get_name(obj, name)
            except (ObjNotFoundError, ObjMismatchError) as error:
                raise pickle.PicklingError(f"Can't pickle {obj}: {error}") from error
            path, _, last = name.rpartition(".")
            if self.proto >= 4:  # type: ignore[attr-defined]
                self.save(module_name)  # type: ignore[attr-defined]
                self.save(name)  # type: ignore[attr-defined]
                self.write(pickle.STACK_GLOBAL)  # type: ignore[attr-defined]
            elif path:  # such a pickle has no names with dots
                owner: Any = importer.import_module(module_name)
                for part in path.split("."):
                    owner = getattr(owner, part)
                self.save_reduce(getattr, (owner, last), obj=obj)  # type: ignore[attr-defined]
                return
            else:
                self.write(pickle.GLOBAL + f"{module_name}\n{name}\n".encode())  # type: ignore[attr-defined]
            self.memoize(obj)  # type: ignore[attr-defined]

        # pickle's table names its own method for functions, whatever a derived class has
        dispatch: ClassVar[dict[Any, Any]] = {**pickle._Pickler.dispatch, FunctionType: save_global}  # type: ignore[attr-defined]

    return PackagePickler


def globals_of(pickled: bytes) -> dict[str, list[str]]:
    """The modules that a pickle names, in their order, and what it takes from each."""
    found: dict[str, dict[str, None]] = {}
    memo: dict[int, Any] = {}
    texts: list[Any] = []  # as far as a name may be taken from them
    value: Any
    for opcode, value, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            module, name = value.split(" ", 1)
            found.setdefault(module, {})[name] = None
            texts.append(None)
        elif opcode.name == "STACK_GLOBAL":
            module, name = texts[-2:]
            found.setdefault(module, {})[name] = None
            texts[-2:] = [None]
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else None
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = texts[-1] if texts else None
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(memo.get(value))
        elif opcode.name not in ("PROTO", "FRAME"):
            texts.append(value if isinstance(value, str) else None)
    return {module: list(names) for module, names in found.items()}
