"""`make_fx` of `vmap`, `jvp`, `grad` and what is made of them: operators and results against PyTorch's."""

import re
import warnings

import pytest
import torch

import flambeau

_BESIDE = {"alias", "is_same_size", "_has_same_storage_numel"}  # what PyTorch looks at, or names again

# function | arguments: PyTorch's operators in PyTorch's order
SAME = """
vmap(lambda a: a * 2) | x
vmap(torch.sin) | x
vmap(torch.add) | x, y
vmap(torch.add, (0, 1)) | x, y.T.clone()
vmap(torch.add, (0, None)) | x, v
vmap(torch.dot) | x, y
vmap(lambda a: a @ W) | B
vmap(torch.mm) | B, B.mT.clone()
vmap(torch.bmm) | B[:, None].clone(), B[:, None].mT.clone()
vmap(torch.matmul, (0, None)) | B, W
vmap(lambda a: a.sum()) | B
vmap(lambda a: a.sum(0)) | B
vmap(lambda a: a.sum(-1, keepdim=True)) | B
vmap(lambda a: a.mean()) | B
vmap(lambda a: a.softmax(0)) | x
vmap(lambda a: F.log_softmax(a, -1)) | x
vmap(lambda a: a.reshape(-1)) | B
vmap(lambda a: a.t()) | B
vmap(lambda a: a[0]) | B
vmap(lambda a: a[:, 1:3]) | B
vmap(lambda a, b: torch.cat([a, b])) | x, y
vmap(torch.relu) | x
vmap(lambda a: a.clone().add_(1)) | x
vmap(vmap(lambda a: a.sin().sum())) | B
vmap(lambda a, i: a[i]) | x, torch.tensor([0, 1, 2])
vmap(lambda a, i: torch.gather(a, 0, i)) | x, torch.zeros(3, 2, dtype=torch.long)
vmap(lambda i: F.embedding(i, W)) | torch.tensor([0, 1, 2])
vmap(lambda a: F.layer_norm(a, (4,))) | x
vmap(lambda a: a.max(0)) | B
vmap(lambda a: a.topk(2)) | x
vmap(lambda a: a.cumsum(0)) | x
vmap(lambda a: a.flip(0)) | x
vmap(lambda a: a.chunk(2)) | x
vmap(lambda a: a.to(torch.float64)) | x
vmap(lambda a: a.clamp(0, 1)) | x
vmap(lambda a: a + torch.rand(4), randomness="different") | x
vmap(lambda a: a + torch.rand(4), randomness="same") | x
grad(lambda a: a.sin().sum()) | v
vmap(grad(lambda a: a.sin().sum())) | x
vmap(grad(lambda a: (a**3).sum())) | x
grad(lambda a: vmap(lambda t: t.sin().sum())(a).sum()) | x
jacrev(torch.sin) | v
jacfwd(torch.sin) | v
lambda a, t: jvp(torch.sin, (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z * z, (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z.sum(), (a,), (t,)) | x, y
lambda a: vjp(torch.sin, a)[1](a) | x
""".strip().split("\n")
# other operators, the same results
EQUAL = """
vmap(torch.sin, 1, 1) | x
vmap(lambda a, b: a + b) | x, y[:, 0].clone()
vmap(torch.dot, (0, None)) | x, v
vmap(lambda a: W.T @ a) | x
vmap(lambda a: F.linear(a, W.T, b)) | B
vmap(lambda a, b: torch.stack([a, b])) | x, y
vmap(lambda a: torch.where(a > 0, a, 0.0)) | x
vmap(torch.add, (0, None)) | x, y[0, 0].clone()
vmap(vmap(torch.add, (0, None)), (None, 0)) | x, y[:, 0].clone()
vmap(lambda a, w: F.conv2d(a, w)) | img, torch.ones(2, 2, 3, 3, 3).cumsum(0)
vmap(lambda a: F.conv2d(a, torch.ones(2, 3, 3, 3))) | img
vmap(lambda a, t: F.cross_entropy(a, t)) | x, torch.tensor([0, -100, 2])
vmap(grad(lambda a, t: F.cross_entropy(a, t)), (0, 0)) | B, torch.tensor([[0, 1, 2], [3, -100, 1]])
vmap(grad(lambda a, t: F.cross_entropy(a, t, reduction="sum")), (0, None)) | x, torch.tensor(2)
vmap(grad(lambda w, a: F.linear(a, w).tanh().sum()), (None, 0)) | W.T.clone(), x
vmap(grad(mlp), (None, 0)) | (W, b, b + 1), x
vmap(lambda q: F.scaled_dot_product_attention(q, q, q)) | img
vmap(torch.linalg.solve) | torch.eye(3).expand(2, 3, 3) * 2, x.T[:2, :3].clone()
vmap(torch.linalg.inv) | torch.eye(3).expand(2, 3, 3) * 2
vmap(lambda a: a.as_strided((2, 2), (1, 2))) | x
vmap(lambda a: a.roll(1)) | x
vmap(lambda a: torch.zeros(4) + a.new_zeros(4).copy_(a)) | x
vmap(lambda a: torch.ones(2)) | x
vmap(lambda a: a + torch.tensor([1.0, 2, 3, 4])) | x
vmap(vmap(lambda a: a + torch.tensor(2.0))) | x
lambda a, t: jvp(lambda z: z * torch.tensor(2.0), (a,), (t,)) | x, y
vmap(lambda d: {"a": d["x"] + d["y"]}) | {"x": x, "y": y}
vmap(lambda a: a * 2, chunk_size=2) | x
hessian(lambda a: (a**3).sum()) | v
hessian(lambda a: mlp((W, b, b + 1), a)) | v
jacfwd(lambda a: (a * a.sum()).tanh()) | v
jacrev(lambda a, c: (a * c, a + c), (0, 1)) | v, v + 1
lambda a, t: jvp(lambda z: z @ W, (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: torch.tanh(F.linear(z, W.T, b)).sum(), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z.softmax(-1), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z.log_softmax(-1), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: F.layer_norm(z, (4,)), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z.clone().mul_(z).add_(1), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: torch.cat([z[:1] / z[1:2], z.exp()]), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z.detach() * z, (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: z.int() + z, (a,), (t,)) | x * 3, y
lambda a, t: jvp(lambda z: z.frexp()[0], (a,), (t,)) | v, v + 1
lambda a, t: jvp(grad(lambda z: z.tanh().sum()), (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: jvp(torch.sin, (z,), (t,))[1], (a,), (t,)) | x, y
lambda a, t: jvp(lambda z: vmap(torch.dot, (0, None))(z, v), (a,), (t,)) | x, y
lambda a, t: linearize(torch.sin, a)[1](t) | x, y
lambda a, t: jvp(lambda z: z.sort().values.prod(), (a,), (t,)) | v, v + 1
""".strip().split("\n")


