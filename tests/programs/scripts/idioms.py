import copy, functools, sys, time, warnings, torch, torch.nn as nn, torch.nn.functional as F
import torch.utils.data as data
from torch import Tensor, LongTensor, FloatTensor, optim
from torch.types import Device, Number
from torch.nn import Module, Linear, ReLU, Sequential, Parameter
from torch.nn.modules.utils import _pair
from torch.nn.utils import parameters_to_vector, vector_to_parameters, clip_grad_norm_
from torch.optim import Adam, SGD, Optimizer
from torch.optim.lr_scheduler import (
    StepLR,
    _LRScheduler,
    LRScheduler,
    ExponentialLR,
    SequentialLR,
    LinearLR,
    ConstantLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    PolynomialLR,
)
from torch.optim.swa_utils import AveragedModel, SWALR, update_bn
from torch.nn.modules.loss import _Loss
from torch.nn.modules.module import Module as M2
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import default_collate
from torch.utils.data.sampler import SubsetRandomSampler
from torch.utils.data.dataset import Dataset
from typing import Any, Callable, Dict, List, Optional, Tuple, Union
from tqdm import tqdm, trange

torch.set_printoptions(precision=3, sci_mode=False)
torch.manual_seed(0)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
device = "cuda:0" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
print(
    DEVICE,
    device,
    torch.device("cpu") == DEVICE,
    DEVICE.type,
    DEVICE.index,
    str(DEVICE),
    torch.cuda.device_count(),
    torch.get_num_threads() > 0,
)
torch.set_num_threads(1)
if DEVICE.type == "cuda":
    torch.cuda.empty_cache()
    torch.cuda.synchronize()


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class Model(nn.Module):
    def __init__(
        self, dims: List[int], act: Callable[..., nn.Module] = Swish, p: Optional[float] = None
    ) -> None:
        super().__init__()
        layers: List[nn.Module] = []
        for i, o in zip(dims[:-1], dims[1:]):
            layers += [nn.Linear(i, o), act()]
        self.layers = nn.ModuleList(layers[:-1])
        self.heads = nn.ModuleDict({"cls": nn.Linear(dims[-1], 2), "reg": nn.Linear(dims[-1], 1)})
        self.temps = nn.ParameterList([nn.Parameter(torch.ones(1) * i) for i in range(2)])
        self.scale = nn.ParameterDict({"a": nn.Parameter(torch.ones(2))})
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("none", None)
        self.register_parameter("nothing", None)

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        for l in self.layers:
            x = l(x)
        self.steps += 1
        return {k: h(x) for k, h in self.heads.items()}

    def extra_repr(self) -> str:
        return f"steps={self.steps.item()}"

    @property
    def device(self):
        return next(self.parameters()).device

    @property
    def n_params(self) -> int:
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


m = Model([4, 8, 8]).to(DEVICE)
print(m, m.n_params, m.device, m.steps)
x = torch.randn(16, 4, device=DEVICE)
yc = torch.randint(2, (16,))
yr = torch.randn(16, 1)
opt = Adam(m.parameters(), lr=1e-2, eps=1e-8)
sched = SequentialLR(opt, [LinearLR(opt, 0.1, total_iters=3), ExponentialLR(opt, 0.9)], milestones=[3])
meter = {"loss": 0.0, "n": 0}
pbar = tqdm(range(6), desc="train", file=sys.stderr)
for step in pbar:
    out = m(x)
    loss = F.cross_entropy(out["cls"], yc) + 0.5 * F.mse_loss(out["reg"], yr)
    opt.zero_grad()
    loss.backward()
    opt.step()
    sched.step()
    meter["loss"] += loss.item() * x.size(0)
    meter["n"] += x.size(0)
    pbar.set_postfix(loss=f"{loss.item():.4f}", lr=opt.param_groups[0]["lr"])
print(meter["loss"] / meter["n"], sched.get_last_lr(), m.steps, m.state_dict().keys())


@torch.no_grad()
def evaluate(m: nn.Module, x: Tensor) -> Tuple[float, Tensor]:
    was = m.training
    m.eval()
    o = m(x)
    m.train(was)
    p = o["cls"].softmax(-1)
    return (p.argmax(-1) == yc).float().mean().item(), p.max(dim=-1).values


