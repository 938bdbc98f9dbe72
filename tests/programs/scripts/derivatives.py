import math, numpy as np, torch, torch.nn as nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.autograd.functional import jacobian, hessian, vjp, jvp

torch.manual_seed(4)


# PINN: u'' = -pi^2 sin(pi x)
class PINN(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        return self.net(x)


model = PINN()
opt = torch.optim.Adam(model.parameters(), lr=1e-2)
xc = torch.linspace(0, 1, 20).view(-1, 1).requires_grad_(True)
xb = torch.tensor([[0.0], [1.0]])
for i in range(20):
    opt.zero_grad()
    u = model(xc)
    du = torch.autograd.grad(u, xc, grad_outputs=torch.ones_like(u), create_graph=True)[0]
    d2u = torch.autograd.grad(du.sum(), xc, create_graph=True)[0]
    loss = (d2u + math.pi**2 * torch.sin(math.pi * xc)).pow(2).mean() + 10 * model(xb).pow(2).mean()
    loss.backward()
    opt.step()
print(f"{loss.item():.3f}")
lb = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=5, line_search_fn="strong_wolfe")


def closure():
    lb.zero_grad()
    u = model(xc)
    (du,) = grad(u.sum(), xc, create_graph=True)
    (d2u,) = grad(du.sum(), xc, create_graph=True)
    l = (d2u + math.pi**2 * torch.sin(math.pi * xc)).pow(2).mean() + 10 * model(xb).pow(2).mean()
    l.backward()
    return l


print(f"{lb.step(closure).item():.2f}", f"{closure().item():.0f}")
f = lambda x: (x**3).sum()
x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
print(
    jacobian(lambda v: v.exp(), x),
    hessian(f, x),
    vjp(lambda v: v**2, x, torch.ones(3, dtype=torch.double)),
    jvp(lambda v: v**2, x, torch.ones(3, dtype=torch.double)),
)
print(gradcheck(lambda a: torch.sin(a) * a.exp(), x), gradgradcheck(lambda a: a.pow(3), x))
eps = 1e-6
fd = torch.stack([(f(x + eps * e) - f(x - eps * e)) / (2 * eps) for e in torch.eye(3, dtype=x.dtype)])
print(torch.allclose(fd, grad(f(x), x)[0], rtol=1e-5))
d = torch.tensor(2.0, requires_grad=True)
y = d**4
for k in range(3):
    (y,) = grad(y, d, create_graph=True)
    print(k + 1, y.item())


# gram / style transfer
def gram_matrix(t):
    b, c, h, w = t.size()
    F_ = t.view(b * c, h * w)
    return torch.mm(F_, F_.t()).div(b * c * h * w)


img = torch.rand(1, 3, 8, 8, requires_grad=True)
conv = nn.Conv2d(3, 4, 3).requires_grad_(False)
tgt = gram_matrix(conv(torch.rand(1, 3, 8, 8))).detach()
o2 = torch.optim.LBFGS([img])
run = [0]


def cl():
    with torch.no_grad():
        img.clamp_(0, 1)
    o2.zero_grad()
    l = nn.functional.mse_loss(gram_matrix(conv(img)), tgt) * 1e4
    l.backward()
    run[0] += 1
    return l


first = o2.step(cl)
print(f"{first.item():.4f}", run[0] > 1, cl() < first)
# RL bits
rewards = [1.0, 0.0, 2.0]
R = 0
returns = []
for r in rewards[::-1]:
    R = r + 0.99 * R
    returns.insert(0, R)
returns = torch.tensor(returns)
returns = (returns - returns.mean()) / (returns.std() + np.finfo(np.float32).eps.item())
print(returns)
z = torch.fft.fft(torch.tensor([1.0, 2, 3, 4]))
print(
    z,
    z.real,
    z.abs(),
    torch.fft.ifft(z).real,
    torch.fft.rfft(torch.ones(4)),
    torch.view_as_real(z)[0],
    torch.complex(torch.ones(2), torch.zeros(2)),
    torch.polar(torch.tensor(1.0), torch.tensor(math.pi)),
    torch.angle(z),
)
