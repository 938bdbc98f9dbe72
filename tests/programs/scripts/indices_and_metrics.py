import torch, torch.nn.functional as F

torch.manual_seed(2)
num_classes = 4
preds = torch.randint(0, num_classes, (50,))
labels = torch.randint(0, num_classes, (50,))
cm = torch.zeros(num_classes, num_classes, dtype=torch.int64)
for t, p in zip(labels.view(-1), preds.view(-1)):
    cm[t.long(), p.long()] += 1
print(cm)
cm2 = torch.bincount(labels * num_classes + preds, minlength=num_classes**2).reshape(num_classes, num_classes)
print(torch.equal(cm, cm2), cm.diag().sum().item() / cm.sum().item())
print(
    cm.diag() / cm.sum(1),
    cm.float().sum(0),
    torch.zeros(4).index_add_(0, labels, torch.ones(50)),
    torch.zeros(4, 4).index_put_((labels, preds), torch.tensor(1.0), accumulate=True),
)
scores = torch.rand(50, 4)


def topk_acc(output, target, topk=(1,)):
    with torch.no_grad():
        maxk = max(topk)
        _, pred = output.topk(maxk, 1, True, True)
        pred = pred.t()
        correct = pred.eq(target.view(1, -1).expand_as(pred))
        return [
            correct[:k].reshape(-1).float().sum(0, keepdim=True).mul_(100.0 / target.size(0)) for k in topk
        ]


print(topk_acc(scores, labels, (1, 2, 4)))
order = torch.argsort(scores[:, 0], descending=True)
tp = torch.cumsum((labels[order] == 0).float(), 0)
fp = torch.cumsum((labels[order] != 0).float(), 0)
print(torch.trapz(tp / tp[-1], fp / fp[-1]), tp[-3:])
x = torch.tensor([3, 1, 2, 3, 1, 1])
u, inv, c = torch.unique(x, return_inverse=True, return_counts=True)
print(u, inv, c, torch.unique_consecutive(x), x.unique(sorted=True))
src = torch.arange(1, 11).reshape((2, 5))
idx = torch.tensor([[0, 1, 2, 0, 0]])
print(
    torch.zeros(3, 5, dtype=src.dtype).scatter_(0, idx, src),
    torch.zeros(3, 5).scatter_add_(0, idx, torch.ones(1, 5)),
    torch.full((2, 4), 2.0).scatter_(1, torch.tensor([[2], [3]]), 1.23, reduce="multiply"),
)
print(
    torch.gather(src, 1, torch.tensor([[0, 0], [4, 3]])),
    torch.take(src, torch.tensor([0, 9])),
    torch.take_along_dim(src, torch.argsort(src, dim=1, descending=True), dim=1),
    src.index_select(1, torch.tensor([0, 2])),
    torch.masked_select(src, src % 2 == 0),
)
groups = torch.tensor([0, 0, 1, 1, 2])
vals = torch.tensor([1.0, 2, 3, 4, 5])
s = torch.zeros(3).scatter_reduce(0, groups, vals, reduce="mean", include_self=False)
print(
    s, torch.zeros(3).scatter_reduce_(0, groups, vals, "amax"), vals.new_zeros(3).index_add(0, groups, vals)
)
# beam search
V, beam, T = 6, 3, 4
table = torch.log_softmax(torch.randn(V, V), dim=-1)
seqs = torch.zeros(1, 1, dtype=torch.long)
sc = torch.zeros(1)
for step in range(T):
    lp = table[seqs[:, -1]] + sc.unsqueeze(1)
    sc, flat = lp.view(-1).topk(beam)
    b = torch.div(flat, V, rounding_mode="floor")
    tok = flat % V
    seqs = torch.cat([seqs[b], tok.unsqueeze(1)], dim=1)
    finished = tok == V - 1
    sc = torch.where(finished, sc - 1.0, sc)
print(seqs, sc, (flat // V).tolist())


def top_p(logits, p=0.8):
    sl, si = torch.sort(logits, descending=True)
    cp = torch.cumsum(F.softmax(sl, dim=-1), dim=-1)
    rm = cp > p
    rm[..., 1:] = rm[..., :-1].clone()
    rm[..., 0] = 0
    return logits.masked_fill(rm.scatter(-1, si, rm), -float("inf"))


print(top_p(table[:2]))
# einsum
A, B = torch.randn(3, 4), torch.randn(4, 5)
print(
    torch.allclose(torch.einsum("ik,kj->ij", A, B), A @ B, atol=1e-6),
    torch.einsum("ii->", torch.eye(3)),
    torch.einsum("i,j->ij", A[0], B[0]).shape,
    torch.einsum("bij,bjk->bik", torch.ones(2, 3, 4), torch.ones(2, 4, 5))[0, 0],
    torch.einsum("...ij->...ji", torch.ones(2, 3, 4)).shape,
    torch.einsum("bn,anm,bm->ba", torch.ones(2, 5), torch.ones(3, 5, 7), torch.ones(2, 7)),
)
print(
    torch.tensordot(
        torch.arange(60.0).reshape(3, 4, 5), torch.arange(24.0).reshape(4, 3, 2), dims=([1, 0], [0, 1])
    )[0],
    torch.cdist(A, A).diag(),
    torch.outer(A[0], A[1]).shape,
    torch.dot(A[0], A[1]),
    torch.kron(torch.eye(2), torch.ones(1, 2)),
)
x = torch.arange(12.0).view(3, 4)
x[[0, 2], [1, 3]] = -1
x[x < 0] *= 10
x[:, -1] += 100
x[1] = torch.tensor([1.0, 2, 3, 4])
x[..., None][0] = 7
print(
    x,
    x[torch.tensor([[0, 1], [2, 0]])].shape,
    x[None, :, ::2].shape,
    x[torch.tensor([True, False, True])],
    x[1:, [True, False, True, False]],
)
print(
    torch.where(x > 5, x, torch.zeros_like(x)),
    torch.where(x > 5),
    (x > 5).nonzero(as_tuple=False)[:2],
    torch.where(x > 5, 1.0, 0.0)[0],
    torch.nonzero(x > 50).shape,
    x.argmax(),
    x.argmin(dim=1),
    x.median(),
    x.mode(0),
)
iou_a = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3]])
lt = torch.max(iou_a[:, None, :2], iou_a[:, :2])
rb = torch.min(iou_a[:, None, 2:], iou_a[:, 2:])
wh = (rb - lt).clamp(min=0)
inter = wh[:, :, 0] * wh[:, :, 1]
area = (iou_a[:, 2] - iou_a[:, 0]) * (iou_a[:, 3] - iou_a[:, 1])
print(inter / (area[:, None] + area - inter))
