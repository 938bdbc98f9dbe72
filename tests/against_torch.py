"""against_torch is in `support`; this name stays until the tests that use it have moved."""

from support.expressions import check, check_gradient  # noqa: F401
