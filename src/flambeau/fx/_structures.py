"""Functions whose arguments are nested containers of inputs: their leaves are the placeholders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..utils import _pytree as pytree
from .graph import CodeGen


class _PyTreeInfo(NamedTuple):
    """The parameters' names, and how arguments and result are built."""

    orig_args: list[str]
    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec | None


class _PyTreeCodeGen(CodeGen):
    """Takes arguments apart on the way in, and puts the result together on the way out."""

    def __init__(self, pytree_info: _PyTreeInfo):
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *inputs: Any) -> Any:
        return pytree.arg_tree_leaves(*inputs)

    def process_outputs(self, out: Any) -> Any:
        if self.pytree_info is None or self.pytree_info.out_spec is None:
            return out
        if not isinstance(out, (list, tuple)):
            out = [out]
        return pytree.tree_unflatten(out, self.pytree_info.out_spec)

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False) -> str:
        names = list(self.pytree_info.orig_args)
        named = names if names and names[0] == "self" else ["self", *names]
        head = super().gen_fn_def(named, maybe_return_annotation, expanded_def=expanded_def)
        if not free_vars:
            return head
        typed = [v for v in free_vars if ":" in v]
        bare = [v.split(":")[0].split("=")[0].strip() for v in free_vars]
        given = ", ".join(n for n in names if n != "self")
        spec = "self._in_spec"
        lines = f"\n    {', '.join(bare)}, = fx_pytree.tree_flatten_spec([{given}], {spec})"
        if typed:
            lines += f"\n    {'; '.join(v.split('=')[0].strip() for v in typed)}"
        return head + lines

    def generate_output(
        self, output_args: Any, *, descs: Sequence[str] | None = None, repr_fn: Callable[[Any], str] | None = None
    ) -> str:
        if self.pytree_info is None or self.pytree_info.out_spec is None:
            return super().generate_output(output_args, repr_fn=repr_fn)
        if not isinstance(output_args, (list, tuple)):
            output_args = [output_args]
        return f"return pytree.tree_unflatten({(repr_fn or repr)(output_args)}, self._out_spec)"

    def _prepare(self, module: Any) -> None:
        module._in_spec = self.pytree_info.in_spec
        module._out_spec = self.pytree_info.out_spec


StructuredCodeGen = _PyTreeCodeGen


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The container with `function(leaf)` for each leaf; None is one."""
    return pytree.tree_map(function, tree)


def flattened(
    function: Callable[..., Any], args: list[Any], names: list[str]
) -> tuple[Callable[..., Any], list[Any], CodeGen]:
    """The function of the leaves of its arguments, these, and the way to generate code for it.

    A leaf that is fixed to a value has a placeholder all the same, so that the caller gives it.
    """
    from ..nn.modules.module import Module

    module = args[:1] if args and isinstance(args[0], Module) else []
    leaves, spec = pytree.tree_flatten(tuple(args[len(module) :]))
    codegen = _PyTreeCodeGen(_PyTreeInfo(list(names), pytree.TreeSpec(list, None, spec.children()), None))

    def of_leaves(*flat: Any) -> Any:
        result = function(*module, *pytree.tree_unflatten(flat, spec))
        out, out_spec = pytree.tree_flatten(result)
        codegen.pytree_info = codegen.pytree_info._replace(out_spec=out_spec)
        return out

    return of_leaves, leaves, codegen
