"""`%load_ext flambeau`: from then on `import torch` means flambeau in a notebook's kernel."""

from __future__ import annotations

from typing import Any

from flambeau import drop_in


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext flambeau` calls. RuntimeError if the real torch is imported already: restart the kernel then."""
    drop_in.install()


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext flambeau` calls."""
    drop_in.uninstall()