def traced(lib, program):
    """The operators of a program's graph, what the graph gives, and what the function gives."""
    from importlib import import_module

    make_fx = import_module(f"{lib.__name__}.fx.experimental.proxy_tensor").make_fx
    scope = {"torch": lib, "F": lib.nn.functional, "mlp": lambda p, a: (lib.tanh(a @ p[0] + p[1]) @ p[2]).sum()}
    scope |= {name: getattr(lib.func, name) for name in "vmap grad jvp vjp jacrev jacfwd hessian linearize".split()}
    scope |= {
        "x": lib.arange(12.0).reshape(3, 4).sin(),
        "y": lib.arange(12.0).reshape(3, 4).cos(),
        "v": lib.arange(1.0, 5),
    }
    scope |= {
        "W": lib.arange(20.0).reshape(4, 5).cos(),
        "b": lib.arange(5.0).sin(),
        "B": lib.arange(24.0).reshape(2, 3, 4).sin(),
    }
    scope |= {"img": lib.arange(96.0).reshape(2, 1, 3, 4, 4).sin()}
    function, _, args = program.partition(" | ")
    args = eval(f"({args},)", scope)
    function = eval(function, scope)
    results = []
    with warnings.catch_warnings():
        if lib is torch:
            warnings.simplefilter("ignore")  # of parts of its own
        lib.manual_seed(0)
        graph = make_fx(function)(*args)
        for f in (graph, function):
            lib.manual_seed(0)
            leaves = lib.utils._pytree.tree_leaves(f(*args))
            results.append([([f"{v + 0.0:.4f}" for v in t.double().flatten().tolist()], list(t.shape)) for t in leaves])
    names = re.findall(r"torch\.ops\.aten\.(\w+)\.\w+\(", graph.code)
    return [n for n in names if n not in _BESIDE], *results


@pytest.mark.parametrize("program", SAME)
def test_operators_are_pytorchs(program):
    names, mine, plain = traced(flambeau, program)
    theirs = traced(torch, program)
    assert names == theirs[0]
    assert mine == plain == theirs[1]


@pytest.mark.parametrize("program", EQUAL)
def test_results_are_pytorchs(program):
    _, mine, plain = traced(flambeau, program)
    assert mine == plain == traced(torch, program)[2]


def _make_fx(*args):
    return flambeau.fx.experimental.proxy_tensor.make_fx(*args)


def test_a_graph_of_vmap_takes_gradients_to_what_is_outside():
    w = flambeau.ones(3, requires_grad=True)
    seen = []

    def f(x):
        out = flambeau.func.vmap(lambda a: a * w)(x)
        seen.append(flambeau.autograd.grad(out.sum(), w)[0])
        return out

    _make_fx(f)(flambeau.arange(6.0).reshape(2, 3))
    assert seen[0].tolist() == [3.0, 5.0, 7.0]


def test_what_is_drawn_and_written_while_a_sample_is_traced_happens_once():
    counted = flambeau.zeros(2)
    norm = flambeau.nn.BatchNorm1d(2).double()
    plain = flambeau.nn.BatchNorm1d(2).double()
    x = flambeau.arange(6.0, dtype=flambeau.float64).reshape(3, 2)

    def f(x, t):
        return flambeau.func.jvp(lambda z: norm(z) + counted.add_(1), (x,), (t,))

    _make_fx(f)(x, x)
    plain(x)
    assert counted.tolist() == [1.0, 1.0]
    assert norm.running_mean.tolist() == plain.running_mean.tolist()
    flambeau.manual_seed(3)
    _make_fx(flambeau.func.vmap(lambda a: a + flambeau.rand(2), randomness="same"))(x)
    after = flambeau.rand(3)
    flambeau.manual_seed(3)
    flambeau.rand(2)
    assert flambeau.equal(after, flambeau.rand(3))


def test_draws_and_shared_writes_are_refused_as_elsewhere():
    x = flambeau.ones(3, 2)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        _make_fx(flambeau.func.vmap(lambda a: a + flambeau.rand(2)))(x)
    with pytest.raises(RuntimeError, match="into a tensor that all samples share"):
        _make_fx(flambeau.func.vmap(lambda a: flambeau.zeros(2).add_(a)))(x)
