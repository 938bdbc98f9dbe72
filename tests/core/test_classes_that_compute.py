"""Tensors of classes with a `__torch_dispatch__`, in both libraries: what arrives there, what comes back, what is refused by name."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import warnings
import weakref
from typing import Any

import pytest
import torch

import flambeau

LIBRARIES = (torch, flambeau)


def classes_of(lib: Any) -> Any:
    """A class that holds one tensor and notes what it is asked, and one that holds a pair."""
    tree_map = lib.utils._pytree.tree_map

    class Logged(lib.Tensor):  # type: ignore[misc, name-defined]
        log: list[str] = []  # noqa: RUF012
        __torch_function__ = lib._C._disabled_torch_function_impl

        @staticmethod
        def __new__(cls: Any, elem: Any, requires_grad: bool = False) -> Any:
            made = lib.Tensor._make_wrapper_subclass(
                cls, elem.size(), strides=elem.stride(), storage_offset=elem.storage_offset(), dtype=elem.dtype,
                device=elem.device, requires_grad=requires_grad,
            )  # fmt: skip
            made.elem = elem
            return made

        def __repr__(self) -> str:
            return f"Logged({self.elem.tolist()})"

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            cls.log.append(str(func))
            given = tree_map(lambda x: x.elem if isinstance(x, Logged) else x, (args, kwargs or {}))
            return tree_map(lambda x: Logged(x) if isinstance(x, lib.Tensor) else x, func(*given[0], **given[1]))

    return Logged


def told(lib: Any, use: Any) -> Any:
    """What a use of a Logged tensor of (3, 4) gives, and what its class was asked; or the error."""
    kind = classes_of(lib)
    x = kind((lib.arange(12.0) / 7 - 0.5).view(3, 4))
    try:
        made = use(lib, x, kind)
    except Exception as error:
        return type(error).__name__, str(error)
    return repr(plain(made)), kind.log


def plain(value: Any) -> Any:
    if hasattr(value, "elem"):
        return ("Logged", plain(value.elem))
    if hasattr(value, "requires_grad"):
        return type(value).__name__, [round(v, 4) for v in value.detach().reshape(-1).tolist()], tuple(value.shape)
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    return round(value, 4) if isinstance(value, float) else value


USES: dict[str, Any] = {
    "add": lambda lib, x, kind: x + 1,
    "matmul": lambda lib, x, kind: x @ x.t(),
    "linear": lambda lib, x, kind: lib.nn.functional.linear(lib.ones(2, 4), x, lib.ones(3)),
    "linear of three": lambda lib, x, kind: lib.nn.functional.linear(lib.ones(1, 2, 4), x, lib.ones(3)),
    "softmax": lambda lib, x, kind: x.softmax(-1),
    "cross_entropy": lambda lib, x, kind: lib.nn.functional.cross_entropy(x, lib.tensor([0, 1, 2])),
    "indices": lambda lib, x, kind: (x[0], x[:, 1:3], x[lib.tensor([0, 2])]),
    "views": lambda lib, x, kind: (x.view(-1), x.transpose(0, 1).contiguous(), x.T, x.split(2, 1), x.unbind(0)),
    "a list": lambda lib, x, kind: (lib.cat([x, lib.ones(3, 4)]), lib.stack([x, x])),
    "numbers": lambda lib, x, kind: (x.sum().item(), float(x.sum()), bool(x.sum() > 0)),
    "several results": lambda lib, x, kind: tuple(x.max(1)),
    "writes": lambda lib, x, kind: (x.add_(1), x.mul_(2), x.zero_(), x.copy_(lib.ones(3, 4))),
    "setitem": lambda lib, x, kind: (x.__setitem__(0, 1.0), x)[1],
    "out": lambda lib, x, kind: lib.add(x, 1, out=x),
    "into a plain one": lambda lib, x, kind: lib.zeros(3, 4).copy_(x),
    "to": lambda lib, x, kind: (x.to(lib.float64), x.double(), x.to("cpu") is x, x.to("meta").elem.device.type),
    "likes": lambda lib, x, kind: (lib.zeros_like(x), x.new_zeros(2), lib.ones_like(x), x.new_tensor([1.0])),
    "detach": lambda lib, x, kind: (x.detach(), x.data, x.clone()),
    "norm": lambda lib, x, kind: (x.norm(), lib.linalg.vector_norm(x)),
    "layers": lambda lib, x, kind: lib.nn.functional.gelu(lib.nn.functional.layer_norm(x, (4,))),
    "equal": lambda lib, x, kind: lib.equal(x, x),
    "copies": lambda lib, x, kind: (copy.copy(x), copy.deepcopy(x)),
    "about it": lambda lib, x, kind: (
        x.shape, x.stride(), x.t().stride(), x.dtype.itemsize, x.numel(), x.is_contiguous(), x.data_ptr(), len(x), x.is_leaf,
        x.view(12)._is_view(), x.storage_offset(), x.device.type,
    ),
    "tolist": lambda lib, x, kind: x.tolist(),
    "numpy": lambda lib, x, kind: x.numpy(),
    "a parameter": lambda lib, x, kind: (
        lib.nn.Parameter(x), isinstance(lib.nn.Parameter(x), lib.nn.Parameter), lib.nn.Parameter(x).requires_grad,
    ),
    "one of integers": lambda lib, x, kind: lib.Tensor._make_wrapper_subclass(kind, (2,), dtype=lib.int64, requires_grad=True),
    "sizes": lambda lib, x, kind: lib.Tensor._make_wrapper_subclass(kind, 2),
    "strides": lambda lib, x, kind: lib.Tensor._make_wrapper_subclass(kind, (2, 3), strides=(1,)),
    "another device": lambda lib, x, kind: str(lib.Tensor._make_wrapper_subclass(kind, (2,), device="cuda:1").device),
    "no class": lambda lib, x, kind: lib.Tensor._make_wrapper_subclass(int, (2,)),
}  # fmt: skip


@pytest.mark.parametrize("name", USES)
def test_what_a_class_is_asked(name: str) -> None:
    theirs, ours = (told(lib, USES[name]) for lib in LIBRARIES)
    assert ours == theirs


BACKWARD: dict[str, Any] = {
    "square": lambda lib, a: (a * a).sum(),
    "linear": lambda lib, a: lib.nn.functional.linear(a, lib.ones(2, 4), lib.ones(2)).tanh().sum(),
    "views": lambda lib, a: (a.view(-1)[2:] * 2).sum() + a.t()[1].sum(),
    "softmax": lambda lib, a: lib.nn.functional.cross_entropy(a, lib.tensor([0, 1, 2])),
    "mean of powers": lambda lib, a: (a**3).mean() + a.exp().sum(),
    "written": lambda lib, a: (a * 2).mul_(3).add_(1).sum(),
    "max": lambda lib, a: a.max(1).values.sum(),
    "where": lambda lib, a: lib.where(a > 0, a, lib.zeros(())).sum(),
    "layer norm": lambda lib, a: lib.nn.functional.layer_norm(a, (4,)).relu().pow(2).sum(),
    "indices": lambda lib, a: a[:, [0, 2]].pow(2).sum(),
    "written and saved": lambda lib, a: a.exp().mul_(2).sum(),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_gradients_of_classes(name: str) -> None:
    found = []
    for lib in LIBRARIES:
        kind = classes_of(lib)
        a = kind((lib.arange(12.0) / 7 - 0.5).view(3, 4), requires_grad=True)
        try:
            BACKWARD[name](lib, a).backward()
        except RuntimeError as error:
            found.append(str(error).partition(" Hint")[0])
            continue
        found.append((type(a.grad).__name__, a.grad.elem))
    theirs, ours = found
    if isinstance(theirs, str):
        assert ours == theirs
        return
    assert ours[0] == theirs[0]
    torch.testing.assert_close(torch.from_numpy(ours[1].numpy()), theirs[1])


ELEMENTWISE: dict[str, Any] = {
    **{
        n: (lambda t, x, n=n: getattr(t, n)(x))
        for n in "acos asin asinh sinh cosh tan log2 log10 exp2 erfc erfinv lgamma".split()
    },
    **{n: (lambda t, x, n=n: getattr(t, n)(x)) for n in "digamma rad2deg deg2rad floor ceil round trunc sign".split()},
    **{n: (lambda t, x, y, n=n: getattr(t, n)(x, y)) for n in "hypot maximum minimum logaddexp".split()},
    "clamp_min": lambda t, x: x.clamp_min(0.4),
    "clamp_max": lambda t, x: x.clamp_max(0.4),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.25),
    "addcmul": lambda t, x, y: t.addcmul(x, y, y, value=2),
    "addcdiv": lambda t, x, y: t.addcdiv(x, y, y, value=3),
    "threshold": lambda t, x: t.nn.functional.threshold(x, 0.3, 0.1),
    "alpha": lambda t, x, y: t.add(x, y, alpha=2) + t.sub(x, y, alpha=3),
    "norm": lambda t, x: x.norm(),
    "norms of rows": lambda t, x: t.linalg.vector_norm(x, dim=1),
    "spread": lambda t, x, y: t.maximum(x, y[0]) + t.lerp(x[0], y, 0.3),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_of_single_elements(name: str) -> None:
    found = []
    for lib in LIBRARIES:
        kind, use = classes_of(lib), ELEMENTWISE[name]
        count = use.__code__.co_argcount - 1 - len(use.__defaults__ or ())
        leaves = [
            kind(lib.arange(6.0, dtype=lib.float64).view(2, 3) / 11 + 0.2 + i / 7, requires_grad=True)
            for i in range(count)
        ]
        use(lib, *leaves).sum().backward()
        found.append([torch.tensor(leaf.grad.elem.tolist(), dtype=torch.float64) for leaf in leaves])
    torch.testing.assert_close(*found)


def test_operators_of_a_backward_pass() -> None:
    logs = []
    for lib in LIBRARIES:
        kind = classes_of(lib)
        a = kind(lib.ones(3, 4), requires_grad=True)
        (a * a).sum().backward()
        logs.append(kind.log)
    assert logs[0] == logs[1]


def test_second_gradients_and_hooks() -> None:
    found = []
    for lib in LIBRARIES:
        kind = classes_of(lib)
        a, seen = kind(lib.full((2,), 2.0), requires_grad=True), []
        y = a**3
        y.register_hook(lambda g, seen=seen: seen.append(type(g).__name__))
        (g,) = lib.autograd.grad(y.sum(), a, create_graph=True)
        g.sum().backward()
        found.append((a.grad.elem.tolist(), seen, g.requires_grad))
    assert found[0] == found[1]


def quantized(lib: Any) -> Any:
    aten = lib.ops.aten
    correct = lib.utils._python_dispatch.return_and_correct_aliasing

    class Quantized(lib.Tensor):  # type: ignore[misc, name-defined]
        __torch_function__ = lib._C._disabled_torch_function_impl

        @staticmethod
        def __new__(cls: Any, q: Any, s: Any, turned: bool = False) -> Any:
            shape = q.shape[::-1] if turned else q.shape
            return lib.Tensor._make_wrapper_subclass(cls, shape, dtype=s.dtype)

        def __init__(self, q: Any, s: Any, turned: bool = False):
            self.q, self.s, self.turned = q, s, turned

        @classmethod
        def of(cls, w: Any) -> Any:
            s = w.abs().amax(-1, keepdim=True) / 127
            return cls((w / s).round().to(lib.int8), s)

        def __tensor_flatten__(self) -> Any:
            return ["q", "s"], self.turned

        @classmethod
        def __tensor_unflatten__(cls, parts: Any, turned: Any, size: Any, stride: Any) -> Any:
            return cls(parts["q"], parts["s"], turned)

        def plain(self) -> Any:
            made = self.q.to(self.s.dtype) * self.s
            return made.t() if self.turned else made

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in (aten.detach.default, aten.clone.default):
                a = args[0]
                return correct(func, args, kwargs, cls(func(a.q), func(a.s), a.turned))
            if func is aten.t.default:
                return correct(func, args, kwargs, cls(args[0].q, args[0].s, not args[0].turned))
            if func is aten._to_copy.default:
                return correct(func, args, kwargs, cls(args[0].q, args[0].s.to(kwargs["dtype"]), args[0].turned))
            if func is aten.copy_.default:
                args[0].q.copy_(args[1].q), args[0].s.copy_(args[1].s)
                return args[0]
            if func in (aten.mm.default, aten.addmm.default):
                return func(*[a.plain() if isinstance(a, cls) else a for a in args])
            raise NotImplementedError(f"{func}")

    return Quantized


Quantized: Any = quantized(flambeau)  # where pickles find it
Quantized.__qualname__ = "Quantized"


def model(lib: Any, kind: Any) -> Any:
    net = lib.nn.Sequential(lib.nn.Linear(8, 4), lib.nn.ReLU(), lib.nn.Linear(4, 2))
    with lib.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_((lib.arange(float(p.numel())) * (i + 1) % 7 - 3).reshape(p.shape) / 5)
    for layer in (net[0], net[2]):
        layer.weight = lib.nn.Parameter(kind.of(layer.weight.detach()), requires_grad=False)
    return net


def test_quantized_weights() -> None:
    found = []
    for lib in LIBRARIES:
        net, x = model(lib, quantized(lib)), (lib.arange(24.0) / 11).view(3, 8).requires_grad_()
        y = net(x)
        y.sum().backward()
        net.to(lib.float64)
        found.append((y.tolist(), x.grad.tolist(), net[0].bias.grad.tolist(), net[0].weight.grad, str(net[0].weight.dtype)[-7:],
                      type(net.state_dict()["0.weight"]).__name__, net(x.double()).dtype.itemsize))  # fmt: skip
    theirs, ours = found
    assert ours[3:] == theirs[3:]
    for a, b in zip(ours[:3], theirs[:3], strict=True):
        torch.testing.assert_close(torch.tensor(a), torch.tensor(b))


def test_quantized_weights_in_files_and_copies() -> None:
    net, x = model(flambeau, Quantized), flambeau.ones(1, 8)
    file = io.BytesIO()
    flambeau.save(net.state_dict(), file)
    file.seek(0)
    kept = flambeau.load(file, weights_only=False)
    assert type(kept["0.weight"]) is Quantized
    other = model(flambeau, Quantized)
    other[0].weight.q.zero_()
    other.load_state_dict(kept)
    for made in (other, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(made[0].weight) is Quantized
        assert isinstance(made[0].weight, flambeau.nn.Parameter)
        assert flambeau.equal(made(x), net(x))
    a, b = flambeau.nn.Parameter(flambeau.ones(2)), net[0].weight
    flambeau.utils.swap_tensors(a, b)
    assert (type(a), type(b)) == (Quantized, flambeau.nn.Parameter)
    assert a.t().shape == (8, 4)


def test_views_have_to_be_of_the_class() -> None:
    texts = []
    for lib in LIBRARIES:
        kind = quantized(lib)
        q = kind.of(lib.ones(2, 3))
        with pytest.raises(AssertionError) as error:
            lib.utils._python_dispatch.return_and_correct_aliasing(lib.ops.aten.t.default, (q,), {}, lib.ones(3, 2))
        texts.append(str(error.value).replace(repr(kind), "KIND").replace(repr(lib.Tensor), "TENSOR"))
    assert texts[0] == texts[1]


def test_nobody_takes_the_operator() -> None:
    texts = []
    for lib in LIBRARIES:

        class Never(lib.Tensor):  # type: ignore[misc, name-defined]
            @classmethod
            def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return NotImplemented

        with pytest.raises(TypeError) as error:
            lib.Tensor._make_wrapper_subclass(Never, (2,)).mul(2)
        texts.append(str(error.value))
    assert texts[0] == texts[1]


def test_tensors_with_values() -> None:
    found = []
    for lib in LIBRARIES:

        class Counting(lib.Tensor):  # type: ignore[misc, name-defined]
            asked = 0

            @classmethod
            def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                cls.asked += 1
                return super().__torch_dispatch__(func, types, args, kwargs)

        x = lib.Tensor._make_subclass(Counting, lib.arange(3.0), True)
        (x * x).sum().backward()
        found.append((type(x * 2).__name__, type(x.grad).__name__, x.grad.tolist(), Counting.asked))
    assert found[0] == found[1]


def test_what_no_class_can_be_asked_is_refused_by_name() -> None:
    kind = classes_of(flambeau)
    x = kind(flambeau.ones(3, 3), requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"Logged.*is no operator of ATen's here"):
        flambeau.linalg.inv(x.detach())
    with pytest.raises(NotImplementedError, match="a tensor of class Logged has no values"):
        flambeau.func.grad(lambda a: (a * a).sum())(x.detach())
    (x * x).sum().backward()
    with pytest.raises(NotImplementedError, match="a step of a parameter of class Logged"):
        flambeau.optim.SGD([x], lr=0.1).step()
    y = x * 1
    with pytest.raises(NotImplementedError, match="a write through a view that is on the tape"):
        y[0].mul_(2)
    with pytest.raises(NotImplementedError, match="dispatch_sizes_strides_policy is not supported"):
        flambeau.Tensor._make_wrapper_subclass(kind, (2,), dispatch_sizes_strides_policy="sizes")


def test_nothing_is_kept_alive() -> None:
    kind = classes_of(flambeau)
    a = kind(flambeau.ones(2), requires_grad=True)
    y = a.exp().mul(a).sum()
    gone = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert gone() is None


def test_dispatch_can_be_turned_off() -> None:
    kind = classes_of(flambeau)
    x = kind(flambeau.ones(2))
    with flambeau._C._DisableTorchDispatch(), pytest.raises(NotImplementedError, match="has no values outside"):
        x + 1
    assert (x + 1).elem.tolist() == [2.0, 2.0]


def test_compiled_models_with_quantized_weights() -> None:
    net = model(flambeau, Quantized)
    compiled, x = flambeau.compile(net), flambeau.ones(3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it runs uncompiled, and says so
        for change in range(4):
            assert flambeau.equal(compiled(x), net(x))
            with flambeau.no_grad():
                if change == 0:
                    net[0].weight.s.mul_(2)
                elif change == 1:
                    net[2].weight.q = flambeau.ones(2, 4, dtype=flambeau.int8)
                elif change == 2:
                    net[0].weight = flambeau.nn.Parameter(Quantized.of(flambeau.ones(4, 8)), requires_grad=False)


def test_clipping_and_filling() -> None:
    found = []
    for lib in LIBRARIES:
        kind = classes_of(lib)
        p = lib.nn.Parameter(kind(lib.full((2,), 3.0)))
        (p * p).sum().backward()
        total = lib.nn.utils.clip_grad_norm_([p], 1.0, foreach=False)
        clipped = p.grad.elem.tolist()
        lib.nn.init.constant_(p, 2.0)
        found.append([*clipped, *total.elem.reshape(-1).tolist(), *p.elem.tolist(), p.requires_grad])
    assert found[0] == pytest.approx(found[1])


def test_numbers_of_what_is_on_the_tape() -> None:
    found = []
    for lib in LIBRARIES:
        x = classes_of(lib)(lib.full((2,), 3.0), requires_grad=True)
        y = (x * x).sum()
        found.append((y.item(), bool(y > 1), lib.equal(x, x), lib.allclose(x, x), y.requires_grad))
    assert found[0] == found[1]
