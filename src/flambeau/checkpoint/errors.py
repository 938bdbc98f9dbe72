"""The errors for files that are not what they claim to be."""

from __future__ import annotations


def damaged(what: str) -> RuntimeError:
    """The error for a file that contradicts itself."""
    return RuntimeError(f"the checkpoint is damaged or was not made by torch.save: {what}")


def brief(text: object) -> str:
    """How a value from a file is shown in an error: one line, not long, and without walking through all of it."""
    if isinstance(text, (tuple, list)):
        inner = ", ".join(brief(item) if isinstance(item, (int, str)) else type(item).__name__ for item in text[:8])
        shown = f"({inner}{', ...' if len(text) > 8 else ''})"
    elif isinstance(text, int) and text.bit_length() > 200:
        shown = f"an int of {text.bit_length()} bits"
    elif isinstance(text, (str, bytes, int, float, complex, type, type(None))):
        shown = repr(text[:80] if isinstance(text, (str, bytes)) else text)
    else:
        shown = f"a value of type {type(text).__name__}"
    return shown if len(shown) <= 100 else shown[:97] + "..."