acc, conf = evaluate(m, x)
print(f"{acc:.2%}", conf.requires_grad, conf[:3], m.training)


@torch.inference_mode()
def infer(t):
    return m(t)["reg"]


r = infer(x)
print(r.requires_grad, torch.is_inference_mode_enabled())
m2 = copy.deepcopy(m)
vec = parameters_to_vector(m.parameters())
vector_to_parameters(vec * 0, m2.parameters())
print(vec.shape, m2.heads["cls"].weight.abs().sum(), m.heads["cls"].weight.abs().sum() > 0)
torch.set_default_dtype(torch.float64)
print(torch.tensor(1.5).dtype, torch.zeros(2), nn.Linear(1, 1).weight.dtype, torch.get_default_dtype())
torch.set_default_dtype(torch.float32)
t = torch.tensor([1.5, 2.7])
print(
    t.int(),
    t.long(),
    t.half(),
    t.bfloat16(),
    t.double(),
    t.bool(),
    t.byte(),
    t.to(torch.float16).dtype,
    t.to("cpu", non_blocking=True),
    t.type(torch.LongTensor),
    t.type("torch.DoubleTensor").dtype,
    t.type_as(torch.ones(1, dtype=torch.int32)),
    t.cpu().numpy(),
    t.detach().clone(),
    t.tolist(),
    t.int().float(),
    torch.LongTensor([1, 2]),
    torch.ByteTensor([1]),
    torch.BoolTensor([True]),
    torch.FloatTensor(2, 3).shape,
    torch.DoubleTensor([1.0]).dtype,
    torch.Tensor(2).shape,
    torch.IntTensor([3]),
)
print(
    torch.float32,
    torch.long,
    torch.finfo(torch.float32).eps,
    torch.iinfo(torch.int32).max,
    torch.promote_types(torch.int32, torch.float16),
    torch.can_cast(torch.float, torch.int),
    torch.float32.is_floating_point,
    torch.is_floating_point(t),
    t.is_cuda,
    t.is_leaf,
    t.layout,
    t.requires_grad,
    t.data_ptr() != 0,
    t.storage_offset(),
    t.is_sparse,
    t.grad is None,
    torch.numel(t),
    torch.inf,
    torch.pi,
    torch.nan,
    torch.e,
    torch.newaxis,
)
print(
    isinstance(m.temps[0], nn.Parameter),
    isinstance(m.temps[0], torch.Tensor),
    type(m.temps[0]),
    m.temps[1],
    torch.Size([2, 3]).numel(),
    tuple(t.shape),
    list(t.size()),
    t.shape[0],
    t.shape == (2,),
    bool(torch.tensor(1)),
    int(torch.tensor(3.7)),
    float(torch.tensor(2)),
    len(t),
    [v.item() for v in t],
    1.5 in t,
    t.tolist() == [1.5, 2.7000000476837158],
    hash(t) == hash(t),
    max(t),
    sum(t),
    sorted(t.tolist()),
    abs(-t),
    round(float(t[0])),
    t.numpy().shape,
    reversed(t),
    divmod(5, 3),
    torch.tensor([]),
    torch.empty(0, 3),
    torch.tensor([[]]),
    t[[]],
    torch.tensor([1, 2.5]),
    torch.tensor([True, False]),
    torch.tensor([1 + 2j]),
    torch.tensor(5),
    torch.randn(2, 2) * 1e5,
    torch.arange(2000),
    torch.tensor([1e-8, 1]),
    torch.zeros(3, 3, dtype=torch.bool),
)
print(
    _pair(3),
    torch.__version__ >= "1.0",
    torch.version.cuda is None,
    hasattr(torch, "compile"),
    torch.backends.cudnn.enabled in (True, False),
    torch.are_deterministic_algorithms_enabled(),
)
torch.use_deterministic_algorithms(False)
torch.backends.cuda.matmul.allow_tf32 = True
torch.set_float32_matmul_precision("high")
torch.autograd.set_detect_anomaly(False)
torch.set_grad_enabled(True)
with torch.autograd.set_detect_anomaly(False), torch.set_grad_enabled(False):
    print(torch.is_grad_enabled(), (m(x)["reg"]).requires_grad)


