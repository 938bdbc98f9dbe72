"""Mistakes in disguise: in trainers, helper functions, classes and what notebooks have; and as many programs that are right."""

# ruff: noqa: E501
# fmt: off

from doctor.learners import changed

HEAD = """import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F
import flambeau.optim as optim
from flambeau.utils.data import DataLoader, TensorDataset, Dataset
torch.manual_seed(0)
"""
DATA = """
def data(n=24):
    x = torch.randn(n, 4)
    return TensorDataset(x, (x.sum(1) > 0).long())
train_dl, test_dl = DataLoader(data(), batch_size=8, shuffle=True), DataLoader(data(), batch_size=8)
"""
NET = """
class MLP(nn.Module):
    def __init__(self, hidden=8, classes=3, p=0.1):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))
        self.head = nn.Linear(hidden, classes)
    def forward(self, x):
        return self.head(self.body(x))
"""
TRAINER = """
class Trainer:
    def __init__(self, model, lr=0.1):
        self.model = model
        self.opt = optim.SGD(model.parameters(), lr=lr)
        self.criterion = nn.CrossEntropyLoss()
        self.history = []
    def step(self, batch):
        x, y = batch
        self.opt.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.opt.step()
        return loss
    def fit(self, dl, epochs=2):
        for _ in range(epochs):
            self.model.train()
            for batch in dl:
                self.history.append(self.step(batch).item())
    @torch.no_grad()
    def evaluate(self, dl):
        self.model.eval()
        return sum((self.model(x).argmax(1) == y).sum().item() for x, y in dl)
t = Trainer(MLP())
t.fit(train_dl)
print(t.evaluate(test_dl))
"""
GOOD = HEAD + DATA + NET + TRAINER
WRONG = {
 # missing super
 "super_forgotten_parens": (changed(GOOD, ("super().__init__()", "super().__init__")), "missing-super"),
 "super_in_helper_base": (HEAD + DATA + changed(NET, ("class MLP(nn.Module):", "class Base(nn.Module):\n    def __init__(self, name):\n        self.name = name\nclass MLP(Base):"), ("super().__init__()", "super().__init__('mlp')")) + TRAINER, "missing-super"),
 "super_build_method": (changed(GOOD, ("        super().__init__()\n        self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))\n        self.head = nn.Linear(hidden, classes)\n", "        self.build(hidden, classes, p)\n    def build(self, hidden, classes, p):\n        self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))\n        self.head = nn.Linear(hidden, classes)\n")), "missing-super"),
 "super_late_cond": (changed(GOOD, ("        super().__init__()\n", "        self.act = nn.ReLU()\n        super(MLP, self).__init__()\n")), "late-super"),
 "from_import_module": (changed(GOOD, ("import flambeau.nn as nn\n", "import flambeau.nn as nn\nfrom flambeau.nn import Module, Linear\n"), ("(nn.Module)", "(Module)"), ("        super().__init__()\n        self.body", "        self.body")), "missing-super"),
 # plain containers
 "helper_returns_list": (changed(GOOD, ("class MLP", "def make_layers(h):\n    return [nn.Linear(4, h), nn.ReLU()]\nclass MLP"), ("self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))", "self.layers = make_layers(hidden)"), ("return self.head(self.body(x))", "for l in self.layers: x = l(x)\n        return self.head(x)")), "plain-container"),
 "from_import_linear": (changed(GOOD, ("import flambeau.nn as nn\n", "import flambeau.nn as nn\nfrom flambeau.nn import Linear, ReLU\n"), ("self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))", "self.layers = [Linear(4, hidden), ReLU()]"), ("return self.head(self.body(x))", "for l in self.layers: x = l(x)\n        return self.head(x)")), "plain-container"),
 "nested_dict_of_lists": (changed(GOOD, ("self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))", "self.b = {}\n        for k in ('a',): self.b[k] = nn.Linear(4, hidden)"), ("self.body(x)", "self.b['a'](x)")), "plain-container"),
 "setup_method_list": (changed(GOOD, ("self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))", "self._make(hidden)"), ("    def forward", "    def _make(self, h):\n        self.blocks = []\n        self.blocks.append(nn.Linear(4, h))\n    def forward"), ("self.body(x)", "self.blocks[0](x)")), "plain-container"),
 "deque": (changed(GOOD, ("import flambeau as torch", "from collections import OrderedDict, deque\nimport flambeau as torch"), ("self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(p))", "self.blocks = OrderedDict(a=nn.Linear(4, hidden))"), ("self.body(x)", "self.blocks['a'](x)")), "plain-container"),
 # direct forward
 "direct_forward_trainer": (changed(GOOD, ("t = Trainer(MLP())", "net = MLP()\nfeats = {}\nnet.body.register_forward_hook(lambda m, i, o: feats.update(o=o.detach()))\nt = Trainer(net)"), ("return self.head(self.body(x))", "return self.head(self.body.forward(x))")), "direct-forward"),
 "direct_forward_prehook": (changed(GOOD, ("t = Trainer(MLP())", "net = MLP()\nnet.register_forward_pre_hook(lambda m, i: None)\nt = Trainer(net)"), ("self.model(x), y", "self.model.forward(x), y")), "direct-forward"),
 "direct_forward_backward_hook": (changed(GOOD, ("t = Trainer(MLP())", "net = MLP()\nnet.head.register_full_backward_hook(lambda m, i, o: None)\nt = Trainer(net)"), ("self.head(self.body(x))", "self.head.forward(self.body(x))")), "direct-forward"),
 # no eval
 "no_eval_trainer": (changed(GOOD, ("        self.model.eval()\n", "")), "no-eval"),
 "no_eval_method": (changed(GOOD, ("self.model.eval()", "self.model.eval")), "no-eval"),
 "no_eval_predict_one": (HEAD + DATA + NET + changed(TRAINER, ("print(t.evaluate(test_dl))", "def predict(model, x):\n    with torch.no_grad():\n        return model(x).softmax(-1)\nprint(predict(t.model, torch.randn(1, 4)))")), "no-eval"),
 "no_eval_after_epoch": (HEAD + DATA + NET + """
def run(model, dl, opt=None):
    total = 0.
    with torch.set_grad_enabled(opt is not None):
        for x, y in dl:
            loss = F.cross_entropy(model(x), y)
            if opt is not None:
                opt.zero_grad(); loss.backward(); opt.step()
            total += loss.item()
    return total
m = MLP(); o = optim.Adam(m.parameters())
for e in range(2):
    print(run(m, train_dl, o)); print(run(m, test_dl))
""", "no-eval"),
 "no_eval_submodule_only": (changed(GOOD, ("self.model.eval()", "self.model.head.eval()")), "no-eval"),
 # no no_grad
 "no_nograd_trainer": (changed(GOOD, ("    @torch.no_grad()\n", "")), "no-no-grad"),
 "nograd_not_called": (changed(GOOD, ("    @torch.no_grad()\n", ""), ("self.model.eval()\n", "self.model.eval(); torch.no_grad()\n")), "no-no-grad"),
 "no_nograd_data": (changed(GOOD, ("    @torch.no_grad()\n", ""), ("self.model(x).argmax(1)", "self.model(x).data.argmax(1)")), "no-no-grad"),
 "no_nograd_preds": (changed(GOOD, ("    @torch.no_grad()\n", ""), ("return sum((self.model(x).argmax(1) == y).sum().item() for x, y in dl)", "return torch.cat([self.model(x) for x, _ in dl]).shape")), "no-no-grad"),
 # zero grad
 "no_zero_trainer": (changed(GOOD, ("        self.opt.zero_grad()\n", "")), "no-zero-grad"),
 "zero_not_called": (changed(GOOD, ("self.opt.zero_grad()", "self.opt.zero_grad")), "no-zero-grad"),
 "zero_once_before": (changed(GOOD, ("        self.opt.zero_grad()\n", ""), ("        for _ in range(epochs):", "        self.opt.zero_grad()\n        for _ in range(epochs):")), "no-zero-grad"),
 "zero_other_model": (changed(GOOD, ("self.opt.zero_grad()", "MLP().zero_grad()")), "no-zero-grad"),
 "zero_per_epoch": (changed(GOOD, ("        self.opt.zero_grad()\n", ""), ("            self.model.train()\n", "            self.model.train(); self.opt.zero_grad()\n")), "no-zero-grad"),
 # softmax
 "softmax_module_last": (changed(GOOD, ("self.head = nn.Linear(hidden, classes)", "self.head = nn.Sequential(nn.Linear(hidden, classes), nn.Softmax(dim=-1))")), "softmax-before-cross-entropy"),
 "softmax_method": (changed(GOOD, ("return self.head(self.body(x))", "out = self.head(self.body(x))\n        probs = out.softmax(dim=1)\n        return probs")), "softmax-before-cross-entropy"),
 "softmax_exp_by_hand": (changed(GOOD, ("return self.head(self.body(x))", "e = self.head(self.body(x)).exp()\n        return e / e.sum(1, keepdim=True)")), "softmax-before-cross-entropy"),
 "sigmoid_last_bce": (changed(GOOD, ("nn.CrossEntropyLoss()", "nn.BCEWithLogitsLoss()"), ("return self.head(self.body(x))", "return self.head(self.body(x)).sigmoid()"), ("(self.model(x), y)", "(self.model(x)[:, :1], y.float().unsqueeze(1))")), "softmax-before-cross-entropy"),
 "softmax_float": (changed(GOOD, ("self.criterion(self.model(x), y)", "self.criterion(torch.softmax(self.model(x), 1).float(), y)")), "softmax-before-cross-entropy"),
 "softmax_log_clamp": (changed(GOOD, ("self.criterion(self.model(x), y)", "self.criterion(torch.softmax(self.model(x), 1).clamp(min=1e-7), y)")), "softmax-before-cross-entropy"),
 # constant loss
 "const_numpy": (changed(GOOD, ("loss = self.criterion(self.model(x), y)", "loss = self.criterion(torch.tensor(self.model(x).detach().numpy(), requires_grad=True), y)")), "constant-loss"),
 "const_accuracy": (changed(GOOD, ("loss = self.criterion(self.model(x), y)", "loss = 1 - (self.model(x).argmax(1) == y).float().mean()\n        loss.requires_grad = True")), "constant-loss"),
 "const_variable": (changed(GOOD, ("loss = self.criterion(self.model(x), y)", "loss = torch.autograd.Variable(self.criterion(self.model(x), y).data, requires_grad=True)")), "constant-loss"),
 "const_tensor_of_list": (changed(GOOD, ("loss = self.criterion(self.model(x), y)", "loss = torch.tensor([self.criterion(self.model(x[i:i+1]), y[i:i+1]) for i in range(len(x))], requires_grad=True).mean()")), "constant-loss"),
 "const_nograd_forward": (changed(GOOD, ("    def forward", "    @torch.no_grad()\n    def forward")), "constant-loss"),
 # optimizer lacks
 "opt_only_head_named": (changed(GOOD, ("optim.SGD(model.parameters(), lr=lr)", "optim.SGD([p for n, p in model.named_parameters() if 'weight' in n], lr=lr)")), "not-in-optimizer"),
 "opt_before_replace_head": (changed(GOOD, ("t = Trainer(MLP())", "t = Trainer(MLP())\nt.model.head = nn.Linear(8, 2)")), "not-in-optimizer"),
 "opt_deepcopy": (changed(GOOD, ("import flambeau as torch", "import copy\nimport flambeau as torch"), ("t = Trainer(MLP())", "t = Trainer(MLP())\nt.model = copy.deepcopy(t.model)")), "no-gradients"),
 "opt_exhausted_generator": (changed(GOOD, ("        self.opt = optim.SGD(model.parameters(), lr=lr)", "        ps = model.body.parameters()\n        self.opt = optim.SGD([{'params': ps}], lr=lr)")), "not-in-optimizer"),
 # others
 "graph_kept_history": (changed(GOOD, ("self.step(batch).item()", "self.step(batch)")), "graph-kept"),
 "graph_kept_total": (changed(GOOD, ("        for _ in range(epochs):", "        total = 0\n        for _ in range(epochs):"), ("self.history.append(self.step(batch).item())", "total += self.step(batch)")), "graph-kept"),
 "graph_kept_dict": (HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
logs = {"loss": [], "epoch": []}
for e in range(2):
    run = 0.0
    for x, y in train_dl:
        o.zero_grad(); out = m(x); loss = F.cross_entropy(out, y); loss.backward(); o.step()
        run += loss * len(x)
    logs["loss"].append(run)
""", "graph-kept"),
 "graph_kept_out": (HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
outs = []
for e in range(2):
    for x, y in train_dl:
        o.zero_grad(); out = m(x); loss = F.cross_entropy(out, y); loss.backward(); o.step()
        outs.append(out)
""", "graph-kept"),
 "eval_never_back": (changed(GOOD, ("            self.model.train()\n", ""), ("                self.history.append(self.step(batch).item())", "                self.history.append(self.step(batch).item())\n            self.evaluate(dl)")), "trained-in-eval"),
 "layer_in_forward_assigned": (changed(GOOD, ("return self.head(self.body(x))", "drop = nn.Dropout(0.5)\n        fc = nn.Linear(4, 4)\n        return self.head(self.body(fc(x)))")), "layer-in-forward"),
 "layer_in_forward_self": (changed(GOOD, ("return self.head(self.body(x))", "self.fc = nn.Linear(4, 4)\n        return self.head(self.body(self.fc(x)))")), "layer-in-forward"),
 "layer_in_helper_of_forward": (changed(GOOD, ("return self.head(self.body(x))", "return self.head(self.body(self.pre(x)))\n    def pre(self, x):\n        return nn.BatchNorm1d(4)(x)")), "layer-in-forward"),
 "layer_in_forward_from": (changed(GOOD, ("import flambeau.nn as nn\n", "import flambeau.nn as nn\nfrom flambeau.nn import Linear\n"), ("return self.head(self.body(x))", "return self.head(self.body(Linear(4, 4)(x)))")), "layer-in-forward"),
 "plain_tensor_attr": (changed(GOOD, ("self.head = nn.Linear(hidden, classes)", "self.head = nn.Linear(hidden, classes)\n        self.scale = torch.ones(1)\n        self.scale.requires_grad = True"), ("return self.head(self.body(x))", "return self.scale * self.head(self.body(x))")), "plain-tensor"),
 "plain_tensor_variable": (changed(GOOD, ("self.head = nn.Linear(hidden, classes)", "self.head = nn.Linear(hidden, classes)\n        self.scale = torch.autograd.Variable(torch.ones(1), requires_grad=True)"), ("return self.head(self.body(x))", "return self.scale * self.head(self.body(x))")), "plain-tensor"),
 "plain_tensor_param_to": (changed(GOOD, ("self.head = nn.Linear(hidden, classes)", "self.head = nn.Linear(hidden, classes)\n        self.scale = nn.Parameter(torch.ones(1)).to(torch.float64).float()"), ("return self.head(self.body(x))", "return self.scale * self.head(self.body(x))"), ("epochs=2", "epochs=1"), ("loss.backward()", "loss.backward(retain_graph=True)")), "plain-tensor"),
 "no_step_trainer": (changed(GOOD, ("        self.opt.step()\n", "")), "no-step"),
 "step_not_called": (changed(GOOD, ("self.opt.step()", "self.opt.step")), "no-step"),
 "sched_instead": (changed(GOOD, ("        self.opt.step()\n", "        self.sched.step()\n"), ("        self.history = []", "        self.history = []\n        self.sched = optim.lr_scheduler.StepLR(self.opt, 10)")), "no-step"),
 "backward_forgotten": (changed(GOOD, ("        loss.backward()\n", "        loss.backward\n")), "no-gradients"),
 "zero_between": (changed(GOOD, ("        self.opt.zero_grad()\n", ""), ("        self.opt.step()\n", "        self.model.zero_grad()\n        self.opt.step()\n")), "no-gradients"),
 "nll_prob_trainer": (changed(GOOD, ("nn.CrossEntropyLoss()", "nn.NLLLoss()"), ("return self.head(self.body(x))", "return F.softmax(self.head(self.body(x)), -1)")), "probabilities-in-nll"),
 "nll_sigmoid": (changed(GOOD, ("nn.CrossEntropyLoss()", "F.nll_loss"), ("return self.head(self.body(x))", "return torch.sigmoid(self.head(self.body(x)))")), "scores-in-nll"),
 "by_hand_class": (HEAD + """
class LR:
    def __init__(self):
        self.w = torch.zeros(4, 1, requires_grad=True)
        self.b = torch.zeros(1, requires_grad=True)
    def params(self): return [self.w, self.b]
def sgd(params, lr):
    for p in params:
        p.data = p.data - lr * p.grad
X = torch.randn(16, 4); y = X.sum(1, keepdim=True); m = LR()
for e in range(3):
    loss = F.mse_loss(X @ m.w + m.b, y)
    loss.backward()
    sgd(m.params(), 0.1)
""", "grad-not-cleared"),
 "by_hand_data_sub": (HEAD + """
w = torch.zeros(4, 1, requires_grad=True)
X = torch.randn(16, 4); y = X.sum(1, keepdim=True)
for e in range(3):
    loss = ((X @ w - y) ** 2).mean()
    loss.backward()
    w.data -= 0.1 * w.grad
""", "grad-not-cleared"),
 "by_hand_data_sub_": (HEAD + """
w = torch.zeros(4, 1, requires_grad=True)
X = torch.randn(16, 4); y = X.sum(1, keepdim=True)
for e in range(3):
    loss = ((X @ w - y) ** 2).mean()
    loss.backward()
    w.data.sub_(0.1 * w.grad.data)
""", "grad-not-cleared"),
}

