"""What dispatch modes see, and the graphs that `make_fx` makes of it, against PyTorch: the same programs on both."""

import importlib
import itertools
import operator
import re
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau
from flambeau.core.tensor.tensor import wrap
from support.op_database import convert, known, op_infos, ours, show

SEEN = """
x @ sq
x.mm(sq)
x @ v
v @ v
v @ sq
b3 @ sq
b3 @ v
b3 @ b3.mT
F.linear(x, w)
F.linear(x, w, bias)
F.linear(b3, w, bias)
F.linear(v, w, bias)
F.linear(b3, w)
x[0]
x[0, 1]
x[:, 1]
x[:2]
x[1:, ::2]
x[:]
x[...]
x[None]
x[..., 0]
x[idx]
x[:, idx]
x[mask]
x[idx, idx]
x[0]
setit(0, 1.)
setit((slice(None), 1), v[:3])
setit(mask, 0.)
setit(idx, x[:2])
setit(slice(0, 2), 3.)
x.detach()
x.sum().item()
float(x.sum())
bool(x.sum() > 0)
x.sum()
x.sum(0)
x.mean()
x.mean(1)
x.var()
x.std(0)
x.max()
x.max(1)
x.t()
x.T
b3.mT
x.transpose(0, 1)
b3.permute(2, 0, 1)
x.reshape(4, 3)
x.view(12)
x.flatten()
b3.flatten(1)
x.unsqueeze(0)
x.squeeze()
x.expand(2, 3, 4)
x.repeat(2, 1)
x.clone()
x.double()
x.to(torch.float16)
x.type(torch.int64)
x + 1
1 + x
x - x
2 - x
x * 2
x / 2
2 / x
x ** 2
2 ** x
-x
x // 2
x % 2
x > 0
x == x
x.relu()
F.relu(x)
F.relu_(x.clone())
F.gelu(x)
F.silu(x)
F.leaky_relu(x)
torch.sigmoid(x)
torch.softmax(x, 1)
F.log_softmax(x, 1)
F.cross_entropy(x, tgt)
F.nll_loss(x, tgt)
F.mse_loss(x, x)
F.l1_loss(x, x)
F.binary_cross_entropy_with_logits(x, x.sigmoid())
F.conv2d(img, cw)
F.conv2d(img, cw, padding=1, stride=2)
F.conv1d(torch.ones(1, 3, 5), torch.ones(2, 3, 3))
F.conv_transpose2d(img, torch.ones(3, 2, 2, 2))
F.max_pool2d(img, 2)
F.max_pool2d(img, 2, ceil_mode=True)
torch.nn.MaxPool2d(2)(img)
F.avg_pool2d(img, 2)
F.adaptive_avg_pool2d(img, 1)
F.layer_norm(x, (4,))
F.embedding(tgt, w)
torch.cat([x, x])
torch.stack([x, x])
x.split(2)
x.chunk(2)
x.unbind()
x.masked_fill(mask, 0.)
x.gather(1, tgt[:, None])
x.index_select(0, idx)
torch.bmm(b3, b3.mT)
torch.addmm(bias, x, w.t())
torch.linalg.vector_norm(x)
x.abs()
x.clamp(0, 1)
x.clamp(min=0)
x.argmax()
x.argmax(1)
x.topk(2)
x.sort()
x.cumsum(0)
x.any()
x.tril()
torch.zeros(2)
torch.ones(2, 3)
torch.full((2,), 3.)
torch.arange(3)
torch.randn(2)
torch.rand(2)
torch.zeros_like(x)
torch.randn_like(x)
torch.empty(2)
torch.eye(2)
torch.linspace(0, 1, 3)
x.clone().add_(1)
x.clone().mul_(x)
x.clone().zero_()
x.clone().fill_(2)
x.clone().copy_(x)
x.clone().normal_()
x.diagonal()
x.square()
torch.dist(x, x)
x.addcmul(x, x)
x.lerp(x, 0.5)
torch.logsumexp(x, 1)
x.unfold(0, 2, 1)
x.narrow(0, 0, 2)
x.select(0, 1)
x.nonzero()
x.isnan()
x.roll(1)
x.flip(0)
x.bool()
torch.clamp(x, max=1)
F.softplus(x)
F.relu6(x)
torch.tanh(x)
x.exp()
x.log()
""".strip().split("\n")


