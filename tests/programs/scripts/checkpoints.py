import os, random, numpy as np, torch, torch.nn as nn, torch.optim as optim
from torch.optim.lr_scheduler import (
    StepLR,
    CosineAnnealingLR,
    LambdaLR,
    ReduceLROnPlateau,
    OneCycleLR,
    MultiStepLR,
)
from torch.utils.data import (
    Dataset,
    DataLoader,
    TensorDataset,
    random_split,
    Subset,
    WeightedRandomSampler,
    ConcatDataset,
    RandomSampler,
    SequentialSampler,
    BatchSampler,
    SubsetRandomSampler,
    IterableDataset,
    Sampler,
)


def set_seed(seed: int = 42) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
    os.environ["PYTHONHASHSEED"] = str(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


set_seed(3)


class CustomDataset(Dataset):
    def __init__(self, n, transform=None):
        self.x = np.random.randn(n, 6).astype(np.float32)
        self.y = (self.x.sum(1) > 0).astype(np.int64)
        self.transform = transform

    def __len__(self):
        return len(self.y)

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        x = torch.from_numpy(self.x[idx])
        return (self.transform(x) if self.transform else x), self.y[idx]


ds = CustomDataset(50, transform=lambda x: x * 2)
train, val = random_split(ds, [40, 10], generator=torch.Generator().manual_seed(42))
print(len(train), len(val), train.indices[:5], train[0])
loader = DataLoader(train, batch_size=8, shuffle=True, drop_last=True)
xb, yb = next(iter(loader))
print(xb.shape, xb.dtype, yb.dtype, yb, len(loader))
a, b, c = random_split(range(10), [0.5, 0.3, 0.2])
print(list(a), list(b), list(c))


def collate(batch):
    xs, ys = zip(*batch)
    return torch.stack(xs), torch.as_tensor(np.array(ys))


for i, (x, y) in enumerate(DataLoader(ds, batch_size=20, collate_fn=collate)):
    print(i, x.shape, y.sum())


class DictSet(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return {"id": i, "name": f"n{i}", "v": torch.full((2,), float(i)), "pair": (i, i * 0.5)}


print(next(iter(DataLoader(DictSet(), batch_size=3))))
w = torch.tensor([0.1, 0.9])[torch.tensor(ds.y)]
s = WeightedRandomSampler(w, 12)
print(list(s))
print([y.tolist() for _, y in DataLoader(ds, batch_size=6, sampler=s)])
print(
    list(BatchSampler(SequentialSampler(range(7)), 3, False)),
    list(RandomSampler(range(6))),
    list(SubsetRandomSampler([4, 5, 6])),
    len(ConcatDataset([ds, ds])),
    ConcatDataset([ds, ds])[70][1],
)


class Stream(IterableDataset):
    def __iter__(self):
        yield from (torch.tensor(i) for i in range(5))


print([t for t in DataLoader(Stream(), batch_size=2)])


class EvenFirst(Sampler):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter([*range(0, self.n, 2), *range(1, self.n, 2)])

    def __len__(self):
        return self.n


print([b for b in DataLoader(torch.arange(7), batch_size=3, sampler=EvenFirst(7))])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 12)
        self.bn = nn.BatchNorm1d(12)
        self.fc2 = nn.Linear(12, 2)
        self.act = nn.SELU()

    def forward(self, x):
        return self.fc2(self.act(self.bn(self.fc1(x))))


def run(model, opt, sched, n):
    for _ in range(n):
        opt.zero_grad()
        l = nn.functional.cross_entropy(model(xb), yb)
        l.backward()
        opt.step()
        sched.step()
    return round(l.item(), 5)


for make in (
    lambda o: StepLR(o, step_size=2, gamma=0.5),
    lambda o: CosineAnnealingLR(o, T_max=10),
    lambda o: LambdaLR(o, lr_lambda=lambda e: 0.9**e),
    lambda o: OneCycleLR(o, max_lr=0.1, total_steps=20),
):
    set_seed(1)
    model = Net()
    opt = optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
    sched = make(opt)
    run(model, opt, sched, 3)
    torch.save(
        {
            "epoch": 3,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": opt.state_dict(),
            "scheduler": sched.state_dict(),
            "rng": torch.get_rng_state(),
            "loss": 0.3,
        },
        "ck.pt",
    )
    straight = run(model, opt, sched, 3)
    model2 = Net()
    opt2 = optim.AdamW(model2.parameters(), lr=0.01, amsgrad=True)
    sched2 = make(opt2)
    ck = torch.load("ck.pt", map_location=torch.device("cpu"))
    print(model2.load_state_dict(ck["model_state_dict"]))
    opt2.load_state_dict(ck["optimizer_state_dict"])
    sched2.load_state_dict(ck["scheduler"])
    print(
        type(sched).__name__,
        straight,
        run(model2, opt2, sched2, 3),
        sched2.get_last_lr(),
        sorted(ck),
        opt2.state_dict()["param_groups"][0]["lr"],
    )
for var in opt.state_dict():
    print(var, len(opt.state_dict()[var]), list(opt.state_dict()["param_groups"][0])[:5])
for k in model.state_dict():
    print(k, "\t", model.state_dict()[k].size())
torch.save(model, "whole.pth")
m = torch.load("whole.pth", weights_only=False)
m.eval()
model.eval()
print(torch.equal(m(xb), model(xb)))
plateau = ReduceLROnPlateau(opt, mode="min", factor=0.1, patience=1)
for v in (1.0, 1.1, 1.2, 1.3):
    plateau.step(v)
print([g["lr"] for g in opt.param_groups])
print(MultiStepLR(opt, milestones=[2, 4], gamma=0.1).get_last_lr())


class EarlyStopping:
    def __init__(self, patience=3, min_delta=0):
        self.patience, self.min_delta, self.counter, self.best = patience, min_delta, 0, float("inf")

    def __call__(self, loss, model):
        if loss < self.best - self.min_delta:
            self.best = loss
            self.counter = 0
            torch.save(model.state_dict(), "best.pt")
        else:
            self.counter += 1
        return self.counter >= self.patience


stop = EarlyStopping()
set_seed(5)
model = Net()
opt = optim.Rprop(model.parameters(), lr=0.3)
for epoch in range(30):
    model.train()
    opt.zero_grad()
    nn.CrossEntropyLoss()(model(xb), yb).backward()
    opt.step()
    model.eval()
    with torch.inference_mode():
        vl = np.mean([nn.CrossEntropyLoss()(model(x), y).item() for x, y in DataLoader(val, 5)])
    if stop(vl, model):
        print("stopped")
        break
model.load_state_dict(torch.load("best.pt", weights_only=True))
sd = model.state_dict()
sd2 = {k.replace("fc", "linear"): v for k, v in sd.items()}
print(model.load_state_dict(sd2, strict=False))
try:
    model.load_state_dict(sd2)
except RuntimeError as e:
    print(e)
try:
    model.load_state_dict({**sd, "fc2.weight": torch.zeros(3, 3)})
except RuntimeError as e:
    print(e)
