"""Operators of one's own, as the tutorials on custom operators have them."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def tell(what):
    try:
        result = what()
    except Exception as error:
        result = f"{type(error).__name__}: {str(error)[:110]}"
    print(result)


@torch.library.custom_op("tutorial::numpy_sin", mutates_args=())
def numpy_sin(x: Tensor) -> Tensor:
    return torch.from_numpy(np.sin(x.detach().cpu().numpy()))


@numpy_sin.register_fake
def _(x):
    return torch.empty_like(x)


def setup_context(ctx, inputs, output):
    (x,) = inputs
    ctx.save_for_backward(x)


def backward(ctx, grad):
    (x,) = ctx.saved_tensors
    return grad * x.cos()


numpy_sin.register_autograd(backward, setup_context=setup_context)


@torch.library.custom_op("tutorial::scale_all", mutates_args=())
def scale_all(xs: Sequence[Tensor], by: float = 2.0, *, shift: int = 0) -> list[Tensor]:
    return [x * by + shift for x in xs]


def setup_scale(ctx, inputs, keyword_only_inputs, output):
    _, ctx.by = inputs
    print("told", keyword_only_inputs, len(output))


scale_all.register_autograd(lambda ctx, grads: ([g * ctx.by for g in grads], None), setup_context=setup_scale)


@torch.library.custom_op("tutorial::split_sign", mutates_args=())
def split_sign(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.clamp(min=0).clone(), x.clamp(max=0).clone()


@torch.library.custom_op("tutorial::fill_with", mutates_args={"x"})
def fill_with(x: Tensor, value: float) -> None:
    x.copy_(torch.full_like(x, value))


def eager():
    x = torch.linspace(0, 1, 4, dtype=torch.float64, requires_grad=True)
    y = numpy_sin(x)
    print(y, y.grad_fn.name())
    y.sum().backward()
    print(x.grad)
    print(torch.autograd.gradcheck(numpy_sin, (x,)), torch.autograd.gradgradcheck(lambda x: numpy_sin(x), (x,)))
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    made = scale_all([a, b], 3.0, shift=1)
    print(type(made), made[0], made[1])
    (made[0] * 2 + made[1]).sum().backward()
    print(a.grad, b.grad)
    tell(lambda: split_sign(torch.tensor([-1.0, 2.0])))
    tell(lambda: split_sign(torch.ones(1, requires_grad=True))[0].backward())
    z = torch.zeros(3)
    print(fill_with(z, 4), z)
    tell(lambda: fill_with.register_autograd(lambda ctx: None))


def names():
    print(numpy_sin, torch.ops.tutorial.numpy_sin, torch.ops.tutorial.numpy_sin.default)
    print(torch.ops.tutorial.scale_all.default._schema, torch.ops.tutorial.scale_all.overloads())
    print(torch.ops.tutorial.fill_with.default._schema, torch.ops.tutorial.fill_with.default._schema.is_mutable)
    for argument in torch.ops.tutorial.scale_all.default._schema.arguments:
        print(argument.name, argument.kwarg_only, argument.has_default_value(), argument.default_value, argument.type)
    tell(lambda: torch.ops.tutorial.nothing)
    tell(lambda: torch.ops.tutorial.numpy_sin.nothing)
    tell(lambda: numpy_sin(3))
    tell(lambda: numpy_sin())
    tell(lambda: numpy_sin(torch.ones(1), 2))
    tell(lambda: scale_all([torch.ones(1)], by="a"))
    tell(lambda: scale_all([torch.ones(1)], to=1))


def mapped():
    x = torch.linspace(0, 1, 6).reshape(2, 3)

    @numpy_sin.register_vmap
    def numpy_sin_vmap(info, in_dims, x):
        print("batch", info.batch_size)
        return numpy_sin(x), in_dims[0]

    print(torch.vmap(numpy_sin)(x))
    print(torch.vmap(numpy_sin, in_dims=1, out_dims=1)(x))


def checked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what prints, or works with NumPy, is not compiled
        print(torch.library.opcheck(numpy_sin, (torch.ones(3, requires_grad=True),)))

    @torch.library.custom_op("tutorial::writes", mutates_args=())
    def writes(x: Tensor) -> Tensor:
        x.add_(1)
        return x.clone()

    tell(lambda: torch.library.opcheck(writes, (torch.ones(2),)))
    tell(lambda: torch.library.opcheck(split_sign, (torch.ones(2),), test_utils="test_faketensor"))
    tell(lambda: torch.library.opcheck(split_sign, (torch.ones(2),), test_utils="test_nothing"))


def library():
    lib = torch.library.Library("older", "DEF")
    print(lib)
    lib.define("double(Tensor x) -> Tensor")
    lib.define("double.twice(Tensor x, int times=2) -> Tensor")
    lib.impl("double", lambda x: x * 2, "CPU")
    lib.impl("double.twice", lambda x, times=2: x * 2**times, "CompositeImplicitAutograd")
    print(
        torch.ops.older.double(torch.ones(2)),
        torch.ops.older.double(torch.ones(2), 3),
        torch.ops.older.double.overloads(),
    )
    x = torch.ones(2, requires_grad=True)
    torch.ops.older.double.twice(x).sum().backward()
    print(x.grad)
    tell(lambda: torch.library.Library("older", "DEF"))
    tell(lambda: lib.define("double"))
    tell(lambda: lib.impl("double", 3, "CPU"))
    tell(lambda: lib.impl("double", lambda x: x, "Nothing"))
    torch.library.define("older::triple", "(Tensor x) -> Tensor")
    torch.library.impl("older::triple", "cpu", lambda x: x * 3)
    torch.library.register_autograd("older::triple", lambda ctx, grad: grad * 3)
    y = torch.ops.older.triple(x)
    print(y, torch.autograd.grad(y.sum(), x))
    tell(lambda: torch.library.register_fake("older::nothing", lambda x: x))
    tell(lambda: torch.library.define("triple", "(Tensor x) -> Tensor"))
    tell(lambda: torch.library.define("older::other", "Tensor x"))
    with torch.library._scoped_library("passing", "FRAGMENT") as scoped:
        scoped.define("inc(Tensor x) -> Tensor")
        scoped.impl("inc", lambda x: x + 1, "CompositeExplicitAutograd")
        print(torch.ops.passing.inc(torch.zeros(1)))
    tell(lambda: torch.ops.passing.inc)


def autograd_key():
    lib = torch.library.Library("below", "FRAGMENT")
    lib.define("half(Tensor x) -> Tensor")

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            with torch._C._AutoDispatchBelowAutograd():
                return torch.ops.below.half(x)

        @staticmethod
        def backward(ctx, grad):
            return grad * 10

    lib.impl("half", lambda x: x / 2, "CPU")
    lib.impl("half", Half.apply, "Autograd")
    x = torch.ones(2, requires_grad=True)
    y = torch.ops.below.half(x)
    y.sum().backward()
    print(y.detach(), type(y.grad_fn).__name__, x.grad)


def modes():
    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.namespace == "tutorial":
                print("sees", func, len(args))
            return func(*args, **(kwargs or {}))

    with Seeing():
        print(split_sign(torch.tensor([1.0])))

    torch.library.register_torch_dispatch(
        "tutorial::split_sign", Seeing, lambda mode, func, types, args, kwargs: (args[0] + 100, args[0])
    )
    x = torch.tensor([1.0])
    with Seeing():
        made = split_sign(x)
    print(made)


def below_the_public_functions():
    aten = torch.ops.aten
    x = torch.arange(6.0).reshape(2, 3)
    print(aten.add.Tensor(x, x, alpha=2), aten.mm.default(x, x.t()), aten.sum.dim_IntList(x, [1], True))
    print(aten.add(x, 1), aten.relu_(x - 2), aten.slice.Tensor(x, 1, 0, 2), aten.max.dim(x, 1))
    print(aten._softmax(x, 1, False), aten.view(x, [6]), aten.split.Tensor(x, 1))
    print(aten.add.out(x, x, out=torch.empty(2, 3)), aten.mse_loss(x, x + 1, 2))
    print(aten.add.Tensor, repr(aten.add.Tensor), aten.add, aten.add.Tensor.name(), aten.add.Tensor._schema)
    print(aten.add_.Tensor._schema.is_mutable, aten.mm.overloads(), aten.mm.default is aten.mm.default)
    tell(lambda: aten.nothing_of_the_kind)
    tell(lambda: aten.add.Nothing)
    tell(lambda: aten.add.Tensor(x))
    tell(lambda: torch.ops.torchvision.nms)


for part in (eager, names, mapped, checked, library, autograd_key, modes, below_the_public_functions):
    print("---", part.__name__)
    part()