class PrintLoss(_Loss):
    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)

    def forward(self, a, b):
        return getattr(torch, self.reduction)((a - b).abs())


print(PrintLoss()(t, t + 1), PrintLoss("sum")(t, t + 1), PrintLoss())


class Warmup(_LRScheduler):
    def __init__(self, optimizer, warm, last_epoch=-1):
        self.warm = warm
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [b * min(1.0, (self.last_epoch + 1) / self.warm) for b in self.base_lrs]


o = SGD(m.parameters(), lr=0.4)
w = Warmup(o, 4)
lrs = []
for _ in range(5):
    lrs.append(round(o.param_groups[0]["lr"], 3))
    o.step()
    w.step()
print(lrs, o)


class Lion(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if len(st) == 0:
                    st["step"] = 0
                    st["m"] = torch.zeros_like(p, memory_format=torch.preserve_format)
                mm = st["m"]
                b1, b2 = g["betas"]
                st["step"] += 1
                p.mul_(1 - g["lr"] * g["weight_decay"])
                p.add_((mm * b1 + p.grad * (1 - b1)).sign_(), alpha=-g["lr"])
                mm.mul_(b2).add_(p.grad, alpha=1 - b2)


lin = nn.Linear(3, 1)
lo = Lion(lin.parameters(), lr=0.1, weight_decay=0.1)
xx = torch.randn(8, 3)
for _ in range(4):
    lo.zero_grad()
    l = (lin(xx) - 1).pow(2).mean()
    l.backward()
    lo.step()
print(l, lin.weight, lo.state_dict()["state"][0]["step"], lo)
avg = AveragedModel(m)
avg.update_parameters(m)
print(avg(x)["reg"].shape, avg.n_averaged)
net = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.ELU()) for _ in range(2)], nn.Unflatten(1, (2, 2)))
print(net(x).shape, net)
for name, p in net.named_parameters():
    if "weight" in name:
        nn.init.orthogonal_(p)
    else:
        nn.init.uniform_(p, -0.1, 0.1)
print(net[0][0].weight @ net[0][0].weight.T, {n: list(p.size()) for n, p in net.named_parameters()})
print(torch.jit.is_scripting())
with torch.random.fork_rng():
    torch.manual_seed(1)
    a = torch.rand(1)
print(
    a, torch.rand(1), torch.initial_seed(), torch.seed() != 0, torch.Generator().manual_seed(3).initial_seed()
)
x = torch.ones(2, 2, requires_grad=True)
y = x + 2
z = y * y * 3
out = z.mean()
print(y, z, out, y.grad_fn.name(), x.is_leaf, y.is_leaf)
y.retain_grad()
out.backward()
print(x.grad, y.grad)
x.grad.zero_()
x.requires_grad_(False)
with torch.no_grad():
    print((x**2).requires_grad)
try:
    out.backward()
except RuntimeError as e:
    print(str(e)[:60])
try:
    nn.Linear(3, 2)(torch.ones(1, 4))
except RuntimeError as e:
    print(e)
try:
    F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 5]))
except (IndexError, RuntimeError) as e:
    print(type(e).__name__)
try:
    m.nope
except AttributeError as e:
    print(e)
try:
    a = torch.ones(2, requires_grad=True)
    a += 1
except RuntimeError as e:
    print(e)
try:
    torch.zeros(2, 2).item()
except RuntimeError as e:
    print(e)
try:
    bool(torch.zeros(2))
except RuntimeError as e:
    print(e)
try:
    torch.tensor([[1, 2], [3]])
except ValueError as e:
    print(e)
try:
    torch.cat([torch.ones(2, 3), torch.ones(3, 2)])
except RuntimeError as e:
    print(e)
try:
    torch.arange(3).mean()
except RuntimeError as e:
    print(e)
try:
    nn.Conv2d(3, 4, 3)(torch.ones(1, 1, 5, 5))
except RuntimeError as e:
    print(e)
try:
    nn.Embedding(3, 2)(torch.tensor([3]))
except IndexError as e:
    print(str(e)[:26])
