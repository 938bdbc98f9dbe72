"""The tests run on JAX's CPU backend, whatever the machine has."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