RIGHT = {
 "trainer": GOOD,
 "old_zero_data": HEAD + """
w = torch.randn(4, 1, requires_grad=True)
X = torch.randn(16, 4); y = X.sum(1, keepdim=True)
for e in range(3):
    loss = (X.mm(w) - y).pow(2).sum()
    loss.backward()
    w.data -= 1e-3 * w.grad.data
    w.grad.data.zero_()
""",
 "grad_none": HEAD + """
w = torch.randn(4, 1, requires_grad=True)
X = torch.randn(16, 4); y = X.sum(1, keepdim=True)
for e in range(3):
    loss = (X.mm(w) - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        w -= 1e-3 * w.grad
        w.grad = None
""",
 "zero_before_backward": HEAD + """
w = torch.randn(4, 1, requires_grad=True)
X = torch.randn(16, 4); y = X.sum(1, keepdim=True)
for e in range(3):
    loss = (X.mm(w) - y).pow(2).sum()
    if w.grad is not None: w.grad.zero_()
    loss.backward()
    w.data.sub_(1e-3 * w.grad)
""",
 "d2l_sgd": HEAD + """
def sgd(params, lr, batch_size):
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad / batch_size
            param.grad.zero_()
def data_iter(b, X, y):
    for i in range(0, len(X), b): yield X[i:i+b], y[i:i+b]
w = torch.normal(0, 0.01, size=(2, 1), requires_grad=True); b = torch.zeros(1, requires_grad=True)
X = torch.randn(40, 2); y = X @ torch.tensor([[2.], [-3.4]]) + 4.2
for epoch in range(3):
    for a, t in data_iter(10, X, y):
        l = ((a @ w + b - t.reshape(-1, 1)) ** 2 / 2)
        l.sum().backward()
        sgd([w, b], 0.03, 10)
    with torch.no_grad():
        print(float(((X @ w + b - y) ** 2 / 2).mean()))
""",
 "autograd_lesson": HEAD + """
x = torch.arange(4.0, requires_grad=True)
y = 2 * torch.dot(x, x); y.backward(); print(x.grad)
x.grad.zero_(); y = x.sum(); y.backward()
x.grad.zero_(); y = x * x; u = y.detach(); z = u * x; z.sum().backward()
x.grad.zero_(); y.sum().backward(); print(x.grad == 2 * x)
""",
 "accumulating_lesson": HEAD + """
x = torch.ones(3, requires_grad=True)
for _ in range(3):
    (x * 2).sum().backward()
    print(x.grad)
""",
 "set_grad_enabled": HEAD + DATA + NET + """
def run(model, dl, opt=None):
    train = opt is not None
    model.train(train)
    total = 0.
    with torch.set_grad_enabled(train):
        for x, y in dl:
            loss = F.cross_entropy(model(x), y)
            if train:
                opt.zero_grad(); loss.backward(); opt.step()
            total += loss.item()
    return total
m = MLP(); o = optim.Adam(m.parameters())
for e in range(2):
    print(run(m, train_dl, o)); print(run(m, test_dl))
""",
 "swa": HEAD + DATA + NET.replace("nn.ReLU()", "nn.BatchNorm1d(hidden), nn.ReLU()") + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
swa = optim.swa_utils.AveragedModel(m); sched = optim.swa_utils.SWALR(o, swa_lr=0.05)
for e in range(2):
    m.train()
    for x, y in train_dl:
        o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
    swa.update_parameters(m); sched.step()
optim.swa_utils.update_bn(train_dl, swa)
swa.eval()
with torch.no_grad():
    for x, y in test_dl: swa(x)
""",
 "checkpointing": HEAD + DATA + NET + """
from flambeau.utils.checkpoint import checkpoint
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
for e in range(2):
    for x, y in train_dl:
        o.zero_grad(); F.cross_entropy(checkpoint(m, x.requires_grad_(), use_reentrant=True), y).backward(); o.step()
""",
 "checkpointing2": HEAD + DATA + NET + """
from flambeau.utils.checkpoint import checkpoint
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
for e in range(2):
    for x, y in train_dl:
        o.zero_grad(); F.cross_entropy(checkpoint(m, x, use_reentrant=False), y).backward(); o.step()
""",
 "reinforce": HEAD + """
class Policy(nn.Module):
    def __init__(self):
        super().__init__(); self.a = nn.Linear(3, 8); self.drop = nn.Dropout(0.1); self.b = nn.Linear(8, 2)
        self.saved = []; self.rewards = []
    def forward(self, x):
        return F.softmax(self.b(F.relu(self.drop(self.a(x)))), dim=-1)
pi = Policy(); opt = optim.Adam(pi.parameters(), 1e-2)
from flambeau.distributions import Categorical
for ep in range(6):
    for t in range(6):
        d = Categorical(pi(torch.randn(1, 3))); a = d.sample(); pi.saved.append(d.log_prob(a)); pi.rewards.append(float(a))
    R, rs = 0, []
    for r in pi.rewards[::-1]: R = r + 0.9 * R; rs.insert(0, R)
    opt.zero_grad()
    loss = torch.cat([-l * r for l, r in zip(pi.saved, rs)]).sum()
    loss.backward(); opt.step()
    del pi.saved[:], pi.rewards[:]
""",
 "actor_critic": HEAD + """
actor, critic = nn.Linear(3, 2), nn.Linear(3, 1)
oa, oc = optim.Adam(actor.parameters()), optim.Adam(critic.parameters())
for _ in range(6):
    s = torch.randn(5, 3); v = critic(s); adv = torch.randn(5, 1) - v
    oc.zero_grad(); adv.pow(2).mean().backward(); oc.step()
    lp = F.log_softmax(actor(s), -1)[:, :1]
    oa.zero_grad(); (-lp * adv.detach()).mean().backward(); oa.step()
""",
 "dqn_target": HEAD + """
q, target = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 2)), nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 2))
target.load_state_dict(q.state_dict()); target.eval()
o = optim.Adam(q.parameters())
for i in range(6):
    s, s2, a, r = torch.randn(5, 3), torch.randn(5, 3), torch.randint(0, 2, (5, 1)), torch.randn(5)
    with torch.no_grad(): t = r + 0.9 * target(s2).max(1).values
    loss = F.smooth_l1_loss(q(s).gather(1, a).squeeze(1), t)
    o.zero_grad(); loss.backward(); nn.utils.clip_grad_value_(q.parameters(), 1); o.step()
    if i % 2 == 0: target.load_state_dict(q.state_dict())
