"""torchvision's data sets from local files: MNIST and its like in IDX files, CIFAR in pickled batches with their digests, folders."""

import hashlib
import pickle
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import v2

rng = np.random.RandomState(0)
root = Path(tempfile.mkdtemp())


def write_idx(path, values):
    path.write_bytes(struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes())


def show(name, data, workers=0, seed=0):
    torch.manual_seed(seed)
    for x, y in DataLoader(data, 16, shuffle=True, num_workers=workers):
        print(name, tuple(x.shape), x.dtype, f"{x.double().sum().item():.3f}", y.tolist())


prepare = transforms.Compose(
    [transforms.RandomCrop(28, padding=2), transforms.ToTensor(), transforms.Normalize((0.13,), (0.3,))]
)
for kind in (datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST):
    raw = root / kind.__name__ / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 40), ("t10k", 20)):
        write_idx(raw / f"{part}-images-idx3-ubyte", rng.randint(0, 256, (n, 28, 28)).astype(np.uint8))
        write_idx(raw / f"{part}-labels-idx1-ubyte", rng.randint(0, 10, n).astype(np.uint8))
    for train in (True, False):
        data = kind(root, train=train, transform=prepare)
        print(kind.__name__, len(data), data.classes[:3], data.data.shape, data.targets.dtype)
        show(kind.__name__, data)

made = datasets.MNIST(root, train=True, transform=prepare)
try:
    datasets.EMNIST(root, split="letters", train=True)
except RuntimeError as error:
    print(error)

colours = v2.Compose(
    [v2.ToImage(), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.2] * 3)]
)
folder = root / "cifar-10-batches-py"
folder.mkdir()
digests = {}
contents = {f"data_batch_{i}": 8 for i in range(1, 6)} | {"test_batch": 8}
for name, n in contents.items():
    batch = {"data": rng.randint(0, 256, (n, 3072)).astype(np.uint8), "labels": rng.randint(0, 10, n).tolist()}
    (folder / name).write_bytes(pickle.dumps(batch))
(folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
for file in folder.iterdir():
    digests[file.name] = hashlib.md5(file.read_bytes()).hexdigest()
try:
    datasets.CIFAR10(root)  # the digests are not those of the real files
except RuntimeError as error:
    print(error)


class Made(datasets.CIFAR10):
    """With digests of what was made here."""


Made.train_list = [[name, digests[name]] for name in contents if name != "test_batch"]
Made.test_list = [["test_batch", digests["test_batch"]]]
Made.meta = {"filename": "batches.meta", "key": "label_names", "md5": digests["batches.meta"]}
print(Made(root).classes, Made(root, train=False).data.shape, str(Made(root)).splitlines()[0])
if __name__ == "__main__":
    show("CIFAR10", Made(root, transform=colours))
    show("MNIST, two workers", made, workers=2)
    for name in "ab":
        (root / "images" / name).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(rng.randint(0, 256, (40, 50, 3)).astype(np.uint8)).save(root / "images" / name / f"{i}.png")
    sized = transforms.Compose(
        [transforms.Resize(32), transforms.CenterCrop(28), transforms.RandomRotation(10), transforms.ToTensor()]
    )
    images = datasets.ImageFolder(root / "images", sized)
    print(images.class_to_idx, len(images))
    show("ImageFolder", images)
