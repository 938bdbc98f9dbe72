"""Programs of the kinds that learners copy from courses, half of them with one mistake: what is to be found in each, or None."""

HEAD = """import math, random, copy
import numpy as np
import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F
import flambeau.optim as optim
from flambeau.utils.data import DataLoader, TensorDataset, Dataset
torch.manual_seed(0); random.seed(0); np.random.seed(0)
"""
_LINES = (
    HEAD
    + """
X = torch.linspace(0, 1, 20).unsqueeze(1)
y = 2 * X + 1 + 0.01 * torch.randn(20, 1)
"""
)
_BY_HAND = (
    _LINES
    + """
w = torch.zeros(1, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for epoch in range(5):
    loss = ((X * w + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        b -= 0.1 * b.grad
    w.grad.zero_(); b.grad.zero_()
print(w.item(), b.item())
"""
)
_CNN = (
    HEAD
    + """
class LeNet(nn.Module):
    def __init__(self, num_classes=10):
        super(LeNet, self).__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Linear(4 * 4 * 4, num_classes)

    def forward(self, x):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.classifier(x)

data = TensorDataset(torch.randn(24, 1, 8, 8), torch.randint(0, 10, (24,)))
train_loader = DataLoader(data, batch_size=8, shuffle=True)
test_loader = DataLoader(data, batch_size=8)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
net = LeNet().to(device)
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(net.parameters(), lr=1e-3)

def train(epoch):
    net.train()
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(train_loader):
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    return running_loss / len(train_loader)

def test():
    net.eval()
    correct = total = 0
    with torch.no_grad():
        for inputs, labels in test_loader:
            outputs = net(inputs)
            _, predicted = torch.max(outputs.data, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    return correct / total

for epoch in range(2):
    print(train(epoch), test())
torch.save(net.state_dict(), "FOLDER/lenet.pth")
"""
)
_VAE = (
    HEAD
    + """
class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(8, 4)
        self.mu, self.logvar = nn.Linear(4, 2), nn.Linear(4, 2)
        self.dec = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 8), nn.Sigmoid())
    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std
    def forward(self, x):
        h = F.relu(self.enc(x))
        mu, logvar = self.mu(h), self.logvar(h)
        return self.dec(self.reparameterize(mu, logvar)), mu, logvar

def loss_function(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

model, x = VAE(), torch.rand(16, 8)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(3):
    optimizer.zero_grad()
    recon, mu, logvar = model(x)
    loss = loss_function(recon, x, mu, logvar)
    loss.backward()
    optimizer.step()
with torch.no_grad():
    sample = model.dec(torch.randn(4, 2))
"""
)
_RNN = (
    HEAD
    + """
text = "hello world hello torch "
chars = sorted(set(text)); stoi = {c: i for i, c in enumerate(chars)}
ids = torch.tensor([stoi[c] for c in text])
class CharRNN(nn.Module):
    def __init__(self, vocab, hidden=16):
        super().__init__()
        self.embed = nn.Embedding(vocab, 8)
        self.lstm = nn.LSTM(8, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, vocab)
    def forward(self, x, state=None):
        out, state = self.lstm(self.embed(x), state)
        return self.fc(out), state
model = CharRNN(len(chars))
optimizer = optim.Adam(model.parameters(), lr=0.01)
state = None
for step in range(4):
    i = step * 5
    x, t = ids[None, i:i + 5], ids[None, i + 1:i + 6]
    logits, state = model(x, state)
    state = tuple(s.detach() for s in state)
    loss = F.cross_entropy(logits.reshape(-1, len(chars)), t.reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
model.eval()
with torch.no_grad():
    c, state, out = ids[:1][None], None, ""
    for _ in range(5):
        logits, state = model(c, state)
        c = torch.multinomial(F.softmax(logits[0, -1], 0), 1)[None]
        out += chars[c.item()]
print(out)
"""
)
_DQN = (
    HEAD
    + """
q, target = nn.Linear(4, 2), nn.Linear(4, 2)
target.load_state_dict(q.state_dict())
optimizer = optim.RMSprop(q.parameters(), lr=0.01)
memory = []
s = torch.randn(4)
for t in range(12):
    if random.random() < 0.3:
        a = random.randrange(2)
    else:
        with torch.no_grad():
            a = q(s).argmax().item()
    s2, r = torch.randn(4), random.random()
    memory.append((s, a, r, s2))
    s = s2
    if len(memory) < 4:
        continue
    batch = random.sample(memory, 4)
    S = torch.stack([b[0] for b in batch]); A = torch.tensor([b[1] for b in batch])
    R = torch.tensor([b[2] for b in batch]); S2 = torch.stack([b[3] for b in batch])
    value = q(S).gather(1, A[:, None]).squeeze(1)
    with torch.no_grad():
        goal = R + 0.9 * target(S2).max(1).values
    loss = F.smooth_l1_loss(value, goal)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    if t % 5 == 0:
        target.load_state_dict(q.state_dict())
"""
)
_REINFORCE = (
    HEAD
    + """
policy = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), nn.Softmax(dim=-1))
optimizer = optim.Adam(policy.parameters(), lr=0.01)
for episode in range(3):
    log_probs, rewards = [], []
    state = torch.randn(4)
    for t in range(5):
        m = torch.distributions.Categorical(policy(state))
        action = m.sample()
        log_probs.append(m.log_prob(action))
        rewards.append(float(action))
        state = torch.randn(4)
    R, returns = 0, []
    for r in rewards[::-1]:
        R = r + 0.99 * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-8)
    loss = torch.stack([-lp * R for lp, R in zip(log_probs, returns)]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
)
_SIAMESE = (
    HEAD
    + """
net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
triplet = nn.TripletMarginLoss(margin=1.0)
for step in range(3):
    a, p, n = (torch.randn(8, 6) for _ in range(3))
    opt.zero_grad(set_to_none=True)
    loss = triplet(net(a), net(p), net(n))
    loss.backward()
    opt.step()
"""
)
_DISTILL = (
    HEAD
    + """
teacher = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)).eval()
student = nn.Linear(6, 3)
for p in teacher.parameters():
    p.requires_grad = False
