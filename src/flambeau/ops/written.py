"""The in-place methods that are public functions too: `torch.exp_(x)` is `x.exp_()`."""

from __future__ import annotations

from ..core.dispatch.operator import _publish
from ..core.tensor.tensor import Tensor
from .shape import views  # noqa: F401  (they declare the methods)

for _name in """
    abs acos acosh arccos arccosh arcsin arcsinh arctan arctanh as_strided asin asinh atan atanh ceil clamp clamp_max clamp_min
    clip conj_physical cos cosh deg2rad detach erf erfc exp exp2 expm1 fix floor frac gcd i0 index_put lcm ldexp log log10 log1p log2
    logit nan_to_num neg negative rad2deg reciprocal resize_as round rsqrt sigmoid sin sinc sinh sqrt square tan tanh trunc xlogy
""".split():
    _publish(f"{_name}_", getattr(Tensor, f"{_name}_"), ("torch",))
