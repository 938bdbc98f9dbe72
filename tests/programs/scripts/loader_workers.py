"""Loading with worker processes: order, seeds, errors, streams, epochs. No `if __name__ == "__main__"`, as in many a script."""

import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info


class Draws(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        info = get_worker_info()
        return (i, info.id, info.seed, np.random.randint(0, 2**31), random.random(), torch.rand(1).item())


class Failing(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        if i == 2:
            raise KeyError("no sample two")
        return torch.ones(3) * i


class Stream(IterableDataset):
    def __init__(self, n, split):
        self.n, self.split = n, split

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.n, info.num_workers)) if self.split else iter(range(self.n + info.id))


class Counting(Dataset):
    def __init__(self):
        self.n = 0

    def __len__(self):
        return 8

    def __getitem__(self, i):
        self.n += 1
        return self.n


class Nested(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return {"large": np.ones((300, 300), np.float32) * i, "mixed": [i, "x"], "scalar": np.float32(i), "t": torch.arange(3)}


class Sliced(IterableDataset):
    start, end = 0, 7

    def __iter__(self):
        return iter(range(self.start, self.end))


def split(worker):
    info = get_worker_info()
    dataset = info.dataset
    middle = (dataset.end - dataset.start) // 2
    if worker == 0:
        dataset.end = dataset.start + middle
    else:
        dataset.start = dataset.start + middle


def told(run):
    try:
        return run()
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]


torch.manual_seed(0)
print(torch.ones(3).sum())  # XLA is at work
loader = DataLoader(Draws(), batch_size=None, num_workers=2)
print(list(loader), torch.rand(1))
print(told(lambda: list(DataLoader(Failing(), num_workers=2))))


def wrong(worker):
    raise RuntimeError("init")


print(told(lambda: list(DataLoader([1, 2], num_workers=1, worker_init_fn=wrong))))
print([batch.tolist() for batch in DataLoader(Sliced(), num_workers=2, worker_init_fn=split, batch_size=2)])
for n in (0, 1, 5):
    for shared in (True, False):
        for size, drop in ((2, False), (3, True), (None, False)):
            loader = DataLoader(Stream(n, shared), batch_size=size, drop_last=drop, num_workers=2, persistent_workers=n == 5)
            for _ in range(2 if n == 5 else 1):
                print(n, shared, size, drop, [b.tolist() if isinstance(b, torch.Tensor) else b for b in loader])

torch.manual_seed(1)
pairs = TensorDataset(torch.arange(200000.0).reshape(1000, 200), torch.arange(1000))
loader = DataLoader(pairs, batch_size=100, shuffle=True, num_workers=2, persistent_workers=True)
for _ in range(3):
    print([int(second[0]) for _, second in loader], torch.rand(1).item())
print([batch.tolist() for batch in DataLoader(Counting(), batch_size=2, num_workers=2)])
double = DataLoader(range(10), batch_size=4, num_workers=2, drop_last=True, collate_fn=lambda batch: torch.tensor(batch) * 2)
print([batch.tolist() for batch in double])
for batch in DataLoader(Nested(), num_workers=2, batch_size=2):
    print(batch["large"].shape, batch["large"].dtype, batch["large"].sum(), batch["mixed"], batch["scalar"], batch["t"])
print([b["large"].sum() for b in DataLoader(Nested(), num_workers=1, batch_size=None, multiprocessing_context="fork")])
loader = DataLoader(range(20), num_workers=2, persistent_workers=True)
next(iter(loader))
print([int(batch) for batch in loader][:4])
