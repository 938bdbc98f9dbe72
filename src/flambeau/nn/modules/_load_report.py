"""What `load_state_dict` says of keys that do not fit: their nearest names, in one table, and the cure."""

from __future__ import annotations

import difflib
import re
from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from ...core.context import doors
from ...core.tensor.tensor import Tensor
from ..parameter import is_lazy
from ._unregistered import plainly_held, unregistered

_MOST_ROWS = 20
_WRAPPERS = {"module.": "nn.DataParallel", "_orig_mod.": "torch.compile"}
_NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params", "ema")
_MADE_BY = {  # what ends like this, with which name before it, was made by what
    ("weight_g", "weight_v"): "nn.utils.weight_norm(layer)",
    ("original0", "original1"): "nn.utils.parametrizations.weight_norm(layer)",
    ("weight_orig", "weight_mask"): "nn.utils.prune.identity(layer, 'weight')",
    ("weight_orig", "weight_u"): "nn.utils.spectral_norm(layer)",
}


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ("missing_keys", "unexpected_keys"))):
    """What `load_state_dict` found on one side only. `flambeau.LoadReport` is its public name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if self.missing_keys or self.unexpected_keys else "<All keys matched successfully>"

    __str__ = __repr__

    def _repr_html_(self) -> str | None:
        return doors.html("LoadReport", self)


LoadReport = _IncompatibleKeys


def _shape(value: Any) -> list[int] | None:
    return list(value.shape) if isinstance(value, Tensor) and not is_lazy(value) else None


def explained(module: Any, given: Mapping[str, Any], missing: list[str], unexpected: list[str]) -> str:
    """The table of what does not fit, with a line that says what to do about it; empty if nothing is known of it."""
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    here = {name: _shape(value) for name, value in own.items()}
    there = {name: _shape(value) for name, value in given.items() if isinstance(name, str)}
    rows = _rows(here, there, missing, unexpected)
    cure = _cure(module, given, here, there, missing, unexpected)
    if not rows and not cure:
        return ""
    lines = _table([("in the model", "in the state dict"), *rows[:_MOST_ROWS]]) if rows else []
    if len(rows) > _MOST_ROWS:
        lines.append(f"... and {len(rows) - _MOST_ROWS} more")
    return "\n".join(f"\t{line}" for line in (*lines, *([f"Cure: {cure}"] if cure else ())))


def _table(rows: list[tuple[str, str]]) -> list[str]:
    wide = max(len(left) for left, _ in rows)
    return [f"{left:<{wide}}   {right}".rstrip() for left, right in rows]


def _named(name: str, shapes: dict[str, list[int] | None]) -> str:
    shape = shapes.get(name)
    return f"{name} {shape}" if shape is not None else name


def _rows(here: Any, there: Any, missing: list[str], unexpected: list[str]) -> list[tuple[str, str]]:
    left = [name for name in unexpected if name in there]
    pairs = _pairs(here, there, missing, left)
    rows = [(_named(name, here), _named(other, there) if other else "-") for name, other in pairs]
    rows += [(_named(n, here), "-") for n in missing[4 * _MOST_ROWS :]]
    rows += [("-", _named(name, there)) for name in left]
    return rows + [(_named(n, here), _named(n, there)) for n in _clash(here, there)]


def _nearest(name: str, others: list[str], here: Any, there: Any) -> str:
    """The unexpected name that is most like a missing one, of those with its shape if there are any."""
    ending = [o for o in others if o.endswith(f".{name}") or name.endswith(f".{o}")]
    alike = [o for o in others if there[o] == here.get(name)]
    last = name.rpartition(".")[2]
    for candidates, least in ((ending, 0.0), ([o for o in alike if o.rpartition(".")[2] == last], 0.4), (others, 0.75)):
        found = difflib.get_close_matches(name, candidates, 1, least)
        if found:
            return found[0]
    return ""


def _other(given: Any, there: Any, here: Any) -> str:
    if set(given) == {"state", "param_groups"}:
        return "this is the state of an optimizer: give it to optimizer.load_state_dict"
    clash = _clash(here, there)
    if clash and all(here[n] == there[n][::-1] for n in clash):
        return "the misshapen ones are transposed: state_dict[k] = state_dict[k].T for " + ", ".join(clash[:6])
    return ""


def _clash(here: Any, there: Any) -> list[str]:
    """The names of tensors whose shapes differ (a number may be saved with one dimension)."""
    both = [n for n in here if n in there and None not in (here[n], there[n]) and here[n] != there[n]]
    return [n for n in both if (here[n], there[n]) != ([], [1])]


def _cure(module: Any, given: Any, here: Any, there: Any, missing: list[str], unexpected: list[str]) -> str:
    return (
        _nested(given, here)
        or _prefix(here, there, missing, unexpected)
        or _unregistered(module, unexpected)
        or _made_by(missing, unexpected)
        or _other(given, there, here)
        or _renamed(here, there, missing, unexpected)
        or _partly(here, there, missing, unexpected)
    )


def _nested(given: Any, here: Any) -> str:
    for key, value in given.items():
        if isinstance(value, Mapping) and (key in _NESTED or any(name in value for name in here)):
            return f"the state dict is one of the entries of what was given: load_state_dict(checkpoint[{key!r}])"
    return ""


def _prefix(here: Any, there: Any, missing: list[str], unexpected: list[str]) -> str:
    """A prefix that all unexpected names have too much, or lack."""
    if not missing or not unexpected:
        return ""
    wanted = set(missing)
    for name in unexpected[:3]:
        for other in missing:
            if name.endswith(f".{other}"):
                prefix = name.removesuffix(other)
                if sum(n.startswith(prefix) and n.removeprefix(prefix) in wanted for n in unexpected) * 2 > len(
                    unexpected
                ):
                    maker = f" (of {_WRAPPERS[prefix]})" if prefix in _WRAPPERS else ""
                    return (
                        f'strip "{prefix}"{maker}: '
                        f'load_state_dict({{k.removeprefix("{prefix}"): v for k, v in state_dict.items()}})'
                    )
            if other.endswith(f".{name}"):
                prefix = other.removesuffix(name)
                if sum(prefix + n in wanted for n in unexpected) * 2 > len(unexpected):
                    if prefix.rstrip(".") in ("module", "_orig_mod"):
                        return f"load it into the model inside of the wrapper: model.{prefix[:-1]}.load_state_dict(...)"
                    child = re.sub(r"\.?(\d+)(?=\.|$)", r"[\1]", prefix[:-1])
                    child = child if child.startswith("[") else f".{child}"
                    return f'put "{prefix}" before the names, or load it into model{child}'
    return ""


def _unregistered(module: Any, unexpected: list[str]) -> str:
    for path, proper, _ in unregistered(module):
        if any(name.startswith(f"{path}.") for name in unexpected):
            return plainly_held(path, proper)
    return ""


def _made_by(missing: list[str], unexpected: list[str]) -> str:
    ends = {name.rpartition(".")[2] for name in unexpected}
    for pair, maker in _MADE_BY.items():
        if ends.issuperset(pair):
            return f"the state dict is of a model with {maker}: apply that before loading"
    ends = {name.rpartition(".")[2] for name in missing}
    for pair, maker in _MADE_BY.items():
        if ends.issuperset(pair):
            return (
                f"the model has {maker.partition('(')[0]}, the state dict is of one without it: load before applying it"
            )
    return ""


def _renamed(here: Any, there: Any, missing: list[str], unexpected: list[str]) -> str:
    """Whether each missing name has its pair."""
    if not missing or len(missing) > len(unexpected):
        return ""
    pairs = [(a, b) for a, b in _pairs(here, there, missing, list(unexpected)) if b]
    if len(pairs) < len(missing):
        return ""
    shown = ", ".join(f'("{b}", "{a}")' for a, b in pairs[:3]) + (", ..." if len(pairs) > 3 else "")
    return f"if these are the same tensors under other names: for old, new in [{shown}]: state_dict[new] = state_dict.pop(old)"


def _pairs(here: Any, there: Any, missing: list[str], left: list[str]) -> list[tuple[str, str]]:
    """Each missing name with the nearest of those that are left, which is taken out; "" if there is none."""
    pairs = []
    for name in missing[: 4 * _MOST_ROWS]:
        other = _nearest(name, left, here, there)
        if other:
            left.remove(other)
        pairs.append((name, other))
    return pairs


def _partly(here: Any, there: Any, missing: list[str], unexpected: list[str]) -> str:
    clash = _clash(here, there)
    fitting = sum(n in there and here[n] == there[n] for n in here)
    if clash and fitting:
        return (
            f"to load the {fitting} that fit, leave out the misshapen ones (strict=False does not): "
            f"for k in {clash[:6]}{' + ...' if len(clash) > 6 else ''}: del state_dict[k]; then strict=False"
        )
    if fitting and not clash and (missing or unexpected):
        return f"strict=False loads the {fitting} that fit, and returns the names of the others"
    return ""
