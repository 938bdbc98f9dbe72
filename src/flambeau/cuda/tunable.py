"""`torch.cuda.tunable`: which kernel multiplies which matrices. XLA chooses by itself, and by what it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime.absent import answer, names, placed, refusal

if not TYPE_CHECKING:  # type checkers take every name
    __all__ = """enable get_filename get_max_tuning_duration get_max_tuning_iterations get_results get_rotating_buffer_size get_validators
    is_enabled mgpu_tune_gemm_in_file read_file record_untuned_enable record_untuned_is_enabled set_filename set_max_tuning_duration
    set_max_tuning_iterations set_numerical_check_tolerances set_rotating_buffer_size tune_gemm_in_file tuning_enable
    tuning_is_enabled""".split()

_refused = refusal(
    NotImplementedError, "torch.cuda.tunable.{name}: XLA chooses kernels itself (XLA_FLAGS=--xla_gpu_autotune_level=4)"
)


def _switch(name: str) -> object:
    def told(val: bool = True) -> None:
        if val:
            _refused(name)()

    told.__name__ = told.__qualname__ = name
    told.__doc__ = "Off is how it is. NotImplementedError for on."
    return told


globals().update(
    placed(
        {
            **names(answer(False), "is_enabled record_untuned_is_enabled tuning_is_enabled"),
            **names(answer([]), "get_results get_validators"),
            **names(answer(""), "get_filename"),
            **names(answer(0), "get_max_tuning_duration get_max_tuning_iterations get_rotating_buffer_size"),
            **names(_switch, "enable record_untuned_enable tuning_enable"),
            **names(
                _refused,
                "mgpu_tune_gemm_in_file read_file set_filename set_max_tuning_duration set_max_tuning_iterations",
                "set_numerical_check_tolerances set_rotating_buffer_size tune_gemm_in_file",
            ),
        },
        __name__,
    )
)
