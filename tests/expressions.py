"""expressions is in `support`; this name stays until the tests that use it have moved."""

from support.expressions import agree, evaluate  # noqa: F401
