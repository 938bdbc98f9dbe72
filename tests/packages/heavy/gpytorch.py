"""Gaussian processes: an exact one with three kernels, a variational one."""

import warnings

import gpytorch
import torch

warnings.simplefilter("ignore")
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
x = torch.linspace(0, 1, 20)
y = torch.sin(6 * x) + 0.1 * torch.randn(20)


class GP(gpytorch.models.ExactGP):
    def __init__(s, x, y, lik):
        super().__init__(x, y, lik)
        s.mean_module = gpytorch.means.ConstantMean()
        s.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel()) + gpytorch.kernels.PeriodicKernel()

    def forward(s, x):
        return gpytorch.distributions.MultivariateNormal(s.mean_module(x), s.covar_module(x))


lik = gpytorch.likelihoods.GaussianLikelihood()
m = GP(x, y, lik)
m.train()
lik.train()
opt = torch.optim.Adam(m.parameters(), lr=0.1)
mll = gpytorch.mlls.ExactMarginalLogLikelihood(lik, m)
for _i in range(5):
    opt.zero_grad()
    l = -mll(m(x), y)
    l.backward()
    opt.step()
    print(round(l.item(), 6))
m.eval()
lik.eval()
with torch.no_grad(), gpytorch.settings.fast_pred_var():
    p = lik(m(torch.tensor([0.25, 0.75])))
    print([round(v, 5) for v in p.mean.tolist()], [round(v, 5) for v in p.variance.tolist()])


class SV(gpytorch.models.ApproximateGP):
    def __init__(s, z):
        d = gpytorch.variational.CholeskyVariationalDistribution(len(z))
        super().__init__(gpytorch.variational.VariationalStrategy(s, z, d))
        s.mean_module = gpytorch.means.ZeroMean()
        s.covar_module = gpytorch.kernels.MaternKernel(1.5)

    def forward(s, x):
        return gpytorch.distributions.MultivariateNormal(s.mean_module(x), s.covar_module(x))


v = SV(x[::4].unsqueeze(-1))
lik = gpytorch.likelihoods.GaussianLikelihood()
e = gpytorch.mlls.VariationalELBO(lik, v, 20)
opt = torch.optim.Adam([*v.parameters(), *lik.parameters()], lr=0.05)
for _i in range(4):
    opt.zero_grad()
    l = -e(v(x.unsqueeze(-1)), y)
    l.backward()
    opt.step()
    print(round(l.item(), 5))
