"""The meta device: tensors that have a shape and a dtype and no values, in both libraries."""

from __future__ import annotations

import io
import time
import warnings

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import flambeau as fb
import flambeau.nn.functional
import flambeau.utils.checkpoint

ROWS = """
m(3)
m(3, dtype=t.int64)
m(2, 0)
m(())
m(3, requires_grad=True) * 2
nn.Parameter(m(3))
nn.Linear(2, 3, device="meta").weight
str(m(())), f"{m(())}", "%s" % m(2)
format(m(()), ".2f")
m(3).item()
m(1).item()
m(3).numpy()
m(3).numpy(force=True)
m(1).tolist()
bool(m(1))
bool(m(3))
int(m(1))
float(m(1))
m(3).to("cpu")
m(3).cpu()
m(3).__array__()
m(3).nonzero()
m(3)[m(3, dtype=t.bool)]
t.masked_select(m(3), m(3) > 0)
m(3) + t.ones(())
t.ones(()) + m(3)
m(3) + 1
m(3).copy_(t.ones(3))
t.ones(3).copy_(m(3))
m(3).device, m(3).is_meta, m(3).is_cpu, t.ones(3).is_meta, m(3).get_device()
t.rand(3, device="meta:0").device, t.device("meta", 0)
t.rand(3, device="meta"), t.randn(2, device="meta"), t.randint(5, (3,), device="meta"), t.randperm(5, device="meta")
t.arange(5, device="meta"), t.linspace(0, 1, 5, device="meta"), t.eye(3, device="meta"), t.full((2,), 3, device="meta")
t.tensor([1, 2], device="meta"), t.as_tensor([1.0, 2], device="meta"), t.asarray([1], device="meta")
t.bernoulli(m(3)), t.multinomial(m(3), 2), t.normal(m(3), m(3)), t.poisson(m(3)), t.normal(0.0, 1.0, (3,), device="meta")
m(3).normal_(), m(3).random_(4), m(3).exponential_(), m(3).bernoulli_(0.3), m(3).fill_(2), m(3).zero_()
F.dropout(m(3)), F.alpha_dropout(m(3), training=True), F.rrelu(m(3), training=True), F.gumbel_softmax(m(2, 3))
m(3).data_ptr(), m(3).untyped_storage().nbytes(), m(3).untyped_storage().data_ptr(), m(3).storage().size()
m(3).untyped_storage(), m(3).storage()
m(3).untyped_storage()[0]
m(3).type(), m(3).half(), m(3).to(t.int64), m(2, 3).to("meta", t.float16)
list(m(2)), len(m(2))
m(2, 3).t().stride(), m(2, 3).t().is_contiguous(), m(2, 3).t().contiguous().stride()
m(2, 3)[0], m(2, 3)[:, m(2, dtype=t.int64)], m(2, 3)[t.tensor([0, 1])], m(5)[1:3].storage_offset(), m(3)[None]
m(3)[5]
t.ones(2, 3).t().to("meta").stride(), t.ones(3).to(m(3)), t.ones(3).type_as(m(3))
m(3).new_zeros(2), m(3).new_tensor([1.0]), t.zeros_like(m(3)), t.zeros_like(m(3), device="cpu"), t.tensor(m(3))
t.sort(m(3)), m(3).max(0), m(2, 3).topk(1), t.linalg.svd(m(3, 3))
m(3).pin_memory()
m(3).share_memory_()
t.empty(3).set_(m(3))
t.add(m(3), 1, out=m(0))
t.add(m(3), 1, out=t.ones(3))
t.add(t.ones(3), 1, out=m(3))
setattr(m(3), "data", t.ones(3))
setattr(t.ones(3), "grad", m(3))
m(4).view(t.complex64), m(3).view(t.int32), m(3).resize_(5), m(6).as_strided((2, 2), (3, 1)).stride()
copy.deepcopy(m(3)), m(3).clone(), m(3).detach(), pickle.loads(pickle.dumps(m(3, requires_grad=True)))
saved(t, {"a": m(3), "p": nn.Parameter(m(2, 3).half()), "t": m(2, 3).t()})
saved(t, {"t": m(2, 3).t()})["t"].stride()
saved(t, {"a": t.ones(2), "b": t.ones(2, 3).t()}, map_location="meta")
saved(t, {"a": t.ones(2)}, map_location=t.device("meta"))["a"].device
nn.init.orthogonal_(m(3, 3)), nn.init.sparse_(m(3, 3), 0.5), nn.init.dirac_(m(3, 3, 3)), nn.init.trunc_normal_(m(3, 3))
nn.Linear(2, 3, device="meta").to("cpu")
nn.Linear(2, 3, device="meta").cpu()
nn.Linear(2, 3, device="meta").to_empty(device="cpu").weight.device
nn.Linear(2, 3).to("meta").state_dict()
nn.Linear(2, 3).load_state_dict(nn.Linear(2, 3, device="meta").state_dict())
nn.BatchNorm2d(3, device="meta").load_state_dict(nn.BatchNorm2d(3).state_dict(), assign=True)
assigned(nn).weight, assigned(nn).running_mean
copy.deepcopy(nn.Linear(2, 3, device="meta")).half().weight
nn.utils.skip_init(nn.Linear, 2, 3).weight.device, nn.utils.skip_init(nn.Linear, 2, 3, device="meta").weight.device
nn.Conv2d(3, 4, 3, device="meta")(m(1, 3, 8, 8)), nn.GRU(3, 4, device="meta")(m(5, 2, 3))[0].shape
nn.MultiheadAttention(4, 2, device="meta")(m(5, 2, 4), m(5, 2, 4), m(5, 2, 4))
nn.TransformerEncoderLayer(4, 2, device="meta")(m(5, 2, 4)), nn.BatchNorm2d(3, device="meta")(m(2, 3, 4, 4))
nn.Embedding(3, 4, device="meta")(t.zeros(2, dtype=t.int64)), F.cross_entropy(m(3, 4), m(3, dtype=t.int64))
nn.utils.parametrizations.weight_norm(nn.Linear(2, 3, device="meta")).weight
t.func.vmap(t.sin)(m(3)), t.func.grad(lambda x: (x * x).sum())(m(3)), t.func.jacrev(t.sin)(m(3))
t.func.jvp(t.sin, (m(3),), (m(3),)), t.func.hessian(lambda x: (x**3).sum())(m(3))
t.utils.checkpoint.checkpoint(lambda x: (x * 2).sum(), m(3, requires_grad=True), use_reentrant=False)
t.testing.assert_close(m(3), m(3))
t.testing.assert_close(m(3), m(2))
t.autograd.grad((m(3, requires_grad=True) ** 3).sum(), m(3, requires_grad=True))
""".strip().splitlines()


