import copy, torch, torch.nn as nn, torch.nn.functional as F

torch.manual_seed(11)


class ContrastiveLoss(torch.nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, o1, o2, label):
        d = F.pairwise_distance(o1, o2, keepdim=True)
        return torch.mean(
            (1 - label) * torch.pow(d, 2) + label * torch.pow(torch.clamp(self.margin - d, min=0.0), 2)
        )


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn1 = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 4, kernel_size=3),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(4),
            nn.Dropout2d(p=0.0),
        )
        self.fc1 = nn.Sequential(nn.Linear(4 * 6 * 6, 10), nn.PReLU(), nn.Linear(10, 3))

    def forward_once(self, x):
        o = self.cnn1(x)
        return self.fc1(o.view(o.size()[0], -1))

    def forward(self, a, b):
        return self.forward_once(a), self.forward_once(b)


net = Siamese()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
a, b = torch.rand(2, 6, 1, 6, 6)
lab = torch.tensor([[0.0], [1], [0], [1], [1], [0]])
for _ in range(4):
    opt.zero_grad()
    l = ContrastiveLoss()(*net(a, b), lab)
    l.backward()
    opt.step()
print(f"{l.item():.4f}", F.pairwise_distance(*net(a, b)).shape)
anchor, pos, neg = (torch.randn(5, 8, requires_grad=True) for _ in range(3))
t = nn.TripletMarginLoss(margin=1.0, p=2)(anchor, pos, neg)
t.backward()
print(t, anchor.grad.norm())
print(
    nn.CosineEmbeddingLoss(margin=0.2)(anchor, pos, torch.tensor([1, -1, 1, -1, 1])),
    nn.MarginRankingLoss()(anchor[:, 0], pos[:, 0], torch.ones(5)),
    nn.HingeEmbeddingLoss()(anchor[:, 0], torch.tensor([1.0, -1, 1, 1, -1])),
)


def nt_xent(z1, z2, temperature=0.5):
    n = z1.size(0)
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    sim = z @ z.T / temperature
    sim.fill_diagonal_(float("-inf")) if not sim.requires_grad else None
    sim = sim.masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
    targets = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return F.cross_entropy(sim, targets)


print(nt_xent(anchor, pos))
# distillation
teacher = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
student = nn.Sequential(nn.Linear(10, 8), nn.Hardswish(), nn.Linear(8, 5))
for p in teacher.parameters():
    p.requires_grad = False


def kd_loss(s, t, y, T=4.0, alpha=0.7):
    return nn.KLDivLoss(reduction="batchmean")(F.log_softmax(s / T, dim=1), F.softmax(t / T, dim=1)) * (
        alpha * T * T
    ) + F.cross_entropy(s, y) * (1.0 - alpha)


x = torch.randn(32, 10)
y = teacher(x).argmax(-1)
opt = torch.optim.SGD(student.parameters(), lr=0.2)
for i in range(5):
    opt.zero_grad()
    l = kd_loss(student(x), teacher(x), y)
    l.backward()
    opt.step()
print(l.item(), [p.grad for p in teacher.parameters()][0])


class LabelSmoothing(nn.Module):
    def __init__(self, smoothing=0.1):
        super().__init__()
        self.confidence = 1 - smoothing
        self.smoothing = smoothing

    def forward(self, x, target):
        lp = F.log_softmax(x, dim=-1)
        nll = -lp.gather(dim=-1, index=target.unsqueeze(1)).squeeze(1)
        return (self.confidence * nll + self.smoothing * -lp.mean(dim=-1)).mean()


s = student(x)
print(
    LabelSmoothing()(s, y),
    nn.CrossEntropyLoss(label_smoothing=0.1)(s, y),
    F.cross_entropy(s, y, weight=torch.tensor([1.0, 2, 3, 4, 5])),
    F.cross_entropy(s, F.softmax(teacher(x), 1)),
)


