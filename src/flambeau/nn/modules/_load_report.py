"""What `load_state_dict` says of keys that do not fit: their nearest names, in one table, and the cure."""

from __future__ import annotations

import difflib
import os
import re
from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from ...core.context import doors
from ...core.tensor.tensor import Tensor
from ..parameter import is_lazy
from ._unregistered import plainly_held, unregistered

_MOST_ROWS = 20
_MOST_LAYERS = 4
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


def not_a_mapping(given: Any) -> TypeError:
    """The error of a load from what is no state dict, with what makes one of it."""
    error = TypeError(f"Expected state_dict to be dict-like, got {type(given)}.")
    if isinstance(given, (str, os.PathLike)):
        error.add_note(f"(It is the name of a file: load_state_dict(torch.load({os.fspath(given)!r})))")
    elif hasattr(given, "state_dict"):
        error.add_note("(Give its state dict: load_state_dict(other.state_dict()))")
    return error


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
    lines += _made_otherwise(module, _clash(here, there), there)
    return "\n".join(f"\t{line}" for line in (*lines, *([f"Cure: {cure}"] if cure else ())))


_SIZES: dict[
    str, dict[str, tuple[str, ...]]
] = {  # what the sizes of a layer's tensor are called where the layer is made; "" is not told
    "in_features": {"weight": ("out_features", "in_features"), "bias": ("out_features",)},
    "num_embeddings": {"weight": ("num_embeddings", "embedding_dim")},
    "num_features": dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("num_features",)),
    "num_channels": dict.fromkeys(("weight", "bias"), ("num_channels",)),
    "input_size": {
        **dict.fromkeys(("weight_hh_l0", "weight_hh"), ("", "hidden_size")),
        **dict.fromkeys(("weight_ih_l0", "weight_ih"), ("", "input_size")),
    },
}


def _sizes(layer: Any, name: str, shape: list[int]) -> dict[str, Any]:
    """The settings of a layer whose tensor `name` has this shape."""
    own = vars(layer)
    if "normalized_shape" in own:
        return {"normalized_shape": tuple(shape)}
    if "kernel_size" in own and "in_channels" in own and name == "weight" and len(shape) > 2:
        first, second = ("in_channels", "out_channels") if own.get("transposed") else ("out_channels", "in_channels")
        return {first: shape[0], second: shape[1] * own.get("groups", 1), "kernel_size": tuple(shape[2:])}
    for setting, tensors in _SIZES.items():
        if setting in own and len(tensors.get(name, ())) == len(shape):
            return {key: size for key, size in zip(tensors[name], shape, strict=True) if key}
    return {}


def _made_otherwise(module: Any, clash: list[str], there: Any) -> list[str]:
    """One line for each layer whose tensors have other shapes there: with which settings it was made."""
    found: dict[str, dict[str, Any]] = {}
    for name in clash:
        path, _, last = name.rpartition(".")
        for setting, value in _sizes(module.get_submodule(path), last, there[name]).items():
            if getattr(module.get_submodule(path), setting, value) != value:
                found.setdefault(path, {})[setting] = value
    lines = []
    for path, settings in [*found.items()][:_MOST_LAYERS]:
        layer = module.get_submodule(path)
        what = f"{path} ({type(layer).__name__})" if path else type(layer).__name__
        told = ", ".join(f"{key}={value} (here {getattr(layer, key)})" for key, value in settings.items())
        lines.append(f"{what} was made with {told}")
    return lines


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