def saved(t, value, **options):
    file = io.BytesIO()
    t.save(value, file)
    file.seek(0)
    return t.load(file, **options)


def assigned(nn):
    layer = nn.BatchNorm2d(3, device="meta")
    layer.load_state_dict(nn.BatchNorm2d(3).state_dict(), assign=True)
    return layer


def result(t, text):
    """What a row prints or raises in one library."""
    names = {"t": t, "nn": t.nn, "F": t.nn.functional, "m": lambda *s, **k: t.empty(*s, device="meta", **k)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return None, repr(eval(text, {**globals(), **names})).replace("flambeau", "torch")
        except Exception as error:
            return type(error).__name__, str(error)


@pytest.mark.parametrize("text", ROWS)
def test_as_torch_has_it(text):
    (kind, theirs), (ours_kind, ours) = result(torch, text), result(fb, text)
    assert kind == ours_kind, f"{ours_kind}: {ours}, torch: {kind}: {theirs}"
    if kind is None:
        assert ours == theirs
    else:
        assert theirs.split("This implementation")[0].split(". You may")[0].split("; expected")[0] in ours


MIXED = ["m + f", "f + m", "f.add(m)", "t.cat([m, f])", "t.where(m > 0, m, f)", "m.mul_(f)", "f.mul_(m)", "m @ f"]


@pytest.mark.parametrize("text", MIXED)
def test_devices_do_not_mix(text):
    with pytest.raises(RuntimeError, match="is not on the expected device"):
        eval(text, {"t": fb, "m": fb.empty(3, device="meta"), "f": fb.ones(3)})


def test_contexts_and_defaults():
    for t in (torch, fb):
        state = t.get_rng_state()
        with t.device("meta"):
            made = (
                t.ones(2), t.nn.Linear(2, 3).weight, t.tensor([1.0]), t.rand(2), t.as_tensor(np.ones(2)), t.asarray([1.0]),
                t.nn.TransformerEncoderLayer(8, 2).linear1.weight, t.nn.LSTM(2, 3).weight_hh_l0,
            )  # fmt: skip
            assert all(x.is_meta for x in made)
            here = t.Tensor(2, 3), t.Tensor([1]), t.FloatTensor(2), t.from_numpy(np.ones(2)), t.zeros(2, device="cpu")
            assert not any(x.is_meta for x in here)
            with t.device("cpu"):
                assert not t.ones(2).is_meta
        assert t.equal(state, t.get_rng_state())
        t.set_default_device("meta")
        try:
            assert t.ones(2).is_meta and t.get_default_device() == t.device("meta")
        finally:
            t.set_default_device(None)
        assert not t.ones(2).is_meta


def test_the_way_of_a_low_memory_load():
    """Made on the meta device by a patched `register_parameter`, as accelerate does; filled from a state dict."""

    def patched(module, name, param, register=fb.nn.Module.register_parameter):
        register(module, name, param)
        if param is not None:
            held = module._parameters[name]
            module._parameters[name] = type(held)(held.to("meta"), requires_grad=held.requires_grad)

    before = fb.nn.Module.register_parameter
    fb.nn.Module.register_parameter = patched
    try:
        model = fb.nn.Sequential(fb.nn.Linear(2, 3), fb.nn.BatchNorm1d(3))
    finally:
        fb.nn.Module.register_parameter = before
    assert all(p.is_meta and p.requires_grad for p in model.parameters())
    full = fb.nn.Sequential(fb.nn.Linear(2, 3), fb.nn.BatchNorm1d(3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.load_state_dict(full.state_dict())
    assert len(caught) == 4 and "for 0.weight: copying from a non-meta parameter" in str(caught[0].message)
    assert model[0].weight.is_meta
    model.load_state_dict(full.state_dict(), assign=True)
    x = fb.ones(4, 2)
    assert fb.equal(model(x), full(x))


def test_parameters_are_other_objects_after_a_move():
    for t in (torch, fb):
        layer = t.nn.Linear(2, 3)
        weight = layer.weight
        layer.to("meta")
        assert layer.weight is not weight
        weight = layer.weight
        layer.to_empty(device="cpu")
        assert layer.weight is not weight and isinstance(layer.weight, t.nn.Parameter)


OPTIMIZERS = "SGD Adam AdamW Adagrad RMSprop Adadelta Adamax NAdam RAdam Rprop".split()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    def run(t):
        layer = t.nn.Linear(2, 3, device="meta")
        optimizer = getattr(t.optim, name)(layer.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            layer(t.empty(4, 2, device="meta")).sum().backward()
            t.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
        return str(layer.weight.grad), {k: str(v) for k, v in optimizer.state[layer.weight].items()}

    assert run(fb) == run(torch)


def test_writes_count():
    for t in (torch, fb):
        x = t.empty(2, 3, device="meta")
        x[0] = 1
        x.add_(1)
        x[:, 0].normal_()
        x.uniform_()
        assert x._version == 4 and x.is_meta
        x = t.empty(3, device="meta", requires_grad=True)
        x.register_hook(lambda g: g * 2)
        y = x * 2
        y.uniform_()
        (y.sum() + x[1:].sum()).backward()
        assert x.grad.is_meta and x.grad.shape == (3,)


def test_a_compiled_function_runs_uncompiled():
    layer = fb.nn.Linear(2, 3, device="meta")
    compiled = fb.compile(lambda x: layer(x).relu())
    with pytest.warns(UserWarning, match="meta"):
        assert compiled(fb.empty(4, 2, device="meta")).shape == (4, 3)
    with pytest.raises(RuntimeError, match="meta"):
        fb.compile(lambda x: layer(x), fullgraph=True)(fb.empty(4, 2, device="meta"))


def test_summary_and_export_of_models_without_values():
    def made(device):
        fb.manual_seed(0)
        return fb.nn.Sequential(fb.nn.Conv2d(3, 4, 3), fb.nn.BatchNorm2d(4), fb.nn.Flatten(), fb.nn.Linear(144, 5)).to(
            device
        )

    empty = made("meta")
    assert str(fb.summary(empty, (2, 3, 8, 8))) == str(fb.summary(made("cpu"), (2, 3, 8, 8)))
    assert empty[0].weight.is_meta and empty[1].running_mean.is_meta
    exported = fb.export(empty, fb.empty(2, 3, 8, 8, device="meta"))
    with pytest.raises(NotImplementedError, match="no data"):
        exported.save("nowhere")


def test_a_model_of_70_billion_parameters():
    """Sizes of Llama 3 70B: built in seconds, and run for its shapes."""
    nn = fb.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.o = (nn.Linear(8192, 8192, bias=False) for _ in range(2))
            self.k, self.v = (nn.Linear(8192, 1024, bias=False) for _ in range(2))
            self.gate, self.up = (nn.Linear(8192, 28672, bias=False) for _ in range(2))
            self.down = nn.Linear(28672, 8192, bias=False)
            self.before, self.after = nn.RMSNorm(8192), nn.RMSNorm(8192)

        def forward(self, x):
            y = self.before(x)
            q, k, v = (w(y).unflatten(-1, (-1, 128)).transpose(1, 2) for w in (self.q, self.k, self.v))
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + self.o(y.transpose(1, 2).flatten(2))
            y = self.after(x)
            return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))

    start = time.perf_counter()
    with fb.device("meta"):
        model = nn.Sequential(
            nn.Embedding(128256, 8192),
            *(Block() for _ in range(80)),
            nn.RMSNorm(8192),
            nn.Linear(8192, 128256, bias=False),
        )
    model = model.to(fb.bfloat16)
    took = time.perf_counter() - start
    assert sum(p.numel() for p in model.parameters()) == 70_553_706_496
    assert took < 10, took
    made = model(fb.zeros(1, 2048, dtype=fb.int64, device="meta"))
    assert made.shape == (1, 2048, 128256) and made.dtype is fb.bfloat16
