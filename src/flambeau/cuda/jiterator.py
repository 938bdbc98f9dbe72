"""`torch.cuda.jiterator`: elementwise functions that are given as a text in CUDA C++. The text is read; nothing compiles it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..core.array.devices import jax_devices

__all__: list[str] = []
_TEMPLATE = re.compile(r"\s*template\s*<\s*typename\s+\w+\s*>\s*\w+\s+(\w+)\s*\(")


class _JittedFunction:
    """A function in CUDA C++. Calling it is refused: AssertionError without a GPU, NotImplementedError with one."""

    def __init__(self, code_string: str, return_by_ref: bool, num_outputs: int, **kwargs: Any):
        found = _TEMPLATE.match(code_string)
        if found is None:
            raise RuntimeError(
                f"Couldn't parse code, please check correctness:\n {code_string}: expected 'template <typename T> T name(...)'"
            )
        self.code_string, self.kernel_name = code_string, found[1]
        self.return_by_ref, self.num_outputs, self.kwargs_dict = return_by_ref, num_outputs, kwargs
        self.is_cuda_available = bool(jax_devices("cuda"))

    def __call__(self, *tensors: Any, **kwargs: Any) -> Any:
        if not jax_devices("cuda"):
            raise AssertionError("Jiterator is only supported on CUDA and ROCm GPUs, none are available.")
        raise NotImplementedError(
            f"torch.cuda.jiterator: {self.kernel_name} is CUDA C++, which is not compiled here. Write it with torch's functions and "
            "put torch.compile around it: XLA makes one kernel of it"
        )


def _create_jit_fn(code_string: str, **kwargs: Any) -> Callable[..., Any]:
    """A function of the text's, with one result; keyword arguments are defaults of its numbers."""
    return _JittedFunction(code_string, return_by_ref=False, num_outputs=1, **kwargs)


def _create_multi_output_jit_fn(code_string: str, num_outputs: int, **kwargs: Any) -> Callable[..., Any]:
    """One with several results, which it takes by reference."""
    return _JittedFunction(code_string, return_by_ref=True, num_outputs=num_outputs, **kwargs)
