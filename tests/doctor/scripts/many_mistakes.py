import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = [nn.Linear(4, 8), nn.ReLU()]
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)
        self.second = nn.Linear(3, 3)

    def forward(self, x):
        return torch.softmax(self.second(self.head(self.drop(x))), dim=1)


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
net = Net()
optimizer = torch.optim.SGD(net.head.parameters(), lr=0.1)
loss_of = nn.CrossEntropyLoss()
for _ in range(3):
    loss = loss_of(net(x), y)
    loss.backward()
    optimizer.step()

right = 0
for i in range(0, 32, 8):
    right += (net(x[i : i + 8]).argmax(1) == y[i : i + 8]).sum().item()

seen = []
net.head.register_forward_hook(lambda module, args, output: seen.append(output))
net.head.forward(x)