""",
 "saliency": HEAD + DATA + NET + TRAINER + """
t.model.eval()
x = torch.randn(1, 4, requires_grad=True)
t.model(x)[0].max().backward()
print(x.grad.abs())
""",
 "input_optimization": HEAD + DATA + NET + TRAINER + """
t.model.eval()
for p in t.model.parameters(): p.requires_grad_(False)
x = torch.zeros(1, 4, requires_grad=True)
o = optim.Adam([x], lr=0.1)
for _ in range(5):
    o.zero_grad(); (-t.model(x)[0, 0]).backward(); o.step()
""",
 "fgsm_loop": HEAD + DATA + NET + TRAINER + """
t.model.eval()
for x, y in test_dl:
    x = x.clone().requires_grad_(True)
    loss = F.cross_entropy(t.model(x), y)
    t.model.zero_grad(); loss.backward()
    adv = x + 0.1 * x.grad.sign()
    with torch.no_grad(): t.model(adv)
""",
 "pgd_by_hand": HEAD + DATA + NET + TRAINER + """
t.model.eval()
x0 = torch.randn(4, 4); y = torch.zeros(4, dtype=torch.long)
x = x0.clone()
for _ in range(5):
    x.requires_grad_(True)
    loss = F.cross_entropy(t.model(x), y); loss.backward()
    x = (x + 0.1 * x.grad.sign()).detach()
