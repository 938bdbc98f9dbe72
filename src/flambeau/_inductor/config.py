"""Settings under the names of `torch._inductor.config`. XLA has its own; what is set here is kept, and changes nothing."""

from types import SimpleNamespace

fx_graph_cache = True
max_autotune = False
coordinate_descent_tuning = False
epilogue_fusion = True
conv_1x1_as_mm = False
force_disable_caches = False
triton = SimpleNamespace(cudagraphs=False, unique_kernel_names=False, cudagraph_trees=True)
cpp = SimpleNamespace(threads=-1)
