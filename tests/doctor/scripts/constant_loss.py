import torch

net = torch.nn.Linear(2, 1)
optimizer = torch.optim.Adam(net.parameters())
optimizer.zero_grad()
loss = torch.tensor(net(torch.ones(3, 2)).pow(2).mean().item(), requires_grad=True)
loss.backward()
optimizer.step()
loss = net(torch.ones(3, 2)).detach().mean()
loss.backward()
