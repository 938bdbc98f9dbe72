"""The old place of `flambeau.hub.load_state_dict_from_url`."""

from typing import TYPE_CHECKING, Any

from .. import hub
from ..hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "tqdm":
            return getattr(hub, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")
