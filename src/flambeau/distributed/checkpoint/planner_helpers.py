"""Items of plans: of what this process has of a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...core.tensor.tensor import Size, Tensor
from ..tensor import layouts, parts
from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import LoadItemType, ReadItem, TensorWriteData, WriteItem, WriteItemType

__all__ = ["create_read_items_for_chunk_list"]


def own_boxes(tensor: Tensor) -> list[tuple[tuple[int, ...], Any]]:
    """Where the parts lie that this process has of a tensor on a mesh, each place once, and their values (arrays)."""
    held = parts.of(tensor)
    if held is not None and held.keeps and held.mesh.several:
        return [(tuple(start for start, _ in held.box), held.part)]
    found: dict[tuple[int, ...], Any] = {}
    for shard in tensor._array.addressable_shards:
        found.setdefault(tuple(at.start or 0 for at in shard.index), shard.data)
    return list(found.items())


def is_cut(value: Any) -> bool:
    """Whether a value is a tensor on a mesh."""
    return isinstance(value, Tensor) and layouts.sharding_of(value) is not None


def _create_write_items(fqn: str, object: Any) -> list[WriteItem]:
    """What a process would write of a value."""
    if not isinstance(object, Tensor):
        return [WriteItem(MetadataIndex(fqn), WriteItemType.BYTE_IO)]
    cut = is_cut(object)
    boxes = [(at, values.shape) for at, values in own_boxes(object)] if cut else [((0,) * object.ndim, object.shape)]
    kind = WriteItemType.SHARD if cut else WriteItemType.TENSOR
    return [
        WriteItem(
            MetadataIndex(fqn, at),
            kind,
            tensor_data=TensorWriteData(
                ChunkStorageMetadata(Size(at), Size(lengths)), TensorProperties.create_from_tensor(object), object.shape
            ),
        )
        for at, lengths in boxes
        if 0 not in lengths or not cut
    ]


def _overlap(first: ChunkStorageMetadata, second: ChunkStorageMetadata) -> tuple[list[int], list[int]] | None:
    """Where what two boxes share begins, and its lengths; None if they share nothing."""
    low = [max(a, b) for a, b in zip(first.offsets, second.offsets, strict=True)]
    ends = zip(first.offsets, first.sizes, second.offsets, second.sizes, strict=True)
    lengths = [min(a + n, b + m) - at for (a, n, b, m), at in zip(ends, low, strict=True)]
    return None if any(n <= 0 for n in lengths) else (low, lengths)


def create_read_items_for_chunk_list(
    fqn: str, checkpoint_md: TensorStorageMetadata, local_chunks: list[ChunkStorageMetadata]
) -> list[ReadItem]:
    """What is to be read of a stored tensor for parts that lie at these places."""
    items = []
    for own, part in enumerate(local_chunks):
        for number, chunk in enumerate(checkpoint_md.chunks):
            shared = _overlap(part, chunk)
            if shared is None:
                continue
            low, lengths = shared
            items.append(
                ReadItem(
                    LoadItemType.TENSOR,
                    MetadataIndex(fqn, part.offsets, own),
                    _less(low, part.offsets),
                    MetadataIndex(fqn, chunk.offsets, number),
                    _less(low, chunk.offsets),
                    Size(lengths),
                )
            )
    return items


def _less(at: Sequence[int], start: Sequence[int]) -> Size:
    return Size(a - b for a, b in zip(at, start, strict=True))


def _create_read_items(fqn: str, md: TensorStorageMetadata | BytesStorageMetadata, obj: Any) -> list[ReadItem]:
    """What is to be read for a value."""
    if isinstance(md, BytesStorageMetadata):
        index, none = MetadataIndex(fqn), Size((0,))
        return [ReadItem(LoadItemType.BYTE_IO, index, none, index, none, none)]
    boxes = [(at, values.shape) for at, values in own_boxes(obj)] if is_cut(obj) else [((0,) * obj.ndim, obj.shape)]
    return create_read_items_for_chunk_list(fqn, md, own_chunks(boxes))


def own_chunks(boxes: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[ChunkStorageMetadata]:
    """Boxes, as an index has them."""
    return [ChunkStorageMetadata(Size(at), Size(lengths)) for at, lengths in boxes]


def tensors_of(state_dict: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Those of a flat state dict that lie on a mesh."""
    for name, value in state_dict.items():
        if is_cut(value):
            yield name, value


def copied(values: Any) -> np.ndarray:
    """An array of one's own."""
    return np.array(values)
