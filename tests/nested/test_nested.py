# ruff: noqa: E501
"""`torch.nested` against PyTorch: the same programs on both, part by part."""

import copy
import io
import pickle
import re
import warnings

import pytest
import torch

import flambeau


def parts(value):
    """A result as plain data: the parts of a nested tensor, lists of a dense one."""
    if hasattr(value, "is_nested") and value.is_nested:
        return ("nested", str(value.layout), value.dim(), [parts(part) for part in value.unbind()])
    if isinstance(value, (torch.Tensor, flambeau.Tensor)):
        return (str(value.dtype), tuple(value.shape), value.detach().tolist())
    if isinstance(value, (tuple, list)):
        return [parts(v) for v in value]
    return value


def run(lib, layout, program):
    """The last expression of a program, of a library; or the error."""
    *steps, last = program.split(";;")
    a, b = (
        lib.arange(6.0, dtype=lib.float64).reshape(2, 3) / 7,
        lib.arange(12.0, dtype=lib.float64).reshape(4, 3) / 5 - 1,
    )
    scope = {"torch": lib, "F": lib.nn.functional, "nn": lib.nn, "a": a, "b": b, "layout": getattr(lib, layout)}
    scope["make"] = lambda *tensors, **kw: lib.nested.nested_tensor(
        list(tensors) or [a, b], layout=scope["layout"], **kw
    )
    scope["offsets"] = lib.tensor([0, 2, 5])
    lib.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scope["nt"] = scope["make"]()
            for step in steps:
                exec(step, scope)
            return parts(eval(last, scope))
        except Exception as error:
            return type(error).__name__, str(error)


