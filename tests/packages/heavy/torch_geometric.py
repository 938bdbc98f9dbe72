"""Convolutions on graphs, batches of graphs, pooling."""

import torch
import torch_geometric as pyg
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GATConv,
    GCNConv,
    GINConv,
    SAGEConv,
    TransformerConv,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)
from torch_geometric.utils import add_self_loops, degree, softmax, to_dense_adj, to_undirected


class Net(torch.nn.Module):
    def __init__(s, C):
        super().__init__()
        s.a, s.b = C(4, 8), C(8, 2)

    def forward(s, d):
        return s.b(s.a(d.x, d.edge_index).relu(), d.edge_index)


pyg.seed_everything(0)
e = to_undirected(torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 5, 5]]))
d = Data(x=torch.randn(6, 4), edge_index=e, y=torch.tensor([0, 1, 0, 1, 0, 1]))
print(d, d.is_undirected(), d.num_edges)
for C in (
    GCNConv,
    SAGEConv,
    lambda i, o: GATConv(i, o, heads=2, concat=False),
    lambda i, o: GINConv(torch.nn.Linear(i, o)),
    TransformerConv,
):
    torch.manual_seed(1)

    m = Net(C)
    o = torch.optim.Adam(m.parameters(), lr=0.01)
    ls = []
    for _ in range(3):
        o.zero_grad()
        l = torch.nn.functional.cross_entropy(m(d), d.y)
        l.backward()
        o.step()
        ls.append(round(l.item(), 5))
    print(m.a, ls)
for b in DataLoader([d, d.clone(), d], batch_size=2):
    print(
        b,
        [tuple(f(b.x, b.batch).shape) for f in (global_mean_pool, global_add_pool, global_max_pool)],
        b.to_data_list()[0],
    )
print(
    degree(e[0]).tolist(),
    add_self_loops(e)[0].shape,
    [round(v, 4) for v in softmax(d.x[:, 0], torch.tensor([0, 0, 1, 1, 2, 2])).tolist()],
    to_dense_adj(e).sum().item(),
)