opt = optim.Adam(student.parameters())
T = 2.0
for step in range(3):
    x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
    with torch.no_grad():
        soft = teacher(x)
    logits = student(x)
    loss = F.kl_div(F.log_softmax(logits / T, 1), F.softmax(soft / T, 1), reduction="batchmean") + F.cross_entropy(logits, y)
    opt.zero_grad(); loss.backward(); opt.step()
"""
)
_PINN = (
    HEAD
    + """
net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
opt = optim.Adam(net.parameters(), lr=0.01)
for step in range(3):
    t = torch.rand(10, 1, requires_grad=True)
    u = net(t)
    du = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]
    loss = ((du + u) ** 2).mean() + (net(torch.zeros(1, 1)) - 1).pow(2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
)
_LBFGS = (
    _LINES
    + """
model = nn.Linear(1, 1)
opt = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
for step in range(2):
    def closure():
        opt.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        return loss
    opt.step(closure)
"""
)
_EARLY = (
    HEAD
    + """
X, Y = torch.randn(40, 5), torch.randint(0, 2, (40,)).float()
model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))
loss_fn = nn.BCEWithLogitsLoss()
opt = optim.AdamW(model.parameters(), lr=0.01, weight_decay=1e-2)
sched = optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1)
best, best_state, history = math.inf, None, []
for epoch in range(4):
    model.train()
    for i in range(0, 32, 8):
        loss = loss_fn(model(X[i:i + 8]).squeeze(1), Y[i:i + 8])
        opt.zero_grad()
        loss.backward()
        opt.step()
        loss = loss.item()
        history.append(loss)
    model.eval()
    with torch.inference_mode():
        val = loss_fn(model(X[32:]).squeeze(1), Y[32:]).item()
    sched.step(val)
    if val < best:
        best, best_state = val, copy.deepcopy(model.state_dict())
model.load_state_dict(best_state)
model.eval()
with torch.no_grad():
    p = torch.sigmoid(model(X[32:])).squeeze(1)
print(((p > 0.5).float() == Y[32:]).float().mean().item())
"""
)
_ACCUMULATE = (
    HEAD
    + """
model = nn.Linear(5, 1)
opt = optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cuda", enabled=False)
total = 0.0
for i in range(8):
    with torch.autocast("cpu", enabled=False):
        loss = model(torch.randn(4, 5)).pow(2).mean() / 4
    scaler.scale(loss).backward()
    total += loss.detach()
    if (i + 1) % 4 == 0:
        scaler.step(opt)
        scaler.update()
        opt.zero_grad()
"""
)
_FUNCTION = (
    HEAD
    + """
class Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)
    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        return grad * (x > 0)
class Layer(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.register_buffer("scale", torch.ones(1))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.sizes = [n_in, n_out]
    def forward(self, x):
        return Clip.apply(x @ self.weight.t() + self.bias) * self.scale
model = nn.Sequential(Layer(4, 4), Layer(4, 2))
opt = optim.Adagrad(model.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    F.cross_entropy(model(torch.randn(6, 4)), torch.randint(0, 2, (6,))).backward()
    opt.step()
"""
)
_TRANSFER = (
    HEAD
    + """
backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
for param in backbone.parameters():
    param.requires_grad_(False)
model = nn.Sequential(backbone, nn.Linear(4, 2))
optimizer = optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.01)
features = {}
handle = backbone[2].register_forward_hook(lambda m, i, o: features.update(relu=o.detach()))
for epoch in range(2):
    for phase in ["train", "val"]:
        model.train() if phase == "train" else model.eval()
        for _ in range(2):
            x, y = torch.randn(4, 3, 8, 8), torch.randint(0, 2, (4,))
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                out = model(x)
                loss = F.cross_entropy(out, y)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
handle.remove()
"""
)
_STYLE = (
    HEAD
    + """
cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval().requires_grad_(False)
content = torch.rand(1, 3, 8, 8)
goal = cnn(content).detach()
image = torch.rand(1, 3, 8, 8).requires_grad_(True)
opt = optim.Adam([image], lr=0.1)
for _ in range(3):
    opt.zero_grad()
    loss = F.mse_loss(cnn(image), goal)
    loss.backward()
    opt.step()
"""
)
_EMA = (
    HEAD
    + """
model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
ema = copy.deepcopy(model).eval()
for p in ema.parameters():
    p.requires_grad = False
opt = optim.Adam(model.parameters())
for step in range(4):
    loss = model(torch.randn(8, 4)).pow(2).mean()
    opt.zero_grad(); loss.backward(); opt.step()
    with torch.no_grad():
        for a, b in zip(ema.parameters(), model.parameters()):
            a.mul_(0.9).add_(b, alpha=0.1)
print(ema(torch.randn(2, 4)).shape)
"""
)
_TRANSFORMER = (
    HEAD
    + """
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.pos = nn.Parameter(torch.zeros(1, 6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})
    def forward(self, x):
        h = self.encoder(self.embed(x) + self.pos).mean(1)
        return {k: head(h) for k, head in self.heads.items()}
model = Classifier()
opt = optim.AdamW(model.parameters(), lr=1e-3)
sched = optim.lr_scheduler.OneCycleLR(opt, 0.01, total_steps=4)
for step in range(3):
    out = model(torch.randint(0, 20, (4, 6)))
    loss = F.cross_entropy(out["a"], torch.randint(0, 2, (4,))) + 0.5 * F.cross_entropy(out["b"], torch.randint(0, 3, (4,)))
    model.zero_grad()
    loss.backward()
    opt.step()
    sched.step()
"""
)
_KFOLD = (
    HEAD
    + """
X, Y = torch.randn(12, 3), torch.randn(12, 1)
def rmse(net, X, Y):
    with torch.no_grad():
        return torch.sqrt(F.mse_loss(net(X), Y)).item()
def fit(net, X, Y):
    opt = optim.Adam(net.parameters(), lr=0.1)
    for _ in range(2):
        for x, y in DataLoader(TensorDataset(X, Y), 4, shuffle=True):
            opt.zero_grad()
            F.mse_loss(net(x), y).backward()
            opt.step()
scores = []
for k in range(3):
    mask = torch.ones(12, dtype=torch.bool); mask[k * 4:(k + 1) * 4] = False
    net = nn.Sequential(nn.Linear(3, 1))
    fit(net, X[mask], Y[mask])
    scores.append(rmse(net, X[~mask], Y[~mask]))
"""
)
_FACTORS = (
    HEAD
    + """
class MF(nn.Module):
    def __init__(self, users, items, k=4):
        super().__init__()
        self.P, self.Q = nn.Embedding(users, k), nn.Embedding(items, k)
        self.bias = nn.Embedding(users, 1)
    def forward(self, u, i):
        return (self.P(u) * self.Q(i)).sum(1) + self.bias(u).squeeze()
net = MF(5, 6)
opt = optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    u, i, r = torch.randint(0, 5, (8,)), torch.randint(0, 6, (8,)), torch.rand(8)
    l = F.mse_loss(net(u, i), r)
    opt.zero_grad(); l.backward(); opt.step()
"""
)
RIGHT = {
    "by_hand": _BY_HAND, "cnn": _CNN, "vae": _VAE, "rnn": _RNN, "dqn": _DQN, "reinforce": _REINFORCE, "siamese": _SIAMESE,
    "distill": _DISTILL, "pinn": _PINN, "lbfgs": _LBFGS, "early": _EARLY, "accumulate": _ACCUMULATE, "function": _FUNCTION,
    "transfer": _TRANSFER, "style": _STYLE, "ema": _EMA, "transformer": _TRANSFORMER, "kfold": _KFOLD, "factors": _FACTORS,
}  # fmt: skip