def same(ours, theirs):
    """Whether two results are equal, numbers to 12 digits."""
    if isinstance(theirs, float):
        return ours == pytest.approx(theirs, rel=1e-12, abs=1e-12, nan_ok=True)
    if isinstance(theirs, (tuple, list)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


BOTH = """
nt
nt * 2 + nt
nt + 1
nt / 2
nt - nt
nt > 0.2
-nt
nt.abs().sqrt()
nt.cos()
nt.tanh()
nt.isnan()
nt.masked_fill(nt > 0.2, 0.)
F.relu(nt)
F.gelu(nt)
F.silu(nt)
F.dropout(nt, 0.5, False)
nt.mul_(2)
nt.add_(1)
nt.fill_(3.)
nt.zero_()
nt.clone()
nt.detach()
nt.to(torch.float32)
nt.half().float()
nt.contiguous()
torch.zeros_like(nt)
torch.ones_like(nt)
torch.randn_like(nt)
nt.is_nested, nt.dim(), nt.ndim, nt.numel(), nt.size(0), nt.size(-1), nt.is_leaf, nt.element_size(), nt.nbytes
nt.is_contiguous()
nt.unbind()
[part for part in nt]
nt[0]
nt[-1]
nt[0, 0]
nt[1][2]
nt[..., 0]
nt.select(0, 1)
nt.select(2, 1)
nt.transpose(1, 2)
nt.transpose(-1, -2)
nt.unsqueeze(-1)
nt.squeeze(-1)
nt.reshape(2, -1, 3, 1)
nt.view(2, -1, 1, 3)
nt.chunk(3, -1)
torch.cat([nt, nt], -1)
nt.sum(-1, keepdim=True)
F.softmax(nt, -1)
nt.softmax(1)
nn.Linear(3, 2).double()(nt)
F.linear(nt, a)
nn.LayerNorm(3).double()(nt)
nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()(nt)
torch.bmm(nt, torch.ones(2, 3, 2, dtype=torch.float64))
nt.to_padded_tensor(0.)
torch.nested.to_padded_tensor(nt, -1., (2, 5, 3))
torch.nested.nested_tensor([[1., 2], [3.]], layout=layout)
make(torch.tensor([1, 2]), torch.tensor([0]))
make(a, b, dtype=torch.float32)
F.embedding(make(torch.tensor([1, 2]), torch.tensor([0])), a)
torch.nested.as_nested_tensor([a, b], layout=layout)
torch.nested.as_nested_tensor(torch.ones(2, 3, 4), layout=layout)
torch.nested.as_nested_tensor(nt, layout=layout) is nt
torch.nested.as_nested_tensor([a, b], layout=layout, dtype=torch.float32)
x = a.clone().requires_grad_();;n = torch.nested.as_nested_tensor([x, b], layout=layout);;sum(p.sum() for p in (n * n).unbind()).backward();;(x.grad, n.is_leaf)
n = make(requires_grad=True);;sum((p * p).sum() for p in n.unbind()).backward();;(n.grad, n.is_leaf)
n = make(requires_grad=True);;n.to_padded_tensor(0.).pow(2).sum().backward();;n.grad
n = make(requires_grad=True);;l = nn.Linear(3, 2).double();;l(n).to_padded_tensor(0.).sum().backward();;(l.weight.grad, l.bias.grad, n.grad)
n = make(requires_grad=True);;F.softmax(n, -1).to_padded_tensor(0.)[..., 0].sum().backward();;n.grad
n = make(requires_grad=True);;nn.LayerNorm(3).double()(n).to_padded_tensor(0.)[..., 0].sum().backward();;n.grad
make(requires_grad=True).requires_grad
nt.unbind(1)
F.softmax(nt, 0)
nt.transpose(0, 1)
nt.narrow(1, 0, 1)
nt.unsqueeze(0)
nt.size(1) if layout is torch.strided else None
torch.nested.nested_tensor([a], layout="x")
torch.nested.as_nested_tensor(3, layout=layout)
make(requires_grad=True, dtype=torch.int64)
nt.item()
nt.foo
nt.cumsum(-1)
nt.sort()
nt.norm()
nt.repeat(1, 1, 1)
nt[:, 0]
""".strip().split("\n")

STRIDED = """
nt.size()
nt.stride()
len(nt)
nt.sum(1)
nt.sum(-1)
nt.sum()
nt.mean()
nt.values()
nt._nested_tensor_size()
nt._nested_tensor_strides()
nt._nested_tensor_storage_offsets()
nt + a
nt.matmul(a)
torch.cat([nt, nt], 0)
torch.matmul(nt, nt.transpose(1, 2))
nt.narrow(0, 1, 1)
make(a, b.T)
make(torch.tensor(1.))
torch.nested.nested_tensor([])
make(a, torch.ones(2))
torch.nested.nested_tensor(3)
torch.nested.narrow(torch.arange(12.).reshape(3, 4), 1, 1, 2)
torch.nested.narrow(torch.ones(2, 3), 1, torch.tensor([0, 1]), 1)
torch.nested.to_padded_tensor(nt, -1., (3, 5, 3))
torch.nested.to_padded_tensor(nt, -1., (3, 3, 3))
make(a, b.T).to_padded_tensor(9.)
make(a, b.T) * 2
q = make(torch.randn(2, 4, 3), torch.randn(2, 5, 3));;[t.double().mul(1e4).round() for t in F.scaled_dot_product_attention(q, q, q).unbind()]
torch._nested_view_from_buffer(torch.arange(5.), torch.tensor([[2], [3]]), torch.tensor([[1], [1]]), torch.tensor([0, 2])) * 2
""".strip().split("\n")

JAGGED = """
len(nt)
nt.values()
nt.offsets(), nt.lengths()
nt._min_seqlen, nt._max_seqlen
nt.exp() ** 2
1 - nt
nt == nt
torch.where(nt > 0.2, nt, nt * 0)
nt.clamp(0, 0.5)
nt.sigmoid()
nt + torch.ones(3)
nt + torch.tensor([[[1.], ], [[2.]]], dtype=torch.float64)
nt * torch.arange(6., dtype=torch.float64).reshape(2, 1, 3)
nt + a
nt + make()
nt.sum()
nt.sum(1)
nt.sum(-1)
nt.sum(0)
nt.sum((0, 1))
nt.sum((1, 2))
nt.mean()
nt.mean(1)
nt.mean(-1)
nt.mean(1, keepdim=True)
nt.max()
nt.amax(1)
nt.amin(1)
nt.amax(-1)
nt.any(), nt.all()
nt.argmax(-1)
nt.prod()
nt.log_softmax(-1)
nt.matmul(torch.ones(3, 2, dtype=torch.float64))
nt @ torch.arange(12., dtype=torch.float64).reshape(2, 3, 2)
nt.transpose(1, 2) @ nt
nt.permute(0, 2, 1)
nt.T
nt.flatten(1)
nt.unflatten(-1, [3, 1])
nt.unflatten(-1, [1, 3]).transpose(1, 2)
nt.unflatten(-1, [1, 3]).flatten(2)
nt.split(1, -1)
nt.chunk(2, 0)
torch.cat([nt, nt], 0)
torch.stack([nt, nt], -1)
torch.stack([nt, nt])
torch.rand_like(nt)
torch.full_like(nt, 2.)
nt.expand(2, -1, 3)
nt.view_as(nt)
nt.tolist()
nt.numpy()
nt.size(1) == nt.size(1), nt.size(1) == make().size(1), nt.size(1) >= 2, isinstance(nt.size(1), int), isinstance(nt.size(1), torch.SymInt)
torch.nested.to_padded_tensor(nt, -1., (2, 3, 3))
make()[0].shape
make(a, b.T)
make(a, torch.ones(2))
make(a, b.int())
make(torch.tensor(1.))
torch.nested.nested_tensor([], layout=layout)
torch.nested.nested_tensor(3, layout=layout)
torch.nested.nested_tensor(a, layout=layout)
torch.nested.as_nested_tensor([a, b.int()], layout=layout)
torch.nested.as_nested_tensor(a[0], layout=layout)
torch.nested.as_nested_tensor(torch.nested.nested_tensor([a]), layout=layout)
torch.nested.nested_tensor_from_jagged(torch.arange(10.).reshape(5, 2), offsets)
torch.nested.nested_tensor_from_jagged(torch.arange(10.).reshape(5, 2), lengths=torch.tensor([2, 3]))
torch.nested.nested_tensor_from_jagged(torch.arange(10.).reshape(5, 2), offsets, torch.tensor([1, 2]))
torch.nested.nested_tensor_from_jagged(torch.arange(10.).reshape(5, 2), offsets, torch.tensor([1, 2])).is_contiguous()
torch.nested.nested_tensor_from_jagged(torch.arange(10.).reshape(5, 2), offsets, torch.tensor([1, 2])).lengths()
torch.nested.nested_tensor_from_jagged(torch.arange(10.).reshape(2, 5), offsets, jagged_dim=2)
torch.nested.nested_tensor_from_jagged(torch.ones(5, 2))
torch.nested.nested_tensor_from_jagged([1], offsets)
torch.nested.nested_tensor_from_jagged(torch.ones(5), offsets, torch.tensor([1, 2, 3, 4]))
n = torch.nested.nested_tensor_from_jagged(torch.ones(6, 3, dtype=torch.float64), nt.offsets());;(n.shape == nt.shape, n + nt)
v = torch.ones(5, 2).requires_grad_();;n = torch.nested.nested_tensor_from_jagged(v, offsets);;(n * n).sum().backward();;v.grad
v = torch.zeros(5);;n = torch.nested.nested_tensor_from_jagged(v, offsets);;n.add_(1);;v
n = make(requires_grad=True);;(n * n).sum().backward();;n.grad
n = make(requires_grad=True);;torch.autograd.grad((n ** 3).sum(), n)
torch.nested.narrow(torch.arange(12.).reshape(2, 6), 1, torch.tensor([0, 1]), torch.tensor([2, 3]), layout=layout)
torch.nested.narrow(torch.arange(12.).reshape(2, 6), 1, 1, 2, layout=layout)
torch.nested.narrow(torch.ones(2, 3), 0, 0, 1, layout=layout)
torch.nested.masked_select(a, a > 0.2)
torch.nested.masked_select(torch.arange(24.).reshape(2, 3, 4), torch.tensor([True, False, True])[None, :, None])
q = make(torch.arange(24., dtype=torch.float64).reshape(4, 6) / 30, torch.ones(5, 6, dtype=torch.float64)).unflatten(-1, [2, 3]).transpose(1, 2);;F.scaled_dot_product_attention(q, q, q)
torch.nested.as_nested_tensor([a, b], layout=layout).sum(1)
""".strip().split("\n")

WIDE = "x = make(a.repeat(1, 2), b.repeat(1, 2) ** 2);;"
LAYERS = """
m = nn.MultiheadAttention(6, 2, batch_first=True)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m(x, x, x, need_weights=False)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m(x, x, x, average_attn_weights=False)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m(x, x, x, is_causal=True)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m(x, x * 1, x)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m(b[:2], x, x)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m(x, x, x, key_padding_mask=torch.zeros(2, 4).bool())
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m.train()(x, x, x)
m = nn.MultiheadAttention(6, 2, batch_first=True);;go = lambda: m.requires_grad_()(x, x, x)
m = nn.MultiheadAttention(6, 2)
m = nn.MultiheadAttention(6, 3, batch_first=True)
m = nn.MultiheadAttention(6, 2, batch_first=True, add_bias_kv=True)
m = nn.MultiheadAttention(6, 2, batch_first=True, add_zero_attn=True)
m = nn.MultiheadAttention(6, 2, batch_first=True, kdim=3)
m = nn.MultiheadAttention(6, 2, batch_first=True, bias=False)
m = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, activation="gelu", norm_first=True);;go = lambda: m(x)
m = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, nn.LayerNorm(6));;go = lambda: m(x)
m = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2);;go = lambda: m(x, torch.zeros(4, 4))
m = nn.TransformerDecoderLayer(6, 2, 8, batch_first=True);;go = lambda: m(x, x)
m = None;;go = lambda: F.scaled_dot_product_attention(x, x, x, torch.zeros(2, 2))
m = None;;go = lambda: F.scaled_dot_product_attention(x, b, x)
""".strip().split("\n")


@pytest.mark.parametrize(
    ("layout", "program"), [("strided", p) for p in LAYERS] + [("jagged", LAYERS[k]) for k in (0, -3, -2)]
)
def test_layer(layout, program):
    program += "" if "go =" in program else ";;go = lambda: m(x, x, x)"
    head, _, tail = program.partition(";;go")
    ready = ";;m = m and m.double().eval().requires_grad_(False)"
    program = f"{WIDE}{head}{ready};;go{tail};;go()"
    theirs, ours = run(torch, layout, program), run(flambeau, layout, program)
    if isinstance(theirs, tuple) and isinstance(theirs[1], str) and theirs[0].endswith("Error"):
        assert ours[0] == theirs[0] and theirs[1].strip() in ours[1], (ours, theirs)
    else:
        assert same(ours, theirs), (ours, theirs)


CASES = [(layout, p) for layout in ("strided", "jagged") for p in BOTH]
CASES += [("strided", p) for p in STRIDED] + [("jagged", p) for p in JAGGED]


@pytest.mark.parametrize(("layout", "program"), CASES)
def test_program(layout, program):
    theirs, ours = run(torch, layout, program), run(flambeau, layout, program)
    failed = (
        isinstance(theirs, tuple) and len(theirs) == 2 and isinstance(theirs[0], str) and theirs[0].endswith("Error")
    )
    if failed:
        assert ours[0] == theirs[0], ours
    else:
        assert same(ours, theirs), (ours, theirs)


@pytest.mark.parametrize("layout", ["strided", "jagged"])
@pytest.mark.parametrize("grad", [False, True])
def test_printed_form(layout, grad):
    shown = []
    for lib in (torch, flambeau):
        a = lib.arange(6.0).reshape(2, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = lib.nested.nested_tensor([a, a[:1]], layout=getattr(lib, layout), requires_grad=grad)
        lines = [repr(made), repr(made * 2), repr(made.unsqueeze(1).detach())]
        shown.append([re.sub(r"\bj\d+|0x\w+", "_", line).replace("flambeau", "torch") for line in lines])
    assert shown[1] == shown[0]


@pytest.mark.parametrize("layout", ["strided", "jagged"])
def test_copies(layout):
    made = flambeau.nested.nested_tensor(
        [flambeau.ones(2, 3), flambeau.zeros(1, 3)], layout=getattr(flambeau, layout), requires_grad=True
    )
    file = io.BytesIO()
    flambeau.save(made, file)
    file.seek(0)
    loaded = flambeau.load(file, weights_only=False)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), loaded):
        assert parts(other) == parts(made)
        assert other.requires_grad and other.layout is made.layout
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(made * 2)


