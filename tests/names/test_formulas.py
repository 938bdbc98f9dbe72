"""The formulas that `help()` tells are what PyTorch computes."""

import sys
from pathlib import Path

import numpy as np
import pytest

from flambeau.core.dispatch import families

sys.path.insert(0, str(Path(__file__).parent))
import formulas

# a line of these says in words what is done, and who described it
WORDS = (
    "frequent classes by one softmax",
    "the places of the windows are drawn",
    "spatial transformers",
    "Martens 2010",
    "p = p - lr * H g, H from the last differences",
    "Adam's second moment by rows and columns",
    "the momentum's matrix is orthogonalized",
)


@pytest.mark.parametrize("text", formulas.CHECKS)
def test_a_formula(text: str) -> None:
    formulas.RNG = np.random.default_rng(0)
    formulas.torch.manual_seed(0)
    compared = 0
    for ours, theirs in formulas.CHECKS[text]():
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-6, atol=1e-9)
        compared += 1
    assert compared


def test_each_formula_is_checked() -> None:
    told = {line for lines in families.sources().values() for line in lines}
    for line in told:
        checked = [
            text for text in formulas.CHECKS if line.startswith(text) and line[len(text) :][:1] in ("", " ", ";", ",")
        ]
        assert checked or line.startswith(WORDS), f"there is no check of {line!r} in formulas.py"
    for text in (*formulas.CHECKS, *WORDS):
        assert any(line.startswith(text) for line in told), f"no help says {text!r}"
