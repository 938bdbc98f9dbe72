"""Settings under the names of `torch._dynamo.config`. Of these, `suppress_errors` and `disable` describe what is always so or can
be had otherwise; setting a name that has no meaning here is allowed, as in scripts that set a dozen, and changes nothing."""

from __future__ import annotations

suppress_errors = True  # a trace that fails runs uncompiled, with a warning
verbose = False
recompile_limit = 8
cache_size_limit = 8
accumulated_recompile_limit = 32
accumulated_cache_size_limit = 32
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
automatic_dynamic_shapes = False
assume_static_by_default = True
dynamic_shapes = False
disable = False
optimize_ddp = False
inline_inbuilt_nn_modules = True
