import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x)


net = Net()
net(torch.ones(2, 4))
