import random
import torch
from torch import nn, Tensor
from torch.utils import data
from torch.autograd import Variable
from typing import Tuple, Iterator

torch.manual_seed(42)
random.seed(1)


def synthetic_data(w: torch.Tensor, b: float, num_examples: int) -> Tuple[Tensor, Tensor]:
    X = torch.normal(0, 1, (num_examples, len(w)))
    y = torch.matmul(X, w) + b
    y += torch.normal(0, 0.01, y.shape)
    return X, y.reshape((-1, 1))


true_w = torch.tensor([2, -3.4])
true_b = 4.2
features, labels = synthetic_data(true_w, true_b, 200)
print("features:", features[0], "\nlabel:", labels[0])


def data_iter(batch_size, features, labels):
    num = len(features)
    idx = list(range(num))
    random.shuffle(idx)
    for i in range(0, num, batch_size):
        j = torch.tensor(idx[i : min(i + batch_size, num)])
        yield features[j], labels[j]


w = torch.normal(0, 0.01, size=(2, 1), requires_grad=True)
b = torch.zeros(1, requires_grad=True)


def linreg(X, w, b):
    return torch.matmul(X, w) + b


def squared_loss(y_hat, y):
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params, lr, batch_size):
    with torch.no_grad():
        for p in params:
            p -= lr * p.grad / batch_size
            p.grad.zero_()


for epoch in range(3):
    for X, y in data_iter(30, features, labels):
        l = squared_loss(linreg(X, w, b), y)
        l.sum().backward()
        sgd([w, b], 0.3, len(X))
    with torch.no_grad():
        train_l = squared_loss(linreg(features, w, b), labels)
        print(f"epoch {epoch + 1}, loss {float(train_l.mean()):f}")
print(f"error in estimating w: {true_w - w.reshape(true_w.shape)}")
print(f"error in estimating b: {true_b - b}")


# concise
def load_array(arrays, batch_size, is_train=True):
    ds = data.TensorDataset(*arrays)
    return data.DataLoader(ds, batch_size, shuffle=is_train)


it = load_array((features, labels), 10)
print(next(iter(it)))
net = nn.Sequential(nn.Linear(2, 1))
net[0].weight.data.normal_(0, 0.01)
net[0].bias.data.fill_(0)
loss = nn.MSELoss()
trainer = torch.optim.SGD(net.parameters(), lr=0.03)
for epoch in range(2):
    for X, y in it:
        l = loss(net(X), y)
        trainer.zero_grad()
        l.backward()
        trainer.step()
    l = loss(net(features), labels)
    print(f"epoch {epoch + 1}, loss {l:f}")
print(net[0].weight.data, net[0].bias.data)
# softmax regression from scratch
X = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(X.sum(0, keepdim=True), X.sum(1, keepdim=True), X.sum(axis=0), X.mean(axis=1, keepdims=True))


def softmax(X):
    X_exp = torch.exp(X)
    partition = X_exp.sum(1, keepdim=True)
    return X_exp / partition


xs = torch.randn(120, 8)
ys = (xs[:, :3] @ torch.randn(3, 4)).argmax(1)
W = torch.normal(0, 0.01, size=(8, 4), requires_grad=True)
bb = torch.zeros(4, requires_grad=True)


def cross_entropy(y_hat, y):
    return -torch.log(y_hat[range(len(y_hat)), y])


def accuracy(y_hat, y):
    if len(y_hat.shape) > 1 and y_hat.shape[1] > 1:
        y_hat = y_hat.argmax(axis=1)
    cmp = y_hat.type(y.dtype) == y
    return float(cmp.type(y.dtype).sum())


for epoch in range(5):
    out = softmax(xs.reshape((-1, W.shape[0])) @ W + bb)
    l = cross_entropy(out, ys)
    l.sum().backward()
    sgd([W, bb], 1.0, len(xs))
    print(l.mean().item(), accuracy(out, ys) / len(ys))
# logistic regression, old style
x = Variable(torch.randn(50, 2))
t = Variable((x[:, 0] > x[:, 1]).float().unsqueeze(1))


class Logistic(torch.nn.Module):
    def __init__(self):
        super(Logistic, self).__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x):
        return torch.sigmoid(self.linear(x))


m = Logistic()
crit = torch.nn.BCELoss(reduction="mean")
opt = torch.optim.SGD(m.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)
for i in range(20):
    loss = crit(m(x), t)
    opt.zero_grad()
    loss.backward()
    opt.step()
print(
    loss.data, loss.item(), ((m(x) > 0.5).float() == t).float().mean(), (m(x).data.round() == t).sum().item()
)
print(m)
print(m(Variable(torch.Tensor([[1.0, 0.0]]))).data[0][0].item() > 0.5)
print(opt)