""",
 "wgan_gp": HEAD + """
g, d = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
og, od = optim.RMSprop(g.parameters()), optim.RMSprop(d.parameters())
for it in range(6):
    for _ in range(2):
        real, fake = torch.randn(8, 2), g(torch.randn(8, 2)).detach()
        e = torch.rand(8, 1); mix = (e * real + (1 - e) * fake).requires_grad_(True)
        gr = torch.autograd.grad(d(mix).sum(), mix, create_graph=True)[0]
        od.zero_grad(); (d(fake).mean() - d(real).mean() + 10 * (gr.norm(2, 1) - 1).pow(2).mean()).backward(); od.step()
    og.zero_grad(); (-d(g(torch.randn(8, 2))).mean()).backward(); og.step()
""",
 "ema_teacher": HEAD + DATA + NET + """
import copy
m = MLP(); ema = copy.deepcopy(m).eval()
for p in ema.parameters(): p.requires_grad_(False)
o = optim.AdamW(m.parameters())
for e in range(2):
    for x, y in train_dl:
        with torch.no_grad(): soft = ema(x).softmax(-1)
        loss = F.cross_entropy(m(x), y) + F.kl_div(F.log_softmax(m(x), -1), soft, reduction="batchmean")
        o.zero_grad(); loss.backward(); o.step()
        with torch.no_grad():
            for a, b in zip(ema.parameters(), m.parameters()): a.mul_(0.9).add_(b, alpha=0.1)
