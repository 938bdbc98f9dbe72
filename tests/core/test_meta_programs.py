"""What packages do with models on the meta device: the same program in both libraries, compared line by line."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from typing import Any

import pytest
import torch
import torch.nn.utils.prune
import torch.utils.checkpoint

import flambeau as fb
import flambeau.nn.functional
import flambeau.nn.utils.prune
import flambeau.utils.checkpoint

# as `init_empty_weights` and `set_module_tensor_to_device` of the package accelerate work, and a model for them
SETUP = r"""
m = lambda *s, **k: torch.empty(*s, device="meta", **k)


@contextlib.contextmanager
def init_on_device(device, include_buffers=False):
    old, old_buffer = nn.Module.register_parameter, nn.Module.register_buffer
    makers = {name: getattr(torch, name) for name in ("empty", "zeros", "ones", "full")}

    def register_parameter(module, name, param):
        old(module, name, param)
        if param is not None:
            held = module._parameters[name]
            options = held.__dict__
            options["requires_grad"] = param.requires_grad
            module._parameters[name] = type(held)(held.to(device), **options)

    def register_buffer(module, name, buffer, persistent=True):
        old_buffer(module, name, buffer, persistent=persistent)
        if buffer is not None:
            module._buffers[name] = module._buffers[name].to(device)

    def there(function):
        return lambda *args, **kwargs: function(*args, **{**kwargs, "device": device})

    try:
        nn.Module.register_parameter = register_parameter
        if include_buffers:
            nn.Module.register_buffer = register_buffer
            for name, function in makers.items():
                setattr(torch, name, there(function))
        yield
    finally:
        nn.Module.register_parameter, nn.Module.register_buffer = old, old_buffer
        for name, function in makers.items():
            setattr(torch, name, function)


def set_tensor(module, name, device, value=None):
    *path, name = name.split(".")
    for part in path:
        module = getattr(module, part)
    old = getattr(module, name)
    if old.device == torch.device("meta") and device not in ("meta", torch.device("meta")) and value is None:
        raise ValueError(f"{name} is on the meta device, we need a `value`")
    with torch.no_grad():
        new = old.to(device) if value is None else value.to(device)
        if name in module._buffers:
            module._buffers[name] = new
        else:
            module._parameters[name] = type(module._parameters[name])(new, requires_grad=old.requires_grad)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 4)
        self.l = nn.Linear(4, 10, bias=False)
        self.l.weight = self.emb.weight
        self.n = nn.LayerNorm(4)
        self.register_buffer("pos", torch.arange(5), persistent=False)
        self.register_buffer("k", torch.zeros(3))
        self.drop = nn.Dropout(0.1)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x):
        h = self.drop(self.emb(x) + self.pos[: x.shape[1]].unsqueeze(-1))
        return self.l(self.n(self.rnn(self.conv(h.mT).mT)[0]))
