"""Forward-mode derivatives, as the tutorial on them has it, and what else may be done with dual tensors."""

import torch
import torch.autograd.forward_ad as fwAD
from torch import nn


def tell(what):
    try:
        print(what())
    except Exception as error:
        print(f"{type(error).__name__}: {str(error)[:140]}")


torch.manual_seed(0)


def basics():
    primal, tangent = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)

    def fn(x, y):
        return x**2 + y**2

    with fwAD.dual_level():
        dual = fwAD.make_dual(primal, tangent)
        print(fwAD.unpack_dual(dual).tangent.equal(tangent), dual.requires_grad, dual.is_leaf)
        plain = torch.randn(3, 4, dtype=torch.float64)
        out = fn(dual, plain)
        print(fwAD.unpack_dual(out).tangent)
        print(fwAD.unpack_dual(plain))
        print(dual[0], (dual > 0).any(), dual.sum().item() == primal.sum().item())
        print(out.sum(), str(dual.double()[0, :2]))
    print(fwAD.unpack_dual(out).tangent, out.sum(), fwAD.unpack_dual(dual))
    tell(lambda: fwAD.make_dual(primal, tangent))


def modules():
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 2)).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    params = {name: p.detach() for name, p in model.named_parameters()}
    tangents = {name: torch.randn_like(p) for name, p in params.items()}
    with fwAD.dual_level():
        duals = {name: fwAD.make_dual(p, tangents[name]) for name, p in params.items()}
        out = torch.func.functional_call(model, duals, x)
        jvp = fwAD.unpack_dual(out).tangent
    _, expected = torch.func.jvp(lambda p: torch.func.functional_call(model, p, x), (params,), (tangents,))
    print(torch.allclose(jvp, expected), jvp.detach())


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(x, power):
        return x**3, x * power

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.power = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, gx, gy):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gx + gy * ctx.power, None

    @staticmethod
    def jvp(ctx, tangent, _):
        (x,) = ctx.saved_tensors
        return tangent * 3 * x**2, tangent * ctx.power


class OnlyBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.exp()

    @staticmethod
    def backward(ctx, grad):
        return grad


def functions():
    x, t = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, t)
        for out in Cube.apply(dual, 2.0):
            print(out)
        tell(lambda: OnlyBackward.apply(dual))
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    print(torch.autograd.gradcheck(lambda x: Cube.apply(x, 2.0), (x,)))


def in_place():
    x, t = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, t)
        a = torch.zeros(2)
        a += dual
        b = torch.zeros(3)
        b[1:] = dual
        c = torch.empty(2).copy_(dual)
        d = dual * 1
        d.zero_()
        e = dual.clone()
        e.detach().mul_(3)
        for made in (a, b, c, d, e, dual.view(2, 1), dual.detach(), dual.detach() * dual):
            print(made)
        with torch.no_grad():
            print(dual * dual)
        with fwAD._set_fwd_grad_enabled(False):
            print(dual * dual)
    print(a, b, c, d, e)


def both_ways():
    x, t = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 0.5])
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, t)
        out = (dual**3).sum()
        (grad,) = torch.autograd.grad(out, dual, create_graph=True)
        print(fwAD.unpack_dual(grad).primal.detach(), fwAD.unpack_dual(grad).tangent.detach())
        (dual.sin() * dual).sum().backward()
        print(x.grad, fwAD.unpack_dual(x.grad))
        x.grad = None
        direction = t.clone().requires_grad_()
        tangent = fwAD.unpack_dual((fwAD.make_dual(x, direction) ** 3).sum()).tangent
        tangent.backward()
        print(x.grad, direction.grad)
        x.grad = None
        later = (dual**2).sum()
    later.backward()
    print(x.grad)


def errors():
    x, t = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    tell(fwAD.exit_dual_level)
    with fwAD.dual_level() as level:
        print(level)
        dual = fwAD.make_dual(x, t)
        tell(lambda: fwAD.make_dual(x, torch.ones(3)))
        tell(lambda: fwAD.make_dual(torch.tensor([1]), torch.tensor([1])))
        tell(lambda: fwAD.make_dual(dual, t))
        tell(lambda: fwAD.make_dual(x, dual))
        tell(fwAD.enter_dual_level)
        tell(lambda: fwAD.exit_dual_level(level=3))
        tell(lambda: fwAD.unpack_dual(3))
    print(fwAD.enter_dual_level(), fwAD.exit_dual_level(level=0))


@fwAD.dual_level()
def decorated(x):
    return fwAD.unpack_dual(fwAD.make_dual(x, torch.ones_like(x)).exp()).tangent


for part in (basics, modules, functions, in_place, both_ways, errors):
    print("---", part.__name__)
    part()
print(decorated(torch.zeros(2)))
