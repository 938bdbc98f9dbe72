"""Four agents trained for a moment, saved and loaded."""

import tempfile

import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC

for A, env, kw in (
    (PPO, "CartPole-v1", {"n_steps": 32, "batch_size": 16, "n_epochs": 2}),
    (A2C, "CartPole-v1", {}),
    (DQN, "CartPole-v1", {"learning_starts": 20, "batch_size": 8, "buffer_size": 200}),
    (SAC, "Pendulum-v1", {"learning_starts": 16, "batch_size": 8, "buffer_size": 200}),
):
    m = A("MlpPolicy", env, seed=0, device="cpu", verbose=0, **kw)
    m.learn(40)
    p = m.policy.state_dict()
    print(
        A.__name__,
        len(p),
        round(sum(v.double().abs().sum().item() for v in p.values()), 3),
        m.predict(np.full(m.observation_space.shape, 0.1, "f"), deterministic=True)[0],
    )
    f = tempfile.mkdtemp() + "/m"
    m.save(f)
    n = A.load(f, device="cpu")
    print(all(torch.equal(a, b) for a, b in zip(p.values(), n.policy.state_dict().values(), strict=False)))
