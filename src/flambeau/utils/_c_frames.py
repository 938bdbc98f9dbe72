"""The C frames of this thread, as the C library tells them."""

from __future__ import annotations

import ctypes

_MOST = 4096  # frames that are asked for


def get_cpp_backtrace(frames_to_skip: int = 0, maximum_number_of_frames: int = 64) -> str:
    """The stack of C functions that are being called now, innermost first, a line each; the first `frames_to_skip` are left out.

    Raises RuntimeError where the C library has no `backtrace` (it is glibc's and macOS's).
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "backtrace"):
        raise RuntimeError("get_cpp_backtrace: this C library does not tell of frames (backtrace)")
    library.backtrace_symbols.restype = ctypes.POINTER(ctypes.c_char_p)
    frames = (ctypes.c_void_p * _MOST)()
    count = library.backtrace(frames, _MOST)
    symbols = library.backtrace_symbols(frames, count)
    if not symbols:
        raise RuntimeError("get_cpp_backtrace: there was no memory for the names of the frames")
    lines = [(symbols[i] or b"").decode(errors="replace") for i in range(count)]
    library.free(symbols)
    kept = lines[frames_to_skip : frames_to_skip + maximum_number_of_frames]
    return "".join(f"frame #{i + frames_to_skip}: {line}\n" for i, line in enumerate(kept))