""",
 "soft_targets": HEAD + DATA + NET + """
m = MLP(); o = optim.AdamW(m.parameters())
for x, y in train_dl:
    soft = F.one_hot(y, 3).float() * 0.9 + 0.1 / 3
    loss = F.cross_entropy(m(x), soft, label_smoothing=0.1)
    o.zero_grad(set_to_none=False); loss.backward(); o.step()
""",
 "accumulate_two_losses": HEAD + DATA + NET + """
m = MLP(); o = optim.AdamW(m.parameters())
for x, y in train_dl:
    o.zero_grad()
    F.cross_entropy(m(x), y).backward()
    (1e-3 * sum(p.pow(2).sum() for p in m.parameters())).backward()
    o.step()
""",
 "grad_accum_scaled": HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1); steps = 3
for e in range(3):
    for i, (x, y) in enumerate(train_dl):
        (F.cross_entropy(m(x), y) / steps).backward()
        if (i + 1) % steps == 0:
            o.step(); o.zero_grad()
""",
 "amp_scaler": HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1); scaler = torch.amp.GradScaler("cpu", enabled=False)
for x, y in train_dl:
    o.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16): loss = F.cross_entropy(m(x), y)
    scaler.scale(loss).backward(); scaler.step(o); scaler.update()
""",
 "rnn_bptt": HEAD + """
