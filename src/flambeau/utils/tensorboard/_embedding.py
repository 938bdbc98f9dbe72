"""The files that TensorBoard's projector reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import grid


def write_metadata(metadata: Sequence[Any], folder: Path, header: Sequence[str] | None) -> None:
    """A line for each point: a label, or with a `header` several columns."""
    if header:
        if len(header) != len(metadata[0]):
            raise AssertionError(
                f"len of header must be equal to the number of columns in metadata: {len(header)}, {len(metadata[0])}"
            )
        rows = ["\t".join(str(part) for part in row) for row in [header, *metadata]]
    else:
        rows = [str(label) for label in metadata]
    (folder / "metadata.tsv").write_bytes("".join(row + "\n" for row in rows).encode())


def write_sprite(images: np.ndarray, folder: Path) -> None:
    """`(N, C, H, W)` of numbers between 0 and 1, side by side in a square picture."""
    from PIL import Image

    side = math.ceil(math.sqrt(len(images)))
    made = np.moveaxis(grid(images, side), 0, -1)
    square = np.zeros((made.shape[1], made.shape[1], 3))
    square[: made.shape[0]] = made
    Image.fromarray(np.uint8((square * 255).clip(0, 255))).save(folder / "sprite.png")


def write_points(matrix: np.ndarray, folder: Path) -> None:
    """A line for each point."""
    lines = ["\t".join(map(str, row)) + "\n" for row in matrix.tolist()]
    (folder / "tensors.tsv").write_text("".join(lines))


def describe(subfolder: str, tag: str, step: str, metadata: Any, images: Any) -> Any:
    """What the projector's configuration says of these files."""
    from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo

    info = EmbeddingInfo(tensor_name=f"{tag}:{step}", tensor_path=f"{subfolder}/tensors.tsv")
    if metadata is not None:
        info.metadata_path = f"{subfolder}/metadata.tsv"
    if images is not None:
        info.sprite.image_path = f"{subfolder}/sprite.png"
        info.sprite.single_image_dim.extend([images.shape[3], images.shape[2]])
    return info
