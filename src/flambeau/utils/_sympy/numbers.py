"""Names of symbolic sizes, which are refused: sizes are known numbers here."""

from typing import Any

from ...runtime.absent import refused_class

_NAMES = "IntInfinity NegativeIntInfinity".split()


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__spec__.name!r} has no attribute {name!r}")
    made = globals()[name] = refused_class(
        name, f"torch.utils._sympy.numbers.{name}: sizes are known numbers here, not symbols"
    )
    return made
