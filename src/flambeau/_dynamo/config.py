"""`torch._dynamo.config`: settings by name. `recompile_limit` (`cache_size_limit`), `accumulated_recompile_limit`, `error_on_recompile`,
`fail_on_recompile_limit_hit` and `disable` do what they say; another one that is set to another value is told in a warning."""

from ..compiler.settings import install

install(__name__)