def shown(value, lib):
    if isinstance(value, lib.Tensor):
        return f"T{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return type(value)([shown(v, lib) for v in value])
    return value if isinstance(value, (int, float, str, type(None))) else str(value).replace("flambeau", "torch")


def seen(lib, programs):
    """Under each program, the operators that a mode sees, with their arguments."""

    class Mode(lib.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            told = {k: shown(v, lib) for k, v in (kwargs or {}).items() if k not in ("device", "pin_memory")}
            log.append((str(func), shown(args, lib), told))
            return func(*args, **(kwargs or {}))

    lib.manual_seed(0)
    x, b3, v, w, bias, sq = (lib.randn(*s) for s in ((3, 4), (2, 3, 4), (4,), (5, 4), (5,), (4, 4)))
    scope = {"torch": lib, "F": lib.nn.functional, "x": x, "b3": b3, "v": v, "w": w, "bias": bias, "sq": sq}
    scope |= {"img": lib.randn(2, 3, 8, 8), "cw": lib.randn(6, 3, 3, 3), "tgt": lib.tensor([0, 1, 2])}
    scope |= {"idx": lib.tensor([0, 2]), "mask": x > 0}
    scope["setit"] = lambda key, value: x.clone().__setitem__(key, value)
    found = {}
    for program in programs:
        log = []
        with warnings.catch_warnings(), Mode():
            warnings.simplefilter("ignore")
            eval(program, scope)
        found[program] = log
    return found


def test_modes_see_operators_of_aten():
    theirs, mine = seen(torch, SEEN), seen(flambeau, SEEN)
    assert {k: v for k, v in mine.items() if v != theirs[k]} == {}


PROGRAMS = """
def f(x, y): return torch.sin(x) @ y + 1;; f | torch.ones(3, 4), torch.ones(4, 2)
def f(x): return x * c + torch.tensor([1.0, 2.0, 3.0]);; f | torch.ones(3)
def f(x): y = x.clone(); y.add_(1); y[0] = 5; return y * 2, y.max(0);; f | torch.ones(3)
def f(x): return x * x.sum().item();; f | torch.ones(3)
def f(x): return -x if x.sum() > 0 else x;; f | torch.ones(3)
def f(d, l, n): return {"s": d["a"] + l[0] * n, "t": [l[1]]};; f | {"a": torch.ones(2)}, [torch.ones(2), torch.zeros(2)], 3
def f(x, t): return F.cross_entropy(F.relu(x), t);; f | torch.arange(12.0).double().reshape(3, 4), torch.tensor([0, 1, 2])
def f(x): a, b = x.split(2); return a.sum(0) + b.mean(0);; f | torch.ones(4, 2)
def f(x, *a): return x, a[0] + 1;; f | torch.ones(2), torch.ones(1)
def f(x, y=2): return x;; f | torch.ones(2)
def f(x): return F.linear(x[:, None, 1:].clone(), W, c);; f | torch.ones(2, 3)
f = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh());; f.requires_grad_(False).double() | torch.ones(2, 3).double()
""".strip().split("\n")


def traced(lib, program):
    """The code of a program's graph and what it gives; or the error."""
    from importlib import import_module

    make_fx = import_module(f"{lib.__name__}.fx.experimental.proxy_tensor").make_fx
    lib.manual_seed(0)
    scope = {"torch": lib, "F": lib.nn.functional, "c": lib.ones(3), "W": lib.ones(3, 2)}
    steps, _, last = program.partition(";;")
    exec(steps, scope)
    function, _, args = last.partition(" | ")
    args = eval(f"({args},)", scope)
    try:
        graph = make_fx(eval(function, scope))(*args)
    except RuntimeError as error:
        return str(error)
    given = graph(*args)
    plain = lib.utils._pytree.tree_map(
        lambda t: [f"{v:.9f}" for v in t.double().flatten().tolist()] if isinstance(t, lib.Tensor) else t, given
    )
    return re.sub(r", (device|pin_memory) = .*?(?=[,)]\B)", "", graph.code), plain


@pytest.mark.parametrize("program", PROGRAMS)
def test_make_fx(program):
    theirs, mine = traced(torch, program), traced(flambeau, program)
    assert mine[0] == theirs[0]
    assert repr(mine[1]) == repr(theirs[1])


def test_make_fx_refuses_what_is_not_seen():
    make_fx = flambeau.fx.experimental.proxy_tensor.make_fx
    with pytest.raises(NotImplementedError, match="make_fx: this tensor was computed where no dispatch mode looks"):
        make_fx(lambda x: x * wrap(jnp.ones(3)))(flambeau.ones(3))
    with pytest.raises(NotImplementedError, match=r"make_fx.tracing_mode=.symbolic."):
        make_fx(lambda x: x, tracing_mode="symbolic")


def folded(lib, skip):
    from importlib import import_module

    class Model(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.v = (lib.nn.Parameter(lib.ones(2, 2) * k) for k in (1, 3))

        def forward(self, x):
            a, c = self.w * 2, self.v.t() + 1
            return (x + a) * c

    split = import_module(f"{lib.__name__}.fx.experimental.const_fold").split_const_subgraphs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = split(Model(), (lambda node: node.target is operator.mul) if skip else None)
    x = lib.ones(1, 2)
    return model.code, model.const_subgraph_module.code, model(x).tolist(), model.has_folding_been_run


@pytest.mark.parametrize("skip", [False, True])
def test_constants_are_computed_once(skip):
    assert folded(flambeau, skip) == folded(torch, skip)


def test_equal_computations_are_made_once():
    found = []
    for lib in (torch, flambeau):
        from importlib import import_module

        CSEPass = import_module(f"{lib.__name__}.fx.passes.dialect.common.cse_pass").CSEPass
        graph = lib.fx.symbolic_trace(lambda x: x.sum() + x.sum() + x.sum(dim=0) * x.sum(dim=0))
        first = CSEPass()(graph)
        found.append((first.graph_module.code, first.modified, CSEPass()(first.graph_module).modified))
    assert found[1] == found[0]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_values_are_those_without_a_mode(part):
    """A mode that changes nothing changes no value, though it has calls taken apart and go through ATen's names."""
    mode, wrong = flambeau.utils._python_dispatch.BaseTorchDispatchMode(), []
    for key in sorted(known())[part::8]:
        info = op_infos()[key]
        dtype = torch.float64 if torch.float64 in info.dtypes else torch.int64
        if dtype not in info.dtypes:
            continue
        for sample in itertools.islice(info.sample_inputs("cpu", dtype), 4):
            plain, under = run(key, sample, None), run(key, sample, mode)
            if not isinstance(plain, str) and (isinstance(under, str) or not same(under, plain)):
                wrong.append((key, show(sample), under))
    assert wrong == []


def run(key, sample, mode):
    args = [convert(v) for v in (sample.input, *sample.args)]
    kwargs = {name: convert(v) for name, v in sample.kwargs.items()}
    flambeau.manual_seed(0)
    try:
        if mode is None:
            made = ours(key)(*args, **kwargs)
        else:
            with mode:
                made = ours(key)(*args, **kwargs)
    except Exception as error:
        return repr(error)
    return [np.asarray(t._array) for t in flambeau.utils._pytree.tree_leaves(made) if isinstance(t, flambeau.Tensor)]


def same(a, b):
    return len(a) == len(b) and all(
        m.shape == n.shape and m.dtype == n.dtype and np.allclose(m, n, atol=1e-7, equal_nan=True)
        for m, n in zip(a, b, strict=True)
    )


def _writes(lib):
    at, values = lib.tensor([0, 2]), lib.tensor([5.0, 6.0])
    return (
        lambda a: a.clone().index_put_((at,), values),
        lambda a: lib.index_put_(a.clone(), (at,), values, True),
        lambda a: a.index_put((at,), values, accumulate=True),
        lambda a: lib.masked_select(a, a > 1),
    )


def test_writes_by_indices_and_selections_by_masks_are_in_the_graph() -> None:
    shown = []
    for lib in (torch, flambeau):
        make_fx = importlib.import_module(f"{lib.__name__}.fx.experimental.proxy_tensor").make_fx
        found = []
        for function in _writes(lib):
            graph = make_fx(function)(lib.arange(4.0))
            names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
            found.append(([n for n in names if "lift_fresh" not in n], graph(lib.arange(4.0) + 1).tolist()))
        shown.append(found)
    assert shown[0] == shown[1]