def test_ragged_sizes_are_no_numbers():
    size = flambeau.nested.nested_tensor([flambeau.ones(2), flambeau.ones(3)], layout=flambeau.jagged).size(1)
    assert size * 3 == 3 * size and repr(size * 3) == f"3*{size}"
    with pytest.raises(AttributeError, match="no number"):
        int(size)
    with pytest.raises(ValueError, match="indeterminate"):
        assert size < 100


def test_refused_by_name():
    made = flambeau.nested.nested_tensor([flambeau.ones(2), flambeau.ones(3)])
    with pytest.raises(NotImplementedError, match=r"Could not run 'aten::cumsum' .*there is no form of cumsum"):
        made.cumsum(0)
    with pytest.raises(NotImplementedError, match="to_padded_tensor"):
        flambeau.ones(2).to_padded_tensor(0.0)


def test_a_nested_network_trains():
    flambeau.manual_seed(0)
    net = flambeau.nn.Sequential(flambeau.nn.Linear(3, 8), flambeau.nn.Tanh(), flambeau.nn.Linear(8, 1))
    data = [flambeau.randn(n, 3) for n in (2, 5, 3)]
    batch = flambeau.nested.nested_tensor(data, layout=flambeau.jagged)
    target = flambeau.stack([part.sum() for part in data])
    optimizer = flambeau.optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = ((net(batch).sum(1).squeeze(-1) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