"""

LINES = r"""
with init_on_device('meta'): net=Net()
[(k, str(v.device), v.requires_grad) for k, v in net.named_parameters()], [(k, str(v.device)) for k, v in net.named_buffers()]
net.l.weight is net.emb.weight
with init_on_device('meta',True): net2=Net()
[(k, str(v.device)) for k, v in net2.named_buffers()]
with torch.device('meta'): net3=Net()
net3(torch.zeros(2, 5, dtype=torch.long, device="meta"))
net3.l.weight is net3.emb.weight, len(list(net3.parameters())), sorted(net3.state_dict())
full = Net()
[set_tensor(net, k, "cpu", v) for k, v in full.state_dict().items() if k != "pos"]
[(k, str(v.device)) for k, v in net.named_parameters()]
set_tensor(net3, "n.weight", "cpu")
net3.n.weight.to("cpu")
net3.load_state_dict(full.state_dict(), assign=True)
net3.l.weight is net3.emb.weight, net3.pos.is_meta, net3.n.weight.is_meta
net3.l.weight.requires_grad, type(net3.l.weight).__name__, net3.rnn.weight_ih_l0.is_meta
with torch.device('meta'): net4=Net()
net4.to_empty(device="cpu").rnn.weight_ih_l0.shape, net4.pos.device, net4.l.weight is net4.emb.weight
net4.half().conv.weight.dtype, net4.to(torch.float64).n.weight.dtype
copy.deepcopy(net2).emb.weight
repr(net2) == repr(full)
sum(p.numel() * p.element_size() for p in net2.parameters())
net2.apply(lambda mod: nn.init.normal_(mod.weight) if isinstance(mod, nn.Linear) else None) is net2
net2.requires_grad_(False).emb.weight.requires_grad
net2.train(False).training
with torch.device('meta'): lz=nn.LazyLinear(3)
lz(m(2, 5)).shape, lz.weight
lz.weight.is_meta
with torch.device('meta'): mha=nn.TransformerDecoderLayer(8,2,batch_first=True)
mha(m(2, 3, 8), m(2, 4, 8)).shape
with torch.no_grad(): v=mha.eval()(m(2,3,8),m(2,4,8)).shape
v
with torch.device('meta'): enc=nn.TransformerEncoder(nn.TransformerEncoderLayer(8,2,batch_first=True),2)
enc(m(2, 3, 8)).shape, enc.layers[1].linear1.weight.is_meta
with torch.inference_mode(): v=enc.eval()(m(2,3,8)).shape
v
torch.utils.checkpoint.checkpoint(net2.n, m(2, 4, requires_grad=True), use_reentrant=False).sum().backward()
torch.nn.utils.parameters_to_vector(net2.parameters()).shape
ema = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 3, device="meta")); ema.module.weight.is_meta
sgd = torch.optim.SGD(nn.Linear(2, 3, device="meta").parameters(), 0.1)
torch.optim.lr_scheduler.StepLR(sgd, 1).get_last_lr()
o = torch.optim.AdamW(net2.requires_grad_(True).parameters())
net2(torch.zeros(2, 5, dtype=torch.long, device="meta")).sum().backward()
o.step(); len(o.state_dict()["state"])
so = io.BytesIO(); torch.save(o.state_dict(), so); so.seek(0); d = torch.load(so); d["state"][0]["exp_avg"]
f = io.BytesIO(); torch.save(full.state_dict(), f); f.seek(0)
sd = torch.load(f, map_location="meta")
sd["emb.weight"], sd["l.weight"].untyped_storage().data_ptr() == 0
with torch.device('meta'): net5=Net()
net5.load_state_dict(sd, assign=True)
net5.emb.weight
packed = nn.utils.rnn.pack_padded_sequence(m(3, 5, 4), torch.tensor([5, 3, 2]), batch_first=True)
nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)[0].shape
q = m(2, 4, 8, 16); F.scaled_dot_product_attention(q, q, q, is_causal=True).shape
torch.tril(m(3, 3, dtype=torch.bool)), torch.full((3, 3), float("-inf"), device="meta").triu(1)
inv = 1.0 / (10000 ** (torch.arange(0, 8, 2, device="meta").float() / 8)); torch.outer(torch.arange(4, device="meta").float(), inv).cos().shape
x = m(2, 3); x.masked_fill_(x > 0, 0.0)[..., :1].expand(-1, 4).contiguous().shape
x = m(4); x[1:] += 1; x[0] *= 2; x.clamp_(0, 1); x
a, b = m(4, 6).chunk(2, -1); (F.silu(a) * b).shape
m(2, 3).split([1, 2], 1)[1].shape, torch.repeat_interleave(m(2, 3), 2, 0).shape, m(2, 3).repeat(2, 2).shape
torch.einsum("bhqd,bhkd->bhqk", m(1, 2, 3, 4), m(1, 2, 5, 4)).softmax(-1).shape
m(3).float().half().bfloat16().dtype, m(3).long().dtype, m(3).to(torch.float8_e4m3fn)
torch.zeros(2).to("meta").add_(1).sum()
m(2, 3, dtype=torch.complex64).abs().dtype, torch.fft.fft(m(4)).dtype
nn.utils.prune.l1_unstructured(nn.Linear(2, 3, device="meta"), "weight", 1)
F.one_hot(m(3, dtype=torch.long), 5).shape, torch.bucketize(m(3), m(4)).dtype, torch.searchsorted(m(4), m(3)).shape
torch.topk(m(3, 5), 2), torch.sort(m(3)).indices, torch.cumsum(m(3, dtype=torch.int32), 0).dtype, m(3, dtype=torch.bool).sum().dtype
F.conv_transpose2d(m(1, 3, 4, 4), m(3, 2, 3, 3), stride=2).shape, F.max_pool2d(m(1, 3, 4, 4), 2).shape, F.adaptive_avg_pool2d(m(1, 3, 5, 5), 1).shape
nn.functional.batch_norm(m(2, 3, 4), m(3), m(3), training=True).shape
torch.where(m(3) > 0, 1.0, 0.0).dtype, torch.where(m(3) > 0, m(3), 2)
m(3) @ m(3), m(2, 3) @ m(3), torch.bmm(m(2, 3, 4), m(2, 4, 5)).shape
m(2, 3).view(4)
m(2, 3).reshape(-1, 4)
m(3)[m(2, 2, dtype=torch.long)].shape
m(3).scatter_(0, m(2, dtype=torch.long), m(2)), m(3).index_add(0, m(2, dtype=torch.long), m(2)), m(3).gather(0, m(2, dtype=torch.long))
"""


def told(names: dict[str, Any], line: str) -> str:
    """What a line gives, or raises; a line may be statements and an expression at the end."""
    head, separator, tail = line.rpartition("; ")
    try:
        if separator and not line.startswith(("with ", "[")):
            exec(head, names)
            return repr(eval(tail, names))
        try:
            code = compile(line, "<line>", "eval")
        except SyntaxError:
            exec(line, names)
            return "done"
        return repr(eval(code, names))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def run(library: Any) -> dict[str, str]:
    names: dict[str, Any] = {
        "torch": library, "nn": library.nn, "F": library.nn.functional, "contextlib": contextlib, "copy": copy, "io": io,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(SETUP, names)
        return {line: told(names, line).replace("flambeau", "torch") for line in LINES.strip().splitlines()}


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, str], dict[str, str]]:
    return run(fb), run(torch)


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_line(both: tuple[dict[str, str], dict[str, str]], line: str) -> None:
    ours, theirs = both
    assert ours[line] == theirs[line] or ("Error: " in theirs[line] and theirs[line][:120] in ours[line]), (
        ours[line],
        theirs[line],
    )
