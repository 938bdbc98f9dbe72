"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings


def examples(ordinarily: int) -> settings:
    """So many examples in the ordinary run, twenty times as many in a sweep (`-m slow`)."""
    sweeps = settings.get_current_profile_name() == "sweep"
    return settings(max_examples=ordinarily * (20 if sweeps else 1))
