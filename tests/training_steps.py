"""training_steps is in `support`; this name stays until the tests that use it have moved."""

from support.training_steps import batch, look, mlp, plain, scenario, scenarios  # noqa: F401
