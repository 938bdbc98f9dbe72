"""Operators that the code itself names (`torch.onnx.ops.symbolic`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx

from ._graph import Builder, Unsupported, Value
from ._pointwise import handles


@handles("symbolic_multi_out")
def symbolic_multi_out(
    b: Builder, out: Any, domain_op: str, inputs: Sequence[Any], attrs: Any = None, *, dtypes: Sequence[Any], shapes: Any,
    version: int | None = None, metadata_props: dict[str, str] | None = None,
) -> list[str]:  # fmt: skip
    domain, _, kind = domain_op.rpartition("::")
    own = domain in ("", "ai.onnx")
    held = b.opset if own else b.domains.setdefault(domain, version or 1)
    if version not in (None, held):
        raise Unsupported(f"version {version} of {domain_op}, where the model is of version {held}")
    names = [b.fresh(kind.lower()) for _ in dtypes]
    given = [value.name if isinstance(value, Value) else "" for value in inputs]
    node = onnx.helper.make_node(kind, given, names, name=names[0], domain="" if own else domain, **(attrs or {}))
    for key, value in (metadata_props or {}).items():
        node.metadata_props.add(key=key, value=value)
    b.nodes.append(node)
    return names


@handles("symbolic")
def symbolic(
    b: Builder, out: Any, domain_op: str, inputs: Sequence[Any], attrs: Any = None, *, dtype: Any, shape: Any,
    **options: Any,
) -> str:  # fmt: skip
    return symbolic_multi_out(b, out, domain_op, inputs, attrs, dtypes=[dtype], shapes=[shape], **options)[0]
