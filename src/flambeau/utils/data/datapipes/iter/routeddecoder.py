"""What files hold, by their names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import IterDataPipe, functional_datapipe
from ..utils import decoder
from .utils import of_length

__all__ = ["RoutedDecoderIterDataPipe"]


@functional_datapipe("routed_decode")
class RoutedDecoderIterDataPipe(IterDataPipe):
    """Pairs of a path and what its stream holds, decoded by the end of the path."""

    def __init__(
        self,
        datapipe: Any,
        *handlers: Callable[..., Any],
        key_fn: Callable[[str], str] = decoder.extension_extract_fn,
    ) -> None:
        super().__init__()
        self.datapipe = datapipe
        given = handlers or (decoder.basichandlers, decoder.imagehandler("torch"))
        self.decoder = decoder.Decoder(*given, key_fn=key_fn)
        warnings.warn(message("pipe_routed_decoder_deprecated"), FutureWarning)

    def add_handler(self, *handler: Callable[..., Any]) -> None:
        """Handlers that are asked last."""
        self.decoder.add_handler(*handler)

    def __iter__(self) -> Iterator[Any]:
        for data in self.datapipe:
            path = data[0]
            yield path, self.decoder(data)[path]

    def __len__(self) -> int:
        return of_length(self, self.datapipe)