def smooth_one_hot(t, classes, smoothing=0.1):
    with torch.no_grad():
        d = torch.empty(size=(t.size(0), classes)).fill_(smoothing / (classes - 1))
        d.scatter_(1, t.data.unsqueeze(1), 1.0 - smoothing)
    return d


print(smooth_one_hot(y[:3], 5), F.one_hot(y[:3], num_classes=5))


class FocalLoss(nn.Module):
    def __init__(self, alpha=1, gamma=2):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, i, t):
        bce = F.binary_cross_entropy_with_logits(i, t, reduction="none")
        pt = torch.exp(-bce)
        return (self.alpha * (1 - pt) ** self.gamma * bce).mean()


print(
    FocalLoss()(s, F.one_hot(y, 5).float()),
    nn.BCEWithLogitsLoss(pos_weight=torch.full([5], 2.0))(s, F.one_hot(y, 5).float()),
    nn.MultiLabelSoftMarginLoss()(s, F.one_hot(y, 5).float()),
    nn.HuberLoss()(s, s + 2),
    nn.SmoothL1Loss(beta=0.5)(s, s.detach() * 2),
    nn.GaussianNLLLoss()(s, s * 2, torch.ones_like(s)),
    nn.PoissonNLLLoss()(s, y.unsqueeze(1).expand_as(s).float()),
    nn.MultiMarginLoss()(s, y),
    nn.SoftMarginLoss()(s, s.detach().sign()),
)


def mixup(x, y, lam, idx):
    return lam * x + (1 - lam) * x[idx], y, y[idx]


mx, ya, yb = mixup(x, y, 0.3, torch.randperm(32))
print(0.3 * F.cross_entropy(student(mx), ya) + 0.7 * F.cross_entropy(student(mx), yb))


# EMA, accumulation, clipping
class EMA:
    def __init__(self, model, decay):
        self.model, self.decay = model, decay
        self.shadow = {n: p.data.clone() for n, p in model.named_parameters() if p.requires_grad}
        self.backup = {}

    def update(self):
        for n, p in self.model.named_parameters():
            if p.requires_grad:
                self.shadow[n] = ((1.0 - self.decay) * p.data + self.decay * self.shadow[n]).clone()

    def apply_shadow(self):
        for n, p in self.model.named_parameters():
            self.backup[n] = p.data
            p.data = self.shadow[n]

    def restore(self):
        for n, p in self.model.named_parameters():
            p.data = self.backup[n]
        self.backup = {}


ema = EMA(student, 0.9)
ema_model = copy.deepcopy(student)
opt = torch.optim.SGD(student.parameters(), lr=0.1)
acc = 4
for i in range(8):
    l = F.cross_entropy(student(x[i * 4 : (i + 1) * 4]), y[i * 4 : (i + 1) * 4]) / acc
    l.backward()
    if (i + 1) % acc == 0:
        n = nn.utils.clip_grad_norm_(student.parameters(), max_norm=0.25)
        nn.utils.clip_grad_value_(student.parameters(), 0.1)
        opt.step()
        opt.zero_grad()
        ema.update()
        print(f"grad norm {n:.4f}")
        with torch.no_grad():
            for pe, p in zip(ema_model.parameters(), student.parameters()):
                pe.mul_(0.9).add_(p, alpha=0.1)
            for (k, v), (k2, v2) in zip(ema_model.state_dict().items(), student.state_dict().items()):
                assert k == k2
                v.lerp_(v2, 0.01)
w = student[0].weight.clone()
ema.apply_shadow()
print((student[0].weight - w).abs().max(), student[0].weight.requires_grad)
ema.restore()
print(torch.equal(student[0].weight, w), ema_model[0].weight[0, :3])
total = torch.norm(
    torch.stack(
        [
            torch.norm(p.grad.detach(), 2) if p.grad is not None else torch.tensor(0.0)
            for p in student.parameters()
        ]
    ),
    2,
)
print(total)
