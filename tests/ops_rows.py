"""ops_rows is in `support`; this name stays until the tests that use it have moved."""

from support.rows import World, agree, refuse  # noqa: F401
