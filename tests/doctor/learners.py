"""What learners write: scripts with one mistake each, with what is to be found, and scripts without any.

They are changes of one script. Out of scope: what the library itself warns of (`mse_loss` of shapes that are broadcast, a schedule's step
before the optimizer's), a log-softmax before `cross_entropy` (which changes nothing), a ReLU behind the last layer (which may be meant).
"""

HEAD = """import flambeau as torch
from flambeau import nn, optim
import flambeau.nn.functional as F
torch.manual_seed(0)
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(8, 3)
    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))
X, Y = torch.randn(24, 4), torch.randint(0, 3, (24,))
model = Net()
opt = optim.SGD(model.parameters(), lr=0.1)
loss_fn = nn.CrossEntropyLoss()
"""
LOOP = """
for epoch in range(2):
    model.train()
    for i in range(0, 24, 8):
        opt.zero_grad()
        loss = loss_fn(model(X[i:i+8]), Y[i:i+8])
        loss.backward()
        opt.step()
    model.eval()
    with torch.no_grad():
        acc = (model(X).argmax(1) == Y).float().mean().item()
"""


def changed(s, *p):
    """The script with some of its parts replaced, which must be there."""
    for a, b in p:
        assert a in s, a
        s = s.replace(a, b)
    return s


GOOD = HEAD + NET + LOOP  # nothing is wrong with it
HAND = (
    HEAD
    + """
w, b = torch.zeros(4, requires_grad=True), torch.zeros(1, requires_grad=True)
X, Y = torch.randn(8, 4), torch.randn(8)
for i in range(3):
    loss = ((X @ w + b - Y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for p in (w, b):
            p -= 0.1 * p.grad
            p.grad.zero_()
"""
)
BAD = {
    "by_hand": (changed(HAND, ("            p.grad.zero_()\n", "")), "grad-not-cleared"),
    "losses_plus_list": (
        changed(
            GOOD,
            ("for epoch", "losses = []\nfor epoch"),
            ("        opt.step()\n", "        opt.step()\n        losses = losses + [loss]\n"),
        ),
        "graph-kept",
    ),
    "no_super": (changed(GOOD, ("        super().__init__()\n", "")), "missing-super"),
    "list": (
        changed(GOOD, ("self.fc1 = nn.Linear(4, 8)", "self.l = [nn.Linear(4, 8)]"), ("self.fc1(x)", "self.l[0](x)")),
        "plain-container",
    ),
    "dict": (
        changed(
            GOOD, ("self.fc1 = nn.Linear(4, 8)", 'self.l = {"a": nn.Linear(4, 8)}'), ("self.fc1(x)", 'self.l["a"](x)')
        ),
        "plain-container",
    ),
    "tuple": (
        changed(GOOD, ("self.fc1 = nn.Linear(4, 8)", "self.l = (nn.Linear(4, 8),)"), ("self.fc1(x)", "self.l[0](x)")),
        "plain-container",
    ),
    "append": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "self.l = []\n        for _ in range(1): self.l.append(nn.Linear(4, 8))"),
            ("self.fc1(x)", "self.l[0](x)"),
        ),
        "plain-container",
    ),
    "listcomp": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "self.l = [nn.Linear(4, 8) for _ in range(1)]"),
            ("self.fc1(x)", "self.l[0](x)"),
        ),
        "plain-container",
    ),
    "extend": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "self.l = []\n        self.l.extend([nn.Linear(4, 8)])"),
            ("self.fc1(x)", "self.l[0](x)"),
        ),
        "plain-container",
    ),
    "plusequal": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "self.l = []\n        self.l += [nn.Linear(4, 8)]"),
            ("self.fc1(x)", "self.l[0](x)"),
        ),
        "plain-container",
    ),
    "local_list": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "ls = []\n        ls.append(nn.Linear(4, 8))\n        self.l = ls"),
            ("self.fc1(x)", "self.l[0](x)"),
        ),
        "plain-container",
    ),
    "tensor_weight": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "self.w = torch.randn(4, 8, requires_grad=True)"),
            ("self.fc1(x)", "(x @ self.w)"),
        ),
        "plain-tensor",
    ),
    "param_list": (
        changed(
            GOOD,
            ("self.fc1 = nn.Linear(4, 8)", "self.ws = [nn.Parameter(torch.randn(4, 8))]"),
            ("self.fc1(x)", "(x @ self.ws[0])"),
        ),
        "plain-container",
    ),
    "layer_in_forward": (changed(GOOD, ("self.fc1(x)", "nn.Linear(4, 8)(x)")), "layer-in-forward"),
    "dropout_in_forward": (changed(GOOD, ("self.drop(", "nn.Dropout(0.2)(")), "layer-in-forward"),
    "no_zero": (changed(GOOD, ("        opt.zero_grad()\n", "")), "no-zero-grad"),
    "no_zero_func": (
        HEAD
        + NET
        + """
def train_step(x, y):
    loss = loss_fn(model(x), y)
    loss.backward()
    opt.step()
for i in range(0, 24, 8):
    train_step(X[i:i+8], Y[i:i+8])
""",
        "no-zero-grad",
    ),
    "zero_after_backward": (
        changed(
            GOOD,
            ("        opt.zero_grad()\n", ""),
            ("        loss.backward()\n", "        loss.backward()\n        opt.zero_grad()\n"),
        ),
        "no-gradients",
    ),
    "no_backward": (changed(GOOD, ("        loss.backward()\n", "")), "no-gradients"),
    "no_step": (changed(GOOD, ("        opt.step()\n", "")), "no-step"),
    "softmax": (
        changed(GOOD, ("return self.fc2(", "return F.softmax(self.fc2("), ("self.fc1(x))))", "self.fc1(x)))), dim=1)")),
        "softmax-before-cross-entropy",
    ),
    "nn_softmax": (
        changed(GOOD, ("loss_fn(model(X[i:i+8])", "loss_fn(nn.Softmax(dim=1)(model(X[i:i+8]))")),
        "softmax-before-cross-entropy",
    ),
    "sigmoid_bce": (
        changed(
            GOOD,
            ("nn.CrossEntropyLoss()", "nn.BCEWithLogitsLoss()"),
            (
                "loss_fn(model(X[i:i+8]), Y[i:i+8])",
                "loss_fn(torch.sigmoid(model(X[i:i+8])[:, 0]), Y[i:i+8].clamp(max=1).float())",
            ),
        ),
        "softmax-before-cross-entropy",
    ),
    "nll_softmax": (
        changed(
            GOOD,
            ("nn.CrossEntropyLoss()", "nn.NLLLoss()"),
            ("loss_fn(model(X[i:i+8])", "loss_fn(F.softmax(model(X[i:i+8]), 1)"),
        ),
        "probabilities-in-nll",
    ),
    "nll_logits": (changed(GOOD, ("nn.CrossEntropyLoss()", "nn.NLLLoss()")), "scores-in-nll"),
    "no_eval": (changed(GOOD, ("    model.eval()\n", "")), "no-eval"),
    "no_nograd": (changed(GOOD, ("    with torch.no_grad():\n        acc", "    if True:\n        acc")), "no-no-grad"),
    "no_train_again": (changed(GOOD, ("    model.train()\n", "")), "trained-in-eval"),
    "item_loss": (
        changed(GOOD, ("loss.backward()", "torch.tensor(loss.item(), requires_grad=True).backward()")),
        "constant-loss",
    ),
    "detach": (
        changed(GOOD, ("loss = loss_fn(model(X[i:i+8]),", "loss = loss_fn(model(X[i:i+8]).detach(),")),
        "constant-loss",
    ),
    "nograd_train": (
        changed(GOOD, ("        loss = loss_fn(", "        with torch.no_grad(): loss = loss_fn(")),
        "constant-loss",
    ),
    "argmax_loss": (
        changed(
            GOOD, ("loss_fn(model(X[i:i+8]), Y[i:i+8])", "(model(X[i:i+8]).argmax(1) - Y[i:i+8]).float().pow(2).mean()")
        ),
        "constant-loss",
    ),
    "opt_other_model": (
        changed(GOOD, ("opt = optim.SGD(model.parameters()", "opt = optim.SGD(Net().parameters()")),
        "no-gradients",
    ),
    "opt_partial": (
        changed(GOOD, ("opt = optim.SGD(model.parameters()", "opt = optim.SGD(model.fc2.parameters()")),
        "not-in-optimizer",
    ),
    "layer_after_opt": (
        changed(GOOD, ("loss_fn = nn.Cross", "model.fc2 = nn.Linear(8, 3)\nloss_fn = nn.Cross")),
        "not-in-optimizer",
    ),
    "frozen_all": (
        changed(GOOD, ("opt = optim", "for p in model.parameters(): p.requires_grad = False\nopt = optim")),
        "constant-loss",
    ),
    "direct_forward": (
        changed(
            GOOD,
            ("loss_fn = nn.Cross", "h = model.register_forward_hook(lambda *a: None)\nloss_fn = nn.Cross"),
            ("loss_fn(model(X", "loss_fn(model.forward(X"),
        ),
        "direct-forward",
    ),
    "hoarding_loss": (
        changed(
            GOOD,
            ("for epoch in range(2):", "total = 0\nfor epoch in range(2):"),
            ("        opt.step()\n", "        opt.step()\n        total += loss\n"),
        ),
        "graph-kept",
    ),
    "loss_list": (
        changed(
            GOOD,
            ("for epoch in range(2):", "losses = []\nfor epoch in range(2):"),
            ("        opt.step()\n", "        opt.step()\n        losses.append(loss)\n"),
        ),
        "graph-kept",
    ),
    "float_target": (
        changed(GOOD, ("loss_fn(model(X[i:i+8]), Y[i:i+8])", "loss_fn(model(X[i:i+8]), Y[i:i+8].float())")),
        "raised",
    ),
    "double_input": (changed(GOOD, ("torch.randn(24, 4)", "torch.randn(24, 4).double()")), "raised"),
    "backward_twice": (
        changed(GOOD, ("        loss.backward()\n", "        loss.backward()\n        loss.backward()\n")),
        "raised",
    ),
}
CLEAN = {
    "by_hand": HAND,
    "plain": GOOD,
    "zero_model": changed(GOOD, ("opt.zero_grad()", "model.zero_grad()")),
    "set_none": changed(GOOD, ("opt.zero_grad()", '[setattr(p, "grad", None) for p in model.parameters()]')),
    "modulelist": changed(
        GOOD,
        ("self.fc1 = nn.Linear(4, 8)", "self.l = nn.ModuleList([nn.Linear(4, 8)])"),
        ("self.fc1(x)", "self.l[0](x)"),
    ),
    "sequential_splat": changed(
        GOOD,
        (
            "self.fc1 = nn.Linear(4, 8)",
            "layers = []\n        layers.append(nn.Linear(4, 8))\n        self.fc1 = nn.Sequential(*layers)",
        ),
    ),
    "closure": HEAD
    + NET
    + """
opt = optim.LBFGS(model.parameters())
def closure():
    opt.zero_grad()
    loss = loss_fn(model(X), Y)
    loss.backward()
    return loss
for _ in range(2): opt.step(closure)
""",
    "accumulate": changed(
        GOOD,
        ("        opt.zero_grad()\n", ""),
        ("        opt.step()\n", "        if i == 16:\n            opt.step()\n            opt.zero_grad()\n"),
    ),
    "manual_sgd": HEAD
    + NET
    + """
for _ in range(3):
    loss = loss_fn(model(X), Y)
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in model.parameters(): p -= 0.1 * p.grad
""",
    "gan": HEAD
    + """
g = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
d = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
og, od = optim.Adam(g.parameters()), optim.Adam(d.parameters())
bce = nn.BCEWithLogitsLoss()
for _ in range(4):
    fake = g(torch.randn(8, 2))
    od.zero_grad()
    (bce(d(torch.randn(8, 2)), torch.ones(8, 1)) + bce(d(fake.detach()), torch.zeros(8, 1))).backward()
    od.step()
    og.zero_grad()
    bce(d(fake), torch.ones(8, 1)).backward()
    og.step()
""",
    "transfer": HEAD
    + NET
    + """
for p in model.fc1.parameters(): p.requires_grad = False
opt = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
"""
    + LOOP,
    "inference_mode": changed(GOOD, ("torch.no_grad()", "torch.inference_mode()")),
    "decorated": HEAD
    + NET
    + LOOP.split("    model.eval")[0]
    + """
@torch.no_grad()
def evaluate():
    model.eval()
    return model(X).argmax(1)
evaluate()
""",
    "scheduler": changed(
        GOOD,
        ("loss_fn = nn.Cross", "sched = optim.lr_scheduler.StepLR(opt, 1)\nloss_fn = nn.Cross"),
        ("    model.eval()\n", "    sched.step()\n    model.eval()\n"),
    ),
    "clip": changed(
        GOOD,
        ("        opt.step()\n", "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n        opt.step()\n"),
    ),
    "compile": HEAD
    + NET
    + """
@torch.compile
def step(x, y):
    opt.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    opt.step()
    return loss
for i in range(0, 24, 8): step(X[i:i+8], Y[i:i+8])
""",
    "probs_look": GOOD
    + """
with torch.no_grad():
    print(F.softmax(model(X[:1]), dim=1).sum())
""",
    "regression": HEAD
    + """
x = torch.linspace(0, 1, 16)[:, None]; y = 2 * x + 1
net = nn.Linear(1, 1); opt = optim.SGD(net.parameters(), 0.1)
for _ in range(5):
    loss = F.mse_loss(net(x), y)
    opt.zero_grad(); loss.backward(); opt.step()
print(net.weight.item())
""",
    "save_load": GOOD
    + """
import io
b = io.BytesIO(); torch.save(model.state_dict(), b); b.seek(0)
again = Net(); again.load_state_dict(torch.load(b)); again.eval()
with torch.no_grad(): again(X)
""",
    "rnn": HEAD
    + """
class R(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 4, batch_first=True); self.out = nn.Linear(4, 1)
    def forward(self, x):
        o, _ = self.rnn(x)
        return self.out(o[:, -1])
m = R(); opt = optim.Adam(m.parameters())
for _ in range(3):
    opt.zero_grad(); F.mse_loss(m(torch.randn(4, 5, 2)), torch.zeros(4, 1)).backward(); opt.step()
""",
    "shape_check_first": HEAD
    + NET
    + """
print(model(X[:1]).shape)
"""
    + LOOP,
    "strings_list": changed(
        GOOD,
        (
            "self.fc1 = nn.Linear(4, 8)",
            'self.sizes = [4, 8]\n        self.names = {"a": 1}\n        self.fc1 = nn.Linear(*self.sizes)',
        ),
    ),
    "attack": HEAD
    + NET
    + LOOP
    + """
x = X[:1].clone().requires_grad_(True)
model.eval()
loss_fn(model(x), Y[:1]).backward()
print(x.grad.sign().shape)
""",
    "gan_no_detach_loop": HEAD
    + NET
    + """
best = float("inf")
for epoch in range(3):
    model.train(); opt.zero_grad()
    loss = loss_fn(model(X), Y); loss.backward(); opt.step()
    running = loss.item()
    losses = [running]
    best = min(best, running)
""",
}
