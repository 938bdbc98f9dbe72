"""Differential equations, ordinary and stochastic, and their adjoints."""

import torch
import torchdiffeq
import torchsde

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)


class F(torch.nn.Module):
    def __init__(s):
        super().__init__()
        s.l = torch.nn.Linear(2, 2)

    def forward(s, t, y):
        return torch.tanh(s.l(y)) - 0.1 * t * y


f = F()
y0 = torch.tensor([[1.0, 0.5]], requires_grad=True)
t = torch.linspace(0, 1, 4)
for m in ("dopri5", "rk4", "euler", "midpoint", "bosh3", "dopri8", "explicit_adams", "implicit_adams"):
    y = torchdiffeq.odeint(f, y0, t, method=m)
    (g,) = torch.autograd.grad(y.sum(), y0)
    print(m, [round(v, 6) for v in y[-1, 0].tolist()], [round(v, 6) for v in g[0].tolist()])
f.zero_grad()
torchdiffeq.odeint_adjoint(f, y0, t).square().sum().backward()
print([round(v, 5) for v in f.l.weight.grad.flatten().tolist()])
e, ys = torchdiffeq.odeint_event(
    lambda t, y: torch.stack([y[1], -9.8 + 0 * y[1]]),
    torch.tensor([1.0, 0.0]),
    torch.tensor(0.0),
    event_fn=lambda t, y: y[0],
)
print(round(e.item(), 6))


class S(torch.nn.Module):
    noise_type, sde_type = "diagonal", "ito"

    def __init__(s):
        super().__init__()
        s.mu = torch.nn.Linear(2, 2)

    def f(s, t, y):
        return s.mu(y)

    def g(s, t, y):
        return 0.1 * torch.sigmoid(y)


s = S()
bm = torchsde.BrownianInterval(0.0, 1.0, (3, 2), dtype=torch.float64, entropy=7)
y = torchsde.sdeint(s, torch.ones(3, 2), t, bm=bm, method="milstein", dt=0.1)
y.sum().backward()
print(tuple(y.shape), round(y.sum().item(), 4), round(s.mu.weight.grad.sum().item(), 4))
print(
    round(
        torchsde.sdeint_adjoint(
            s,
            torch.ones(3, 2),
            t,
            bm=torchsde.BrownianInterval(0.0, 1.0, (3, 2), dtype=torch.float64, entropy=7),
            method="euler",
            dt=0.1,
        )
        .sum()
        .item(),
        4,
    )
)