class R(nn.Module):
    def __init__(self):
        super().__init__(); self.cell = nn.GRUCell(3, 5); self.out = nn.Linear(5, 2); self.drop = nn.Dropout(0.2)
    def forward(self, x, h):
        outs = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h); outs.append(self.out(self.drop(h)))
        return torch.stack(outs, 1), h
m = R(); o = optim.SGD(m.parameters(), 0.1); h = torch.zeros(4, 5)
for _ in range(6):
    x, y = torch.randn(4, 6, 3), torch.randint(0, 2, (4, 6))
    h = h.detach()
    out, h = m(x, h)
    o.zero_grad(); F.cross_entropy(out.reshape(-1, 2), y.reshape(-1)).backward(); o.step()
""",
 "cell_loop_outside": HEAD + """
cell = nn.LSTMCell(3, 5); head = nn.Linear(5, 1)
o = optim.Adam([*cell.parameters(), *head.parameters()])
for _ in range(6):
    h = c = torch.zeros(2, 5); outs = []
    for t in range(5):
        h, c = cell(torch.randn(2, 3), (h, c)); outs.append(head(h))
    loss = torch.stack(outs).pow(2).mean()
    o.zero_grad(); loss.backward(); o.step()
""",
 "losses_detached": changed(GOOD, ("self.step(batch).item()", "self.step(batch).detach()")),
 "loss_dict_items": HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1); log = []
for e in range(3):
    for x, y in train_dl:
        losses = {"ce": F.cross_entropy(m(x), y), "l2": sum(p.pow(2).sum() for p in m.parameters()) * 1e-4}
        total = sum(losses.values())
        o.zero_grad(); total.backward(); o.step()
        log.append({k: float(v) for k, v in losses.items()})
""",
 "total_then_backward_once": HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
