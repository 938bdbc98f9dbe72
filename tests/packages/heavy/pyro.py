"""Variational inference, prediction, Hamiltonian Monte Carlo, traces."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from pyro.optim import ClippedAdam

pyro.set_rng_seed(0)
x = torch.linspace(-1, 1, 30, dtype=torch.float64)
y = 0.5 + 2.0 * x + 0.1 * torch.randn(30, dtype=torch.float64)
zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


def model(x, y=None):
    a = pyro.sample("a", dist.Normal(zero, 10 * one))
    b = pyro.sample("b", dist.Normal(zero, 10 * one))
    s = pyro.sample("s", dist.LogNormal(zero, one))
    with pyro.plate("data", len(x)):
        return pyro.sample("obs", dist.Normal(a + b * x, s), obs=y)


for Guide in (AutoNormal, AutoMultivariateNormal):
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    guide = Guide(model)
    svi = SVI(model, guide, ClippedAdam({"lr": 0.05}), Trace_ELBO(num_particles=2))
    losses = [svi.step(x, y) for _ in range(15)]
    print(
        Guide.__name__, [round(v, 4) for v in losses[::7]], {k: round(v.item(), 4) for k, v in guide.median().items()}
    )
print({k: tuple(v.shape) for k, v in Predictive(model, guide=guide, num_samples=5)(x).items()})
pyro.set_rng_seed(2)
mcmc = MCMC(NUTS(model, max_tree_depth=3), num_samples=4, warmup_steps=3, disable_progbar=True)
mcmc.run(x, y)
print({k: [round(t, 3) for t in v.tolist()] for k, v in mcmc.get_samples().items()})
tr = pyro.poutine.trace(pyro.poutine.condition(model, {"a": zero, "b": one, "s": one})).get_trace(x, y)
print(round(tr.log_prob_sum().item(), 5), list(tr.nodes))
