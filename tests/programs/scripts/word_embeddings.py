import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from collections import Counter

torch.manual_seed(1)
word_to_ix = {"hello": 0, "world": 1}
embeds = nn.Embedding(2, 5)
lookup_tensor = torch.tensor([word_to_ix["hello"]], dtype=torch.long)
print(embeds(lookup_tensor))
text = """we are about to study the idea of a computational process computational processes are abstract beings that inhabit computers as they evolve processes manipulate other abstract things called data""".split()
vocab = sorted(set(text))
w2i = {w: i for i, w in enumerate(vocab)}
ngrams = [([text[i - j - 1] for j in range(2)], text[i]) for i in range(2, len(text))]
print(ngrams[:2])


class NGram(nn.Module):
    def __init__(self, vocab_size, embedding_dim, context_size):
        super(NGram, self).__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.linear1 = nn.Linear(context_size * embedding_dim, 32)
        self.linear2 = nn.Linear(32, vocab_size)

    def forward(self, inputs):
        e = self.embeddings(inputs).view((1, -1))
        return F.log_softmax(self.linear2(F.relu(self.linear1(e))), dim=1)


losses = []
loss_function = nn.NLLLoss()
model = NGram(len(vocab), 10, 2)
optimizer = optim.SGD(model.parameters(), lr=0.01)
for epoch in range(3):
    total_loss = 0
    for context, target in ngrams:
        ids = torch.tensor([w2i[w] for w in context], dtype=torch.long)
        model.zero_grad()
        lp = model(ids)
        loss = loss_function(lp, torch.tensor([w2i[target]], dtype=torch.long))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    losses.append(round(total_loss, 3))
print(losses, model.embeddings.weight[w2i["data"]])
# skip-gram with negative sampling
embed = nn.Embedding(num_embeddings=20, embedding_dim=4)
print(f"Parameter embedding_weight ({embed.weight.shape}, dtype={embed.weight.dtype})")


def skip_gram(center, ctx, ev, eu):
    return torch.bmm(ev(center), eu(ctx).permute(0, 2, 1))


class SigmoidBCELoss(nn.Module):
    def forward(self, inputs, target, mask=None):
        return nn.functional.binary_cross_entropy_with_logits(
            inputs, target, weight=mask, reduction="none"
        ).mean(dim=1)


pred = torch.tensor([[1.1, -2.2, 3.3, -4.4]] * 2)
lab = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
print(SigmoidBCELoss()(pred, lab, mask) * mask.shape[1] / mask.sum(axis=1))
net = nn.Sequential(nn.Embedding(20, 4), nn.Embedding(20, 4))


def init_weights(m):
    if type(m) == nn.Embedding:
        nn.init.xavier_uniform_(m.weight)


net.apply(init_weights)
opt = torch.optim.Adam(net.parameters(), lr=0.05)
cen = torch.randint(20, (16, 1))
ctx = torch.randint(0, 20, (16, 6))
m = (torch.rand(16, 6) > 0.2).float()
lb = torch.zeros(16, 6)
lb[:, :2] = 1
for i in range(5):
    opt.zero_grad()
    p = skip_gram(cen, ctx, net[0], net[1])
    l = SigmoidBCELoss()(p.reshape(lb.shape).float(), lb.float(), m) / m.sum(axis=1) * m.shape[1]
    l.sum().backward()
    opt.step()
print(l.sum().item())
W = net[0].weight.data
x = W[3]
cos = torch.mv(W, x) / torch.sqrt(torch.sum(W * W, dim=1) * torch.sum(x * x) + 1e-9)
topk = torch.topk(cos, k=4)[1].cpu().numpy().astype("int32")
print(topk, F.cosine_similarity(W[3:4], W).topk(3))
counts = torch.tensor(list(Counter(text).values()), dtype=torch.float)
g = torch.Generator().manual_seed(3)
print(
    torch.multinomial(counts**0.75, 6, replacement=True, generator=g),
    torch.multinomial(torch.ones(5), 5, generator=g),
)
emb = nn.Embedding(6, 3, padding_idx=0)
o = emb(torch.LongTensor([[0, 2, 0, 5]]))
o.sum().backward()
print(o, emb.weight.grad)
pre = nn.Embedding.from_pretrained(torch.FloatTensor([[1, 2.3, 3], [4, 5.1, 6.3]]))
print(pre(torch.LongTensor([1])), pre.weight.requires_grad)
bag = nn.EmbeddingBag(10, 3, mode="mean")
print(bag(torch.tensor([1, 2, 4, 5, 4, 3, 2, 9]), torch.tensor([0, 4])))
cbow = emb(torch.tensor([[1, 2], [3, 4]])).mean(dim=1)
print(cbow, emb)
seqs = [torch.tensor([1, 2, 3]), torch.tensor([4]), torch.tensor([5, 6])]
pad = nn.utils.rnn.pad_sequence(seqs, batch_first=True, padding_value=0)
lens = torch.as_tensor([len(s) for s in seqs])
print(pad, lens.sort(descending=True), (pad != 0).sum(1), torch.arange(3)[None, :] < lens[:, None])
