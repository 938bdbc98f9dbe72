"""Pruning: a mask of zeros and ones, multiplied with a parameter before each forward.

A pruned parameter `weight` is `weight_orig * weight_mask`, of which the first is a parameter and the second a buffer. The
method that made the mask is a forward pre-hook, which multiplies them anew.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ...core.dispatch.help import explain_namespace as _explain
from ...core.tensor.tensor import Tensor
from ...ops.making.constants import ones_like as ones_like
from ...ops.making.constants import zeros as zeros
from ...ops.random.factories import rand as rand
from ...ops.random.factories import rand_like as rand_like
from ...ops.reduce.sorting import kthvalue as kthvalue
from ...ops.reduce.sorting import topk as topk
from ..modules.module import Module as Module
from .convert_parameters import parameters_to_vector as parameters_to_vector

M = TypeVar("M", bound=Module)


# --- how much ---------------------------------------------------------------------------------------------------------


def _validate_pruning_amount_init(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if float(amount) < 0 or (float(amount) > 1.0 and not isinstance(amount, numbers.Integral)):
        raise ValueError(f"amount={amount!s} should either be a float in the range [0, 1] or a non-negative integer")


def _validate_pruning_amount(amount: float, tensor_size: int) -> None:
    if isinstance(amount, numbers.Integral) and amount > tensor_size:
        raise ValueError(f"amount={amount!s} should be smaller than the number of parameters to prune={tensor_size}")


def _compute_nparams_toprune(amount: Any, tensor_size: int) -> int:
    """A whole number is meant as it is, another as a fraction of all."""
    return int(amount) if isinstance(amount, numbers.Integral) else round(amount * tensor_size)


def _validate_structured_pruning(t: Tensor) -> None:
    if len(t.shape) <= 1:
        raise ValueError(
            f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} with "
            f"{len(t.shape)} dims"
        )


def _validate_pruning_dim(t: Tensor, dim: int) -> None:
    if dim >= t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape!s}")


def _compute_norm(t: Tensor, n: Any, dim: int) -> Tensor:
    """The n-norm of each slice along `dim`."""
    kept = range(t.ndim)[dim]
    return t.norm(p=n, dim=[d for d in range(t.ndim) if d != kept])


# --- methods ----------------------------------------------------------------------------------------------------------


def _hooks_on(module: Module, name: str) -> list[tuple[int, BasePruningMethod]]:
    hooks = module._forward_pre_hooks.items()
    return [(n, hook) for n, hook in hooks if isinstance(hook, BasePruningMethod) and hook._tensor_name == name]


class BasePruningMethod(ABC):
    """What a way of pruning defines: `compute_mask`, and `PRUNING_TYPE`.

    The type says what is left for a further method: 'unstructured' (the elements whose mask is 1), 'structured' (the slices
    along the method's `dim` that have such elements) or 'global' (everything).
    """

    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        """The forward pre-hook."""
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for scores `t`; what is 0 in `default_mask` stays so. All have one shape."""

    def apply_mask(self, module: Module) -> Tensor:
        """`weight_orig * weight_mask` of a module."""
        if getattr(self, "_tensor_name", None) is None:
            raise AssertionError(f"Module {module} has to be pruned")
        original = getattr(module, f"{self._tensor_name}_orig")
        return getattr(module, f"{self._tensor_name}_mask").to(dtype=original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prune the parameter `name` by a method made of the other arguments; returns the hook.

        What is pruned are the least of `importance_scores` (default: the parameter itself). A parameter that is pruned
        already is pruned further.
        """
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        earlier = _hooks_on(module, name)
        for number, old in earlier:
            del module._forward_pre_hooks[number]
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            method = container
        tensor = getattr(module, name)
        if importance_scores is None:
            importance_scores = tensor
        elif importance_scores.shape != tensor.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, "
                f"got {importance_scores.shape} vs {tensor.shape}"
            )
        if earlier:
            method._mask_further(module, name, importance_scores)
        else:
            mask = method.compute_mask(importance_scores, default_mask=ones_like(tensor))
            module.register_parameter(f"{name}_orig", tensor)
            del module._parameters[name]
            module.register_buffer(f"{name}_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def _mask_further(self, module: Module, name: str, scores: Tensor) -> None:
        old = getattr(module, f"{name}_mask").detach().clone()
        module.register_buffer(f"{name}_mask", self.compute_mask(scores, default_mask=old))

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t` times its mask; nothing is registered anywhere."""
        if importance_scores is None:
            importance_scores = t
        elif importance_scores.shape != t.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as tensor t, got {importance_scores.shape} vs {t.shape}"
            )
        if default_mask is None:
            default_mask = ones_like(t)
        return t * self.compute_mask(importance_scores, default_mask=default_mask)

    def remove(self, module: Module) -> None:
        """Make the parameter an ordinary one, with the zeros that it has now. The hook stays where it is."""
        weight: Any = self.apply_mask(module)
        name = self._tensor_name
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters[f"{name}_orig"]
        original.data = weight.data
        delattr(module, f"{name}_orig")
        delattr(module, f"{name}_mask")
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Several methods for one parameter; each is given what those before it have left."""

    def __init__(self, *args: BasePruningMethod):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add one at the end. TypeError if it is none; ValueError if it is for another parameter."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer "
                f"{self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods = (*self._pruning_methods, method)  # type: ignore[arg-type, assignment]

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """`default_mask`, and what the last method makes of the part of `t` that is left. ValueError for an unknown type."""
        method: Any = self._pruning_methods[-1]
        mask: Any = default_mask.to(dtype=t.dtype)  # type: ignore[attr-defined]
        part: Any
        if method.PRUNING_TYPE == "unstructured":
            part = mask == 1
        elif method.PRUNING_TYPE == "structured":
            if not hasattr(method, "dim"):
                raise AttributeError(
                    f"Pruning methods of PRUNING_TYPE 'structured' need to have the attribute `dim`. {method} has none"
                )
            dim = range(t.ndim)[method.dim]
            left = mask.sum(dim=[d for d in range(t.ndim) if d != dim]) != 0
            part = (slice(None),) * dim + (left,)
        elif method.PRUNING_TYPE == "global":
            part = (slice(None),) * t.ndim
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = mask.clone()
        new[part] = method.compute_mask(t[part], default_mask=mask[part]).to(dtype=new.dtype)  # type: ignore[index]
        return new


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the parameter a pruned one, with a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """`default_mask`."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:  # type: ignore[override]
        """See `identity`."""
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    """A method that prunes a number of elements or slices, or a fraction of them."""

    def __init__(self, amount: float):
        _validate_pruning_amount_init(amount)
        self.amount = amount

    def _number(self, of: int) -> int:
        _validate_pruning_amount(self.amount, of)
        return _compute_nparams_toprune(self.amount, of)


class _Unstructured(_Amount):
    """Prunes the elements of the largest `_disposable` values."""

    PRUNING_TYPE = "unstructured"

    def _disposable(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """`default_mask` with zeros for what is pruned."""
        count = self._number(t.numel())  # type: ignore[attr-defined]
        mask: Any = default_mask.clone()
        if count:
            chosen = self._disposable(t)
            mask.view(-1)[chosen(count)] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes elements at random."""

    def _disposable(self, t: Any) -> Any:
        chances = rand_like(t)
        return lambda k: topk(chances.view(-1), k=k).indices

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> BasePruningMethod:  # type: ignore[override]
        """See `random_unstructured`."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the elements that are nearest to 0."""

    def _disposable(self, t: Any) -> Any:
        return lambda k: topk(t.abs().reshape(-1), k=k, largest=False).indices

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """See `l1_unstructured`."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_Amount):
    """Prunes whole slices along `dim`."""

    PRUNING_TYPE = "structured"
    dim: int

    def _kept(self, t: Any, count: int, of: int) -> Any:
        """A mask for the slices, of which `count` are pruned."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """`default_mask` with zeros for the slices that are pruned."""
        _validate_structured_pruning(t)
        _validate_pruning_dim(t, self.dim)
        size = t.shape[self.dim]
        count = self._number(size)
        if not count:
            return default_mask
        shape = [1] * t.ndim
        shape[self.dim] = size
        kept = self._kept(t, count, size).reshape(shape)
        return default_mask * kept.to(default_mask.dtype)


class RandomStructured(_Structured):
    """Prunes slices along `dim` at random."""

    def __init__(self, amount: float, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def _kept(self, t: Any, count: int, of: int) -> Any:
        chances = rand(of)
        return chances > kthvalue(chances, k=count).values

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, dim: int = -1) -> BasePruningMethod:  # type: ignore[override]
        """See `random_structured`."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the slices along `dim` that have the least n-norms."""

    def __init__(self, amount: float, n: Any, dim: int = -1):
        super().__init__(amount)
        self.n = n
        self.dim = dim

    def _kept(self, t: Any, count: int, of: int) -> Any:
        largest = topk(_compute_norm(t, self.n, self.dim), k=of - count, largest=True).indices
        kept = zeros(of)
        kept[largest] = 1
        return kept

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """See `ln_structured`."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """`default_mask` times the mask."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)  # type: ignore[attr-defined]

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> BasePruningMethod:  # type: ignore[override]
        """See `custom_from_mask`."""
        return super().apply(module, name, mask=mask)


# --- functions --------------------------------------------------------------------------------------------------------


def identity(module: M, name: str) -> M:
    """Make the parameter `name` a pruned one of which nothing is pruned; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: M, name: str, amount: float) -> M:
    """Prune elements at random: a fraction of them, or a whole number; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: M, name: str, amount: float, importance_scores: Tensor | None = None) -> M:
    """Prune the elements that are nearest to 0, or have the `importance_scores` nearest to 0; returns the module."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: M, name: str, amount: float, dim: int) -> M:
    """Prune slices along `dim` (channels, say) at random; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: M, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None) -> M:
    """Prune the slices along `dim` with the least n-norms; returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: M, name: str, mask: Tensor) -> M:
    """Prune by a mask of zeros and ones in the parameter's shape; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune the parameters, given as (module, name), as if they were one vector.

    `kwargs` go to the method, which has to be an unstructured one (TypeError if not).
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    places = list(parameters)
    given = importance_scores or {}
    tensors = [getattr(module, name) for module, name in places]
    scores = parameters_to_vector(given.get(place, tensor) for place, tensor in zip(places, tensors, strict=True))
    masks = parameters_to_vector(
        getattr(module, f"{name}_mask", ones_like(tensor))
        for (module, name), tensor in zip(places, tensors, strict=True)
    )
    method: Any = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} of type '
            f"{method.PRUNING_TYPE}"
        )
    final: Any = PruningContainer(method).compute_mask(scores, masks)
    start = 0
    for (module, name), tensor in zip(places, tensors, strict=True):
        end = start + tensor.numel()
        custom_from_mask(module, name, mask=final[start:end].view_as(tensor))
        start = end


def remove(module: M, name: str) -> M:
    """Make a pruned parameter an ordinary one that keeps its zeros; returns the module. ValueError if it is not pruned."""
    for number, hook in _hooks_on(module, name):
        hook.remove(module)
        del module._forward_pre_hooks[number]
        return module
    raise ValueError(f"Parameter '{name}' of module {module!s} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of a module in it, is pruned."""
    hooks = (hook for one in module.modules() for hook in one._forward_pre_hooks.values())
    return any(isinstance(hook, BasePruningMethod) for hook in hooks)


_explain(globals(), "torch.nn.utils.prune")
