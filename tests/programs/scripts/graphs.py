"""Graph networks on sparse adjacency matrices, and word vectors with sparse gradients."""

import warnings

import torch
from torch import nn
from torch.nn import functional as F

warnings.simplefilter("ignore")
edges = torch.tensor([[0, 1, 2, 3, 0, 2, 1, 4], [1, 2, 3, 4, 3, 0, 0, 2]])
nodes = 5
ones = torch.ones(edges.shape[1])
features = torch.linspace(-1, 1, 15).reshape(5, 3)
labels = torch.tensor([0, 1, 0, 1, 1])


def normalized():
    adjacency = torch.sparse.FloatTensor(edges, ones, torch.Size([nodes, nodes]))
    adjacency = (adjacency + adjacency.t() + torch.eye(nodes).to_sparse()).coalesce()
    degree = torch.sparse.sum(adjacency, 1).to_dense().pow(-0.5)
    i = adjacency.indices()
    return torch.sparse_coo_tensor(i, adjacency.values() * degree[i[0]] * degree[i[1]], (nodes, nodes))


class GraphConvolution(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x, adjacency):
        return torch.spmm(adjacency, torch.mm(x, self.weight)) + self.bias


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GraphConvolution(3, 4), GraphConvolution(4, 2)

    def forward(self, x, adjacency):
        return F.log_softmax(self.second(F.relu(self.first(x, adjacency)), adjacency), 1)


torch.manual_seed(0)
adjacency = normalized()
print(adjacency)
for form in (adjacency, adjacency.coalesce().to_sparse_csr()):
    torch.manual_seed(1)
    model = GCN()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=5e-4)
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.nll_loss(model(features, form), labels)
        loss.backward()
        optimizer.step()
        print(f"{loss.item():.4f}")


def attention():
    h = torch.linspace(-1, 1, 10).reshape(5, 2).requires_grad_()
    a = torch.tensor([0.3, -0.2, 0.5, 0.1], requires_grad=True)
    scores = F.leaky_relu((torch.cat([h[edges[0]], h[edges[1]]], 1) * a).sum(1), 0.2)
    weights = torch.sparse.softmax(torch.sparse_coo_tensor(edges, scores, (nodes, nodes)), dim=1)
    out = torch.sparse.mm(weights, h)
    out.pow(2).sum().backward()
    print(out, h.grad, a.grad)


class SpecialSpmm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, indices, values, shape, b):
        a = torch.sparse_coo_tensor(indices, values, shape)
        ctx.save_for_backward(a, b)
        ctx.rows = shape[0]
        return torch.matmul(a, b)

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        place = a._indices()[0, :] * ctx.rows + a._indices()[1, :]
        return None, gradient.matmul(b.t()).view(-1)[place], None, a.t().matmul(gradient)


def special():
    values = torch.linspace(0.1, 1, 8).requires_grad_()
    b = torch.linspace(-1, 1, 10).reshape(5, 2).requires_grad_()
    SpecialSpmm.apply(edges, values, torch.Size([nodes, nodes]), b).pow(2).sum().backward()
    print(values.grad, b.grad)


def recommendation():
    torch.manual_seed(2)
    table = nn.Embedding(5, 3)
    layers = [table.weight]
    for _ in range(2):
        layers.append(torch.sparse.mm(adjacency, layers[-1]))
    z = torch.mean(torch.stack(layers, 1), 1)
    users, liked, other = z[[0, 1]], z[[2, 3]], z[[4, 4]]
    loss = -F.logsigmoid((users * liked).sum(1) - (users * other).sum(1)).mean()
    loss.backward()
    print(loss, table.weight.grad)


def pages():
    degree = torch.bincount(edges[0], minlength=nodes).float()
    moves = torch.sparse_coo_tensor(torch.stack([edges[1], edges[0]]), 1 / degree[edges[0]], (nodes, nodes))
    rank = torch.full((nodes,), 1 / nodes)
    for _ in range(30):
        rank = 0.85 * torch.mv(moves, rank) + 0.15 / nodes
    print(rank)


class SkipGram(nn.Module):
    def __init__(self, words, width):
        super().__init__()
        self.center = nn.Embedding(words, width, sparse=True)
        self.context = nn.Embedding(words, width, sparse=True)
        nn.init.uniform_(self.center.weight, -0.5 / width, 0.5 / width)
        nn.init.constant_(self.context.weight, 0)

    def forward(self, center, context, negative):
        c, o, n = self.center(center), self.context(context), self.context(negative)
        positive = -F.logsigmoid((c * o).sum(1))
        return (positive - F.logsigmoid(-torch.bmm(n, c.unsqueeze(2)).squeeze(2)).sum(1)).mean()


def words():
    torch.manual_seed(3)
    model = SkipGram(10, 4)
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for step in range(6):
        center, context = torch.tensor([step, 1, 2]), torch.tensor([3, step, 4])
        optimizer.zero_grad()
        loss = model(center, context, torch.tensor([[5, 6], [7, 8], [9, step]]))
        loss.backward()
        optimizer.step()
        schedule.step()
        print(f"{loss.item():.4f}", model.center.weight.grad.is_sparse, model.context.weight.grad.coalesce()._nnz())
    print(model.center.weight.data)


for part in (attention, special, recommendation, pages, words):
    part()