for e in range(4):
    total = 0
    for x, y in train_dl: total = total + F.cross_entropy(m(x), y)
    o.zero_grad(); total.backward(); o.step()
""",
 "maml": HEAD + """
w = torch.randn(3, 1, requires_grad=True); o = optim.SGD([w], 0.01)
for _ in range(4):
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    g = torch.autograd.grad(F.mse_loss(x @ w, y), w, create_graph=True)[0]
    fast = w - 0.1 * g
    o.zero_grad(); F.mse_loss(x @ fast, y).backward(); o.step()
""",
 "lazy_once": HEAD + DATA + """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = None
        self.out = nn.LazyLinear(2)
    def _build(self, n):
        self.fc = nn.Linear(n, 8)
    def forward(self, x):
        if self.fc is None:
            self._build(x.shape[1])
        return self.out(torch.relu(self.fc(x)))
m = M(); m(torch.zeros(1, 4)); o = optim.SGD(m.parameters(), 0.1)
for x, y in train_dl:
    o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
""",
 "functional_in_forward": HEAD + DATA + NET.replace("return self.head(self.body(x))", "x = F.dropout(x, 0.1, self.training)\n        act = nn.ReLU()\n        return self.head(act(self.body(x)))") + TRAINER,
 "loss_in_forward": HEAD + DATA + """
class M(nn.Module):
    def __init__(self):
        super().__init__(); self.fc = nn.Linear(4, 2)
    def forward(self, x, y=None):
        logits = self.fc(x)
        loss = nn.CrossEntropyLoss()(logits, y) if y is not None else None
        return {"logits": logits, "loss": loss}
m = M(); o = optim.SGD(m.parameters(), 0.1); running = 0.0
for x, y in train_dl:
    out = m(x, labels := y)
    o.zero_grad(); out["loss"].backward(); o.step(); running += out["loss"].item()
""",
 "cached_attention": HEAD + DATA + """
class M(nn.Module):
    def __init__(self):
        super().__init__(); self.fc = nn.Linear(4, 2); self.last = None; self.scale = 4 ** -0.5; self.names = ["a"]
        self.register_buffer("mask", torch.ones(4)); self.eps = torch.tensor(1e-5)
    def forward(self, x):
        self.last = self.fc(x * self.mask) * self.scale + self.eps
        return self.last
m = M(); o = optim.SGD(m.parameters(), 0.1)
for x, y in train_dl:
    o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
""",
 "tied": HEAD + """
class LM(nn.Module):
    def __init__(self):
        super().__init__(); self.emb = nn.Embedding(7, 6); self.out = nn.Linear(6, 7, bias=False); self.out.weight = self.emb.weight
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(6, 2, 12, batch_first=True) for _ in range(2))
    def forward(self, i):
        x = self.emb(i)
        for l in self.layers: x = l(x)
        return self.out(x)
m = LM(); o = optim.AdamW(m.parameters())
for _ in range(3):
    i = torch.randint(0, 7, (2, 5)); o.zero_grad(); F.cross_entropy(m(i).transpose(1, 2), i).backward(); o.step()
