"""`functional_call` and `stack_module_state` under the path that packages import them from."""

from ..func import functional_call, stack_module_state

__all__ = ["functional_call", "stack_module_state"]
