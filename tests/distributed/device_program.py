"""Checks on 8 devices of one process. `python device_program.py NAME...` says for each whether it holds."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

CHECKS: dict[str, Callable[[], None]] = {}
STEPS = int(os.environ.get("STEPS", "6"))


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


def refused(kind: type, text: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except kind as error:
        assert text in str(error), str(error)
    else:
        raise AssertionError(f"not refused: {text}")


def libraries() -> tuple[Any, ...]:
    import flambeau as fb
    from flambeau.distributed import tensor

    return fb, tensor, fb.distributed.init_device_mesh


# --- tensors -------------------------------------------------------------------------------------------------------


@check
def meshes() -> None:
    init = libraries()[2]
    mesh, two = init("cpu", (8,)), init("cpu", (2, 4), mesh_dim_names=("dp", "tp"))
    assert repr(mesh) == "DeviceMesh((8,), 'cpu', stride=(1,))"
    assert repr(two) == "DeviceMesh((dp=2, tp=4), 'cpu', stride=(4, 1))"
    assert repr(two["tp"]) == "DeviceMesh((tp=4), 'cpu', stride=(1,))" and two["dp"].mesh.tolist() == [0, 4]
    assert two["dp", "tp"] == two and two.size(0) == 2 and mesh.get_coordinate() == (0,) and mesh == init("cpu", (8,))
    refused(
        KeyError, "Invalid mesh_dim_names ('x',) specified. Valid mesh_dim_names are ['dp', 'tp'].", lambda: two["x"]
    )
    refused(RuntimeError, "Slicing overlapping dim_names ('dp', 'dp') is not allowed.", lambda: two["dp", "dp"])
    refused(
        RuntimeError, "should not be bigger than default world size 1, but found 16 ranks!", lambda: init("cpu", (16,))
    )
    refused(RuntimeError, "there is no group", mesh.get_group)


@check
def unequal_parts_in_programs() -> None:
    """What lies in unequal parts is an input of a compiled function, and state that was there before it is updated."""
    fb, dt, init = libraries()
    mesh, seen = init("cpu", (8,)), []
    values = dt.distribute_tensor(fb.ones(10, 3), mesh, [dt.Shard(0)])
    total = fb.compile(lambda: values.sum() * 2, fullgraph=True)
    for wanted in (60, 120):
        assert total().item() == wanted
        values.mul_(2)
    for cut in (False, True):
        weight = fb.arange(30.0).view(10, 3)
        param = fb.nn.Parameter(dt.distribute_tensor(weight, mesh, [dt.Shard(0)]) if cut else weight)
        optimizer = fb.optim.Adagrad([param], lr=0.1)

        def step(param: Any = param, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            param.square().sum().backward()
            optimizer.step()

        run = fb.compile(step, fullgraph=True)
        for _ in range(3):
            run()
        seen.append((param.full_tensor() if cut else param).tolist())
    assert seen[0] == seen[1]


@check
def tensors() -> None:
    fb, dt, init = libraries()
    S, R = dt.Shard, dt.Replicate()
    mesh, two = init("cpu", (8,)), init("cpu", (2, 4), mesh_dim_names=("dp", "tp"))
    whole = fb.arange(16.0).reshape(8, 2)
    x = dt.distribute_tensor(whole.clone(), mesh, [S(0)])
    assert isinstance(x, dt.DTensor) and not isinstance(whole, dt.DTensor) and not hasattr(whole, "full_tensor")
    assert repr(x) == (
        "DTensor(local_tensor=tensor([[0., 1.]]), device_mesh=DeviceMesh((8,), 'cpu', stride=(1,)), placements=(Shard(dim=0),))"
    )
    assert x.to_local().tolist() == [[0.0, 1.0]] and x.device_mesh == mesh and str(x.placements[0]) == "S(0)"
    y = x + whole  # a plain tensor is the same on all devices
    assert y.placements == (S(0),) and fb.equal(y.full_tensor(), whole + whole) and y.sum().item() == 240
    assert repr(y.sum()) == "tensor(240.)"
    w = dt.distribute_tensor(fb.arange(8.0, requires_grad=True).detach().reshape(4, 2).requires_grad_(), two, [R, S(0)])
    plain = w.full_tensor().detach().requires_grad_()
    for one in (w, plain):
        (whole @ one.t()).pow(2).sum().backward()
    assert w.placements == w.grad.placements == (R, S(0)) and fb.allclose(w.grad.full_tensor(), plain.grad)
    w.grad = None
    w.full_tensor().pow(2).sum().backward()
    assert fb.equal(w.grad.full_tensor(), 2 * plain.detach())
    assert w.redistribute(placements=[S(1), R]).placements == (S(1), R)
    assert dt.distribute_tensor(fb.zeros(3, 8), two["tp"], [S(-1)]).placements == (R, S(1))
    assert dt.zeros(8, 2, device_mesh=mesh, placements=[S(0)]).placements == (S(0),)
    assert dt.DTensor.from_local(whole, mesh, [R]).full_tensor().tolist() == whole.tolist()


@check
def writes_keep_the_layout() -> None:
    fb, dt, init = libraries()
    t = fb.arange(20.0).view(10, 2)
    x = dt.distribute_tensor(t.clone(), init("cpu", (8,)), [dt.Shard(0)])  # unequal parts: two each in five of them
    assert x.placements == (dt.Shard(0),) and x.to_local().tolist() == t[:2].tolist() and fb.equal(x.full_tensor(), t)
    assert [len(part) for part in x._storage.host.held] == [2, 2, 2, 2, 2, 0, 0, 0] and "Shard(dim=0)" in repr(x)
    x.requires_grad_()
    (x * t).sum().backward()
    assert fb.equal(x.grad.full_tensor(), t) and x.grad.placements == (dt.Shard(0),)
    with fb.no_grad():
        x.add_(1)
    assert x.placements == (dt.Shard(0),) and fb.equal(x.full_tensor().detach(), t + 1)
    two = init("cpu", (2, 4), mesh_dim_names=("dp", "tp"))
    layer = fb.nn.Linear(8, 4)
    before = layer.weight
    dt.distribute_module(layer, two, lambda name, m, mesh: None)
    assert layer.weight is before and layer.weight.placements == (dt.Replicate(), dt.Replicate())
    from flambeau.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    parallelize_module(layer, two["tp"], ColwiseParallel())
    laid = (dt.Replicate(), dt.Shard(0))
    assert layer.weight is before and layer.weight.placements == laid == layer.bias.expand(4).detach().placements
    with fb.no_grad():
        layer.weight.copy_(fb.ones(4, 8))
        assert layer.weight.placements == laid
        layer.weight[0] = 3
        assert layer.weight.placements == laid and layer.weight.full_tensor().sum() == 48
        fb.nn.init.normal_(layer.weight)
    assert layer.weight.placements == laid
    layer.load_state_dict(fb.nn.Linear(8, 4).state_dict())
    assert layer.weight.placements == laid and layer.state_dict()["weight"].placements == laid
    file = io.BytesIO()
    fb.save(layer.state_dict(), file)
    file.seek(0)
    loaded = fb.load(file)["weight"]
    assert fb.equal(loaded, layer.weight.full_tensor()) and not isinstance(loaded, dt.DTensor)


@check
def refusals() -> None:
    fb, dt, init = libraries()
    from flambeau.distributed import fsdp
    from flambeau.distributed.tensor import parallel

    mesh, two, whole = init("cpu", (8,)), init("cpu", (2, 4)), fb.ones(8, 2)
    S, R = dt.Shard, dt.Replicate
    x = dt.distribute_tensor(whole, mesh, [S(0)])
    tall = dt.distribute_tensor(fb.ones(8, requires_grad=True), mesh, [S(0)])
    linear = fb.nn.Linear(8, 8)
    for kind, text, call in (
        (ValueError, "`placements` must have the same length as `device_mesh.ndim`! Found placements length: 1, and device_mesh."
         "ndim: 2.", lambda: dt.distribute_tensor(whole, two, [S(0)])),
        (AssertionError, "Sharding dim 2 greater than tensor ndim 2",
         lambda: dt.distribute_tensor(whole, mesh, [S(2)])),
        (RuntimeError, "should be used to distribute leaf tensors", lambda: dt.distribute_tensor(tall * 2, mesh, [R()])),
        (NotImplementedError, "Partial(sum)", lambda: dt.distribute_tensor(whole, mesh, [dt.Partial()])),
        (RuntimeError, "Can not redistribute from S(0) to P(sum)", lambda: x.redistribute(mesh, [dt.Partial()])),
        (NotImplementedError, "distribute_tensor(tensor", lambda: dt.DTensor.from_local(whole, mesh, [S(0)])),
        (RuntimeError, "to_local()", lambda: (tall * 2).to_local()),
        (RuntimeError, "full_tensor().detach().numpy()", x.numpy),
        (TypeError, "use distribute_tensor", lambda: dt.DTensor(whole, mesh, [R()])),
        (AttributeError, "'Tensor' object has no attribute 'placements'", lambda: whole.placements),
        (NotImplementedError, "reduce_dtype", lambda: fsdp.fully_shard(
            linear, mesh=mesh, mp_policy=fsdp.MixedPrecisionPolicy(param_dtype=fb.bfloat16, reduce_dtype=fb.float32))),
        (ValueError, "must be a multiple of reshard_after_forward=3", lambda: fsdp.fully_shard(linear, reshard_after_forward=3)),
        (NotImplementedError, "set_gradient_divide_factor", lambda: fsdp.fully_shard(
            fb.nn.Linear(8, 8)).set_gradient_divide_factor(2)),
        (ValueError, "1D", lambda: parallel.parallelize_module(linear, two, parallel.ColwiseParallel())),
        (NotImplementedError, "ColwiseParallel currently only support nn.Linear and nn.Embedding!",
         lambda: parallel.parallelize_module(fb.nn.ReLU(), mesh, parallel.ColwiseParallel())),
        (ValueError, "how='sideways'", lambda: fb.parallel.shard(linear, "sideways")),
    ):  # fmt: skip
        refused(kind, text, call)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        parallel.parallelize_module(linear, mesh, {"nobody": parallel.ColwiseParallel()})
    assert "Parallelize plan key 'nobody' could not be resolved" in str(warned[0].message)
    lower = fsdp.fully_shard(
        fb.nn.Linear(8, 8), mp_policy=fsdp.MixedPrecisionPolicy(fb.bfloat16, output_dtype=fb.float32)
    )
    made = lower(fb.ones(8, 8))
    made.sum().backward()
    assert made.dtype is lower.weight.grad.dtype is fb.float32 and made[0, 0] == made[0, 0].bfloat16()
    assert not isinstance(linear.weight, dt.DTensor) and repr(fsdp.fully_shard(linear)).startswith("FSDPLinear(")


# --- training ------------------------------------------------------------------------------------------------------


def models() -> dict[str, Callable[[], tuple[Any, Any, Any]]]:
    fb, _, _ = libraries()
    nn, F = fb.nn, fb.nn.functional

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.first, self.second, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
            self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            b, t, c = x.shape
            y = self.first(x)
            q, k, v = (m(y).view(b, t, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)
            x = x + self.o(a)
            return x + self.down(F.gelu(self.up(self.second(x))))

    class GPT(nn.Module):
        def __init__(self, words: int = 65, width: int = 32, length: int = 16, blocks: int = 1) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList(Block(width, 4) for _ in range(blocks))
            self.last, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
            self.head.weight = self.words.weight

        def forward(self, i: Any) -> Any:
            x = self.words(i) + self.places(fb.arange(i.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.last(x))

    def mlp() -> Any:
        model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        return model, fb.randn(16, 16).double(), fb.randint(0, 10, (16,))

    def convolutions() -> Any:
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 8),
        )  # fmt: skip
        return model, fb.randn(8, 3, 8, 8).double(), fb.randint(0, 8, (8,))

    def gpt() -> Any:
        return GPT(), fb.randint(0, 65, (8, 16)), fb.randint(0, 65, (8, 16))

    return {"mlp": mlp, "convolutions": convolutions, "gpt": gpt}


def fully(model: Any) -> None:
    fb, _, _ = libraries()
    for block in getattr(model, "blocks", ()):
        fb.distributed.fsdp.fully_shard(block)
    fb.distributed.fsdp.fully_shard(model)


def two_sides(model: Any) -> None:
    """Layers cut in columns and rows over 4 devices, and all that over 2."""
    fb, _, init = libraries()
    from flambeau.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init("cpu", (2, 4), mesh_dim_names=("dp", "tp"))
    columns, rows = ColwiseParallel(), RowwiseParallel()
    plan = {f"blocks.*.{name}": columns for name in ("q", "k", "v", "up")} | {"blocks.*.[od]*": rows}
    parallelize_module(model, mesh["tp"], plan if hasattr(model, "blocks") else {"0": columns, "2": rows})
    fb.distributed.fsdp.fully_shard(model, mesh=mesh["dp"])


def one_line(how: str) -> Callable[[Any], None]:
    def lay(model: Any) -> None:
        fb, _, init = libraries()
        fb.parallel.shard(model, how, init("cpu", (2, 4)) if "," in how else None)

    return lay


WAYS: dict[str, Callable[[Any], None]] = {"alone": lambda model: None, "fully": fully, "two sides": two_sides}
WAYS |= {how: one_line(how) for how in ("data", "fsdp", "tensor", "data,tensor", "fsdp,tensor")}
_alone: dict[str, Any] = {}


def trained(name: str, way: str, compiled: bool) -> tuple[list[float], dict[str, Any], Any, Any]:
    """Losses of 20 steps, and the whole state after them."""
    fb, dt, _ = libraries()
    fb.manual_seed(0)
    model, x, y = models()[name]()
    model = model.double()
    WAYS[way](model)
    optimizer = fb.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-5)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = fb.nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = fb.compile(step, fullgraph=True) if compiled else step
    losses = [run(x, y).item() for _ in range(STEPS)]
    state = {k: v.full_tensor() if isinstance(v, dt.DTensor) else v for k, v in model.state_dict().items()}
    return losses, state, model, optimizer


def equal_to_one_device(name: str, way: str, compiled: bool) -> None:
    fb, _, _ = libraries()
    if name not in _alone:
        _alone[name] = trained(name, "alone", False)[:2]
    losses, state, model, optimizer = trained(name, way, compiled)
    assert _alone[name][0][-1] < _alone[name][0][0]
    assert max(abs(a - b) for a, b in zip(losses, _alone[name][0], strict=True)) < 1e-9
    for key, value in _alone[name][1].items():
        assert (state[key] - value).abs().max() < 1e-9, key
    if way in ("fsdp", "fully"):
        last = fb.parallel.explain(model, optimizer).splitlines()[-1].replace(",", "").split()
        whole, most = int(last[-2]), int(last[-1])
        assert most <= whole * 1.15 / 8, (most, whole)
        grads = [p.grad for p in model.parameters()]
        assert sum(g.to_local().numel() for g in grads) <= sum(g.numel() for g in grads) * 1.15 / 8


for _name in ("mlp", "convolutions", "gpt"):
    for _way in WAYS:
        for _compiled in (False, True):
            if _way == "alone" or (_name == "convolutions" and _way == "two sides"):
                continue
            CHECKS[f"{_name}, {_way}, {'compiled' if _compiled else 'eager'}"] = (
                lambda n=_name, w=_way, c=_compiled: equal_to_one_device(n, w, c)  # type: ignore[misc]
            )


@check
def explanation() -> None:
    fb, _, init = libraries()
    model = fb.parallel.shard(fb.nn.Sequential(fb.nn.Linear(16, 8), fb.nn.Linear(8, 3)), "fsdp")
    assert fb.parallel.explain(model).splitlines() == [
        "name      shape    placements                         bytes  bytes per device",
        "0.weight  [8, 16]  S(0)                                 512                64",
        "0.bias    [8]      S(0)                                  32                 4",
        "1.weight  [3, 8]   S(1)                                  96                12",
        "1.bias    [3]      R                                     12                12",
        "sum                0.141 of the whole on each device    652                92",
    ]
    from flambeau.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    nn, x = fb.nn, fb.ones(16, 64)
    block = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64), nn.LayerNorm(64))
    parallelize_module(block, init("cpu", (8,)), {"1": ColwiseParallel(), "3": RowwiseParallel()})

    def step() -> Any:
        loss = block(x).square().sum()
        loss.backward()
        return loss.detach()

    # one sum of the activations forwards, one backwards
    assert fb.parallel.explain(block, step=fb.compile(step)).splitlines()[-3:] == [
        "collectives of a step  calls  bytes",
        "all_reduce                 2  8,192",
        "sum                        2  8,192",
    ]
    refused(ValueError, "that flambeau.compile has made", lambda: fb.parallel.explain(block, step=step))


@check
def nothing_says_where() -> None:
    """A compiled function that takes no tensors runs on PyTorch's default device, whatever JAX's is."""
    import jax

    fb, *_ = libraries()
    made = lambda: fb.zeros(3) + 1  # noqa: E731
    compiled = fb.compile(made)
    with jax.default_device(jax.devices()[1]):
        assert compiled()._array.devices() == compiled()._array.devices() == {jax.devices()[0]}


if __name__ == "__main__":
    for _asked in sys.argv[1:]:
        try:
            CHECKS[_asked]()
            print(f"\n{_asked}: holds", flush=True)
        except Exception:
            print(f"\n{_asked}: {traceback.format_exc()}", flush=True)
