"""process is in `support`; this name stays until the tests that use it have moved."""

from support.process import NUMBER, SOURCE, assert_same_output, cli, run, run_code  # noqa: F401
