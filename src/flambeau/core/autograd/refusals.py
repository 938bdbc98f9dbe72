"""What is said of calls of `grad` and `backward` that can give no gradients."""

from __future__ import annotations

from typing import Any


def unlike_rows(i: int, given: Any, shape: Any) -> RuntimeError:
    option, batch = "is_grads_batched=True", "batch dimension"
    return RuntimeError(
        f"If `{option}`, we interpret the first dimension of each grad_output as the {batch}. The sizes of the remaining dimensions "
        f"are expected to match the shape of corresponding output, but a mismatch was detected: grad_output[{i}] has a shape of "
        f"{given} and output[{i}] has a shape of {shape}."
    )


def without_graph(i: int, root: Any) -> RuntimeError:
    error = RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
    error.add_note(
        f"(Its shape is {list(root.shape)}. It was computed under no_grad(), or from tensors none of which requires grad: .item(), "
        ".detach(), .numpy(), torch.tensor(...), argmax and comparisons on the way cut a loss off from its parameters; frozen ones, with "
        "requires_grad=False, have none.)"
    )
    return error


def no_number(i: int, shape: Any) -> RuntimeError:
    return RuntimeError(
        f"grad can be implicitly created only for scalar outputs; output {i} has shape {list(shape)}: make a number of it "
        "(loss.mean()), or pass gradient="
    )


__all__ = ["no_number", "unlike_rows", "without_graph"]
