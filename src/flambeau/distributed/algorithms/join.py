"""Uneven inputs among processes."""

from ...processes.joining import Join, Joinable, JoinHook

__all__ = ["Join", "JoinHook", "Joinable"]
