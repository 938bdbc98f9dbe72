"""The functions that laws call, as users have them: subclasses of tensors and modes are asked (`__torch_function__`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.dispatch.publishing import namespaces

if TYPE_CHECKING:
    from ..ops.elementwise.comparison import isclose as isclose
    from ..ops.elementwise.special import digamma as digamma
    from ..ops.elementwise.special import erf as erf
    from ..ops.elementwise.special import erfinv as erfinv
    from ..ops.elementwise.special import gammainc as gammainc
    from ..ops.elementwise.special import i0e as i0e
    from ..ops.elementwise.special import i1e as i1e
    from ..ops.elementwise.special import lgamma as lgamma
    from ..ops.elementwise.special import logit as logit
    from ..ops.elementwise.special import mvlgamma as mvlgamma
    from ..ops.elementwise.special import xlogy as xlogy
    from ..ops.indexing.masking import where as where
    from ..ops.layers.activation import log_softmax as log_softmax
    from ..ops.layers.activation import logsigmoid as logsigmoid
    from ..ops.layers.activation import softmax as softmax
    from ..ops.layers.activation import softplus as softplus
    from ..ops.layers.embedding import one_hot as one_hot
    from ..ops.layers.loss import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
    from ..ops.layers.padding import pad as pad
    from ..ops.linalg.matrices import cholesky as cholesky
    from ..ops.linalg.matrices import cholesky_ex as cholesky_ex
    from ..ops.linalg.matrices import slogdet as slogdet
    from ..ops.linalg.matrices import solve_triangular as solve_triangular
    from ..ops.linalg.names import cholesky_inverse as cholesky_inverse
    from ..ops.linalg.names import cholesky_solve as cholesky_solve
    from ..ops.linalg.spectra import eigvalsh as eigvalsh
    from ..ops.making.constants import empty as empty
    from ..ops.making.constants import full as full
    from ..ops.making.constants import full_like as full_like
    from ..ops.making.constants import ones_like as ones_like
    from ..ops.making.constants import zeros as zeros
    from ..ops.making.constants import zeros_like as zeros_like
    from ..ops.making.creation import as_tensor as as_tensor
    from ..ops.making.creation import tensor as tensor
    from ..ops.making.ranges import arange as arange
    from ..ops.making.ranges import eye as eye
    from ..ops.making.ranges import tril_indices as tril_indices
    from ..ops.random.chances import _sample_dirichlet as _sample_dirichlet
    from ..ops.random.chances import _standard_gamma as _standard_gamma
    from ..ops.random.chances import bernoulli as bernoulli
    from ..ops.random.chances import binomial as binomial
    from ..ops.random.chances import multinomial as multinomial
    from ..ops.random.chances import poisson as poisson
    from ..ops.random.factories import normal as normal
    from ..ops.random.factories import rand as rand
    from ..ops.random.factories import randn as randn
    from ..ops.random.reparametrized import _dirichlet_grad as _dirichlet_grad
    from ..ops.shape.broadcasting import broadcast_tensors as broadcast_tensors
    from ..ops.shape.joining import cat as cat
    from ..ops.shape.joining import stack as stack
else:

    def __getattr__(name: str) -> Any:
        for space in ("linalg", "nn.functional", "torch", "special"):
            if name in namespaces[space]:
                return namespaces[space][name]
        raise AttributeError(name)