def _changed(name: str, *parts: tuple[str, str]) -> str:
    text = RIGHT[name]
    for old, new in parts:
        assert old in text, (name, old)
        text = text.replace(old, new)
    return text


WRONG = {
    "cnn_no_eval": (_changed("cnn", ("    net.eval()\n", "")), "no-eval"),
    "cnn_no_train": (_changed("cnn", ("    net.train()\n", "")), "trained-in-eval"),
    "cnn_no_grad": (_changed("cnn", ("    with torch.no_grad():\n", "    if True:\n")), "no-no-grad"),
    "cnn_sum": (_changed("cnn", ("+= loss.item()", "+= loss")), "graph-kept"),
    "cnn_softmax": (_changed("cnn", ("return self.classifier(x)", "return torch.softmax(self.classifier(x), dim=-1)")),
                    "softmax-before-cross-entropy"),
    "cnn_no_zero": (_changed("cnn", ("        optimizer.zero_grad()\n", "")), "no-zero-grad"),
    "cnn_super": (_changed("cnn", ("        super(LeNet, self).__init__()\n", "")), "missing-super"),
    "cnn_shape": (_changed("cnn", ("4 * 4 * 4", "4 * 5 * 5")), "raised"),
    "vae_list": (_changed("vae", ("self.enc = nn.Linear(8, 4)", "self.enc = [nn.Linear(8, 4)]"), ("self.enc(x)", "self.enc[0](x)")),
                 "plain-container"),
    "vae_item": (_changed("vae", ("    loss.backward()", "    loss = torch.tensor(loss.item(), requires_grad=True)\n    loss.backward()")),
                 "constant-loss"),
    "rnn_head_made_later": (_changed("rnn", ("        self.fc = nn.Linear(hidden, vocab)\n", "        self.fc = None\n"),
                             ("state = None\nfor", "model.fc = nn.Linear(16, len(chars))\nstate = None\nfor")), "not-in-optimizer"),
    "rnn_state_kept": (_changed("rnn", ("    state = tuple(s.detach() for s in state)\n", "")), "raised"),
    "dqn_other_net": (_changed("dqn", ("optim.RMSprop(q.", "optim.RMSprop(target.")), "no-gradients"),
    "early_no_step": (_changed("early", ("        opt.step()\n", "")), "no-step"),
    "early_sigmoid": (_changed("early", ("nn.Linear(8, 1))", "nn.Linear(8, 1), nn.Sigmoid())")), "softmax-before-cross-entropy"),
    "early_zeroed": (_changed("early", ("        opt.zero_grad()\n        loss.backward()\n", "        loss.backward()\n        opt.zero_grad()\n")),
                     "no-gradients"),
    "function_weight": (_changed("function", ("nn.Parameter(torch.empty(n_out, n_in))", "torch.empty(n_out, n_in, requires_grad=True)")),
                        "plain-tensor"),
    "transfer_direct": (_changed("transfer", ("out = model(x)", "out = model[1](model[0].forward(model[0](x)) if False else "
                                              "backbone[2].forward(x).mean((2, 3))[:, :1].expand(-1, 4))")), "direct-forward"),
    "transformer_dict": (_changed("transformer", ("nn.ModuleDict({", "dict({")), "plain-container"),
    "transformer_layer": (_changed("transformer", ("head(h) for", "nn.Linear(8, 2 if k == 'a' else 3)(h) for")), "layer-in-forward"),
    "kfold_mode": (_changed("kfold", ("    with torch.no_grad():\n        return", "    if True:\n        return")), "no-no-grad"),
}  # fmt: skip
