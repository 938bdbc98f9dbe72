"""both is in `support`; this name stays until the tests that use it have moved."""

from support.outcomes import words as _words  # noqa: F401
from support.programs import agree, described, outcome  # noqa: F401
