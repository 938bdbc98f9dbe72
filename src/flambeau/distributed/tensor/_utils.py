"""Which part of a tensor a process has."""

from .. import _later

compute_local_shape_and_global_offset = _later.function("compute_local_shape_and_global_offset", __name__)