m.eval()
with torch.inference_mode():
    i = torch.zeros(1, 1, dtype=torch.long)
    for _ in range(3): i = torch.cat([i, m(i)[:, -1:].softmax(-1).argmax(-1)], 1)
""",
 "sam_like": HEAD + DATA + NET + """
m = MLP(p=0.); o = optim.SGD(m.parameters(), 0.1)
for x, y in train_dl:
    F.cross_entropy(m(x), y).backward()
    with torch.no_grad():
        es = [0.05 * p.grad for p in m.parameters()]
        for p, e in zip(m.parameters(), es): p.add_(e)
    o.zero_grad()
    F.cross_entropy(m(x), y).backward()
    with torch.no_grad():
        for p, e in zip(m.parameters(), es): p.sub_(e)
    o.step(); o.zero_grad()
""",
 "weight_clip": HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
for x, y in train_dl:
    o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
    for p in m.parameters(): p.data.clamp_(-1, 1)
""",
 "mc_dropout": HEAD + DATA + NET + TRAINER + """
t.model.eval()
def enable_dropout(model):
    for m in model.modules():
        if isinstance(m, nn.Dropout): m.train()
enable_dropout(t.model)
with torch.no_grad():
    preds = torch.stack([t.model(torch.randn(2, 4)) for _ in range(5)])
""",
 "two_optimizers": HEAD + DATA + NET + """
m = MLP(); o1 = optim.SGD(m.body.parameters(), 0.1); o2 = optim.Adam(m.head.parameters())
for e in range(2):
    for x, y in train_dl:
        for o in (o1, o2): o.zero_grad()
        F.cross_entropy(m(x), y).backward()
        for o in (o1, o2): o.step()
""",
 "alternate_freeze": HEAD + DATA + NET + """
m = MLP(); o = optim.SGD(m.parameters(), 0.1)
for e in range(2):
    m.head.requires_grad_(e == 0)
    for x, y in train_dl:
        o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
""",
 "hook_called_right": changed(GOOD, ("t = Trainer(MLP())", "net = MLP()\nfeats = {}\nh = net.body.register_forward_hook(lambda m, i, o: feats.update(o=o.detach()))\nt = Trainer(net)")) + "h.remove()\n",
 "super_old_style": changed(GOOD, ("super().__init__()", "super(MLP, self).__init__()")),
 "mixin_init": HEAD + DATA + changed(NET, ("class MLP(nn.Module):", "class Named:\n    def __init__(self, name='x', **kw):\n        super().__init__(**kw)\n        self.name = name\nclass MLP(Named, nn.Module):")) + TRAINER,
 "no_init": HEAD + DATA + """
class Flat(nn.Module):
    def forward(self, x): return x.flatten(1)
class Abstract(nn.Module):
    def __init__(self): raise NotImplementedError
net = nn.Sequential(Flat(), nn.Linear(4, 2)); o = optim.SGD(net.parameters(), 0.1)
for x, y in train_dl:
    o.zero_grad(); F.cross_entropy(net(x), y).backward(); o.step()
""",
 "log_softmax_nll": changed(GOOD, ("return self.head(self.body(x))", "return F.log_softmax(self.head(self.body(x)), dim=1)"), ("nn.CrossEntropyLoss()", "nn.NLLLoss()")),
 "vae": HEAD + """
enc, dec = nn.Linear(6, 4), nn.Linear(2, 6)
o = optim.Adam(list(enc.parameters()) + list(dec.parameters())); total = 0
for _ in range(5):
    x = torch.rand(8, 6); mu, lv = enc(x).chunk(2, -1); z = mu + torch.randn_like(mu) * (0.5 * lv).exp()
    r = torch.sigmoid(dec(z)); loss = F.binary_cross_entropy(r, x, reduction="sum") - 0.5 * (1 + lv - mu ** 2 - lv.exp()).sum()
    o.zero_grad(); loss.backward(); o.step(); total += loss.item()
with torch.no_grad(): dec(torch.randn(3, 2))
""",
 "lbfgs_history": HEAD + """
net = nn.Linear(2, 1); o = optim.LBFGS(net.parameters(), max_iter=5); hist = []
X, y = torch.randn(10, 2), torch.randn(10, 1)
for _ in range(3):
    def closure():
        o.zero_grad(); loss = F.mse_loss(net(X), y); loss.backward(); return loss
    hist.append(o.step(closure).item())
""",
 "ensemble": HEAD + DATA + NET + """
models = [MLP() for _ in range(5)]; opts = [optim.SGD(m.parameters(), 0.1) for m in models]
for x, y in train_dl:
    losses = [F.cross_entropy(m(x), y) for m in models]
    for o, l in zip(opts, losses):
        o.zero_grad(); l.backward(); o.step()
for m in models: m.eval()
with torch.no_grad():
    p = torch.stack([m(torch.randn(2, 4)).softmax(-1) for m in models]).mean(0)
""",
}
