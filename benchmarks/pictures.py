"""Whether `ImageFolder` with worker processes feeds a compiled training step: images a second, and the share of the time that waits for data.

    pip install --no-deps torchvision     # its Python part runs on flambeau
    python benchmarks/pictures.py [--images 600] [--size 96] [--side 64] [--batch 32] [--workers 0 1 2]

It makes its own JPEG files, decodes, crops and flips them as tutorials do, and trains a ResNet18 on them. "Waiting" is what the loop
spends in the loader's `next`; the first batches, in which workers start and the step compiles, are left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flambeau import drop_in

CLASSES = 10
WARM = 3  # batches that are not counted


def write_pictures(folder: Path, images: int, size: int) -> None:
    """JPEG files in one folder for each class: noise that is smooth, so that decoding takes as long as for photographs."""
    rng = np.random.default_rng(0)
    for number in range(images):
        room = folder / f"class{number % CLASSES}"
        room.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(room / f"{number}.jpg", quality=90)


def batches(loader: Any) -> Iterator[Any]:
    """The loader's batches, without end."""
    while True:
        yield from loader


def measure(loader: Any, step: Any, count: int) -> tuple[float, float]:
    """Images a second over `count` batches, and the share of the time that the loop waited for the loader."""
    source = batches(loader)
    for _ in range(WARM):
        step(*next(source)).item()
    waited, seen, begun = 0.0, 0, time.perf_counter()
    for _ in range(count):
        asked = time.perf_counter()
        images, labels = next(source)
        waited += time.perf_counter() - asked
        step(images, labels).item()
        seen += len(images)
    taken = time.perf_counter() - begun
    return seen / taken, waited / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 600), ("size", 96), ("side", 64), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    drop_in.install()
    import torch
    import torchvision
    from torch.utils.data import DataLoader

    if not hasattr(torchvision, "datasets"):
        raise SystemExit("the data set is the real torchvision's: pip install --no-deps torchvision")
    transforms = torchvision.transforms
    prepare = transforms.Compose(
        [
            transforms.RandomResizedCrop(given.side),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    network = torchvision.models.resnet18(num_classes=CLASSES)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    @torch.compile
    def step(images: Any, labels: Any) -> Any:
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    count = given.images // given.batch - WARM
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), given.images, given.size)
        data = torchvision.datasets.ImageFolder(folder, prepare)
        held = [next(iter(DataLoader(data, given.batch, shuffle=True)))] * (WARM + count)
        print("| | images/s | waiting |\n|---|---|---|")
        for name, loader in [("step alone", held)] + [
            (f"{workers} workers", DataLoader(data, given.batch, True, num_workers=workers, persistent_workers=workers > 0, drop_last=True))
            for workers in given.workers
        ]:  # fmt: skip
            rate, waiting = measure(loader, step, count)
            print(f"| {name} | {rate:,.0f} | {waiting:.1%} |", flush=True)
        loader = DataLoader(data, given.batch, True, num_workers=max(given.workers), drop_last=True)
        rate, _ = measure(loader, lambda images, labels: labels[0], count)
        print(f"| loader alone, {max(given.workers)} workers | {rate:,.0f} | |")


if __name__ == "__main__":
    main()
