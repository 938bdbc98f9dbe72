import math, copy
import torch, torch.nn as nn, torch.nn.functional as F
from torch import Tensor
from typing import Optional

torch.manual_seed(9)


class RNNCell(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, 4)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input: Tensor, hidden: Tensor):
        combined = torch.cat((input, hidden), 1)
        hidden = torch.tanh(self.i2h(combined))
        return self.softmax(self.i2o(combined)), hidden

    def initHidden(self):
        return torch.zeros(1, self.hidden_size)


letters = "abcdefgh"


def lineToTensor(line):
    t = torch.zeros(len(line), 1, len(letters))
    for li, letter in enumerate(line):
        t[li][0][letters.find(letter)] = 1
    return t


rnn = RNNCell(len(letters), 12)
crit = nn.NLLLoss()
for name, cat in [("abba", 0), ("cafe", 1), ("gag", 3)] * 3:
    hidden = rnn.initHidden()
    rnn.zero_grad()
    lt = lineToTensor(name)
    for i in range(lt.size()[0]):
        output, hidden = rnn(lt[i], hidden)
    loss = crit(output, torch.tensor([cat], dtype=torch.long))
    loss.backward()
    for p in rnn.parameters():
        p.data.add_(p.grad.data, alpha=-0.05)
print(loss.item(), output)
top_n, top_i = output.topk(1)
print(top_n, top_i[0].item())


# hand written LSTM
class LSTM(nn.Module):
    def __init__(self, i, h):
        super().__init__()
        self.W = nn.Parameter(torch.Tensor(i, h * 4))
        self.U = nn.Parameter(torch.Tensor(h, h * 4))
        self.bias = nn.Parameter(torch.Tensor(h * 4))
        self.h = h
        self.init_weights()

    def init_weights(self):
        stdv = 1.0 / math.sqrt(self.h)
        for weight in self.parameters():
            weight.data.uniform_(-stdv, stdv)

    def forward(self, x, init_states=None):
        bs, seq, _ = x.size()
        hs = []
        HS = self.h
        h_t, c_t = (
            (torch.zeros(bs, HS).to(x.device), torch.zeros(bs, HS).to(x.device))
            if init_states is None
            else init_states
        )
        for t in range(seq):
            g = x[:, t, :] @ self.W + h_t @ self.U + self.bias
            i, f, gg, o = (
                torch.sigmoid(g[:, :HS]),
                torch.sigmoid(g[:, HS : HS * 2]),
                torch.tanh(g[:, HS * 2 : HS * 3]),
                torch.sigmoid(g[:, HS * 3 :]),
            )
            c_t = f * c_t + i * gg
            h_t = o * torch.tanh(c_t)
            hs.append(h_t.unsqueeze(0))
        hs = torch.cat(hs, dim=0).transpose(0, 1).contiguous()
        return hs, (h_t, c_t)


o, (h, c) = LSTM(5, 6)(torch.randn(2, 3, 5))
o.mean().backward()
print(o.shape, h)


def sequence_mask(X, valid_len, value=0):
    maxlen = X.size(1)
    mask = torch.arange((maxlen), dtype=torch.float32, device=X.device)[None, :] < valid_len[:, None]
    X[~mask] = value
    return X


print(
    sequence_mask(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([1, 2])),
    sequence_mask(torch.ones(2, 3, 2), torch.tensor([1, 2]), value=-1),
)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, heads: int, dropout: float = 0.0):
        super().__init__()
        assert d_model % heads == 0
        self.d_k = d_model // heads
        self.h = heads
        self.q_linear, self.k_linear, self.v_linear, self.out = (
            nn.Linear(d_model, d_model) for _ in range(4)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, q, k, v, mask: Optional[Tensor] = None):
        bs = q.size(0)
        q, k, v = [
            l(x).view(bs, -1, self.h, self.d_k).transpose(1, 2)
            for l, x in zip((self.q_linear, self.k_linear, self.v_linear), (q, k, v))
        ]
        scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(self.d_k)
        if mask is not None:
            scores = scores.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        self.attn = F.softmax(scores, dim=-1)
        x = self.dropout(self.attn) @ v
        return self.out(x.transpose(1, 2).contiguous().view(bs, -1, self.h * self.d_k))


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=50):
        super(PositionalEncoding, self).__init__()
        self.dropout = nn.Dropout(p=dropout)
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0))

    def forward(self, x):
        return self.dropout(x + self.pe[:, : x.size(1)].requires_grad_(False))


class Block(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.ln1 = nn.LayerNorm(d)
        self.ln2 = nn.LayerNorm(d, eps=1e-6)
        self.attn = MultiHeadAttention(d, h)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x, mask=None):
        y = self.ln1(x)
        x = x + self.attn(y, y, y, mask)
        return x + self.mlp(self.ln2(x))


def clones(module, N):
    return nn.ModuleList([copy.deepcopy(module) for _ in range(N)])


class Encoder(nn.Module):
    def __init__(self, vocab, d=16, h=4, n=2):
        super().__init__()
        self.tok = nn.Embedding(vocab, d)
        self.pos = PositionalEncoding(d, 0.0)
        self.layers = clones(Block(d, h), n)
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, vocab, bias=False)
        self.head.weight = self.tok.weight
        self.apply(self._init)

    def _init(self, m):
        if isinstance(m, (nn.Linear, nn.Embedding)):
            m.weight.data.normal_(mean=0.0, std=0.02)
        if isinstance(m, nn.Linear) and m.bias is not None:
            m.bias.data.zero_()
        elif isinstance(m, nn.LayerNorm):
            m.bias.data.zero_()
            m.weight.data.fill_(1.0)

    def forward(self, idx, targets=None):
        b, t = idx.shape
        x = self.pos(self.tok(idx) * math.sqrt(16))
        mask = torch.tril(torch.ones(t, t)).view(1, t, t)
        for l in self.layers:
            x = l(x, mask)
        logits = self.head(self.norm(x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1, label_smoothing=0.1
            )
        return logits, loss

    @torch.no_grad()
    def generate(self, idx, n, temperature=1.0, top_k=None, do_sample=False):
        for _ in range(n):
            logits, _ = self(idx[:, -8:])
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                logits[logits < v[:, [-1]]] = -float("Inf")
            probs = F.softmax(logits, dim=-1)
            nxt = torch.multinomial(probs, num_samples=1) if do_sample else torch.topk(probs, k=1, dim=-1)[1]
            idx = torch.cat((idx, nxt), dim=1)
        return idx


model = Encoder(11)
data = torch.randint(0, 11, (4, 9))
x, y = data[:, :-1].contiguous(), data[:, 1:].clone()
y[:, :2] = -1
decay = [p for p in model.parameters() if p.dim() >= 2]
nodecay = [p for p in model.parameters() if p.dim() < 2]
opt = torch.optim.AdamW(
    [{"params": decay, "weight_decay": 0.1}, {"params": nodecay, "weight_decay": 0.0}],
    lr=1e-2,
    betas=(0.9, 0.95),
)
for i in range(6):
    lr = 1e-2 * (i + 1) / 8
    for g in opt.param_groups:
        g["lr"] = lr
    logits, loss = model(x, y)
    opt.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
print(
    f"{loss.item():.4f} {norm:.3f}",
    sum(p.numel() for p in model.parameters()),
    "%.2fM parameters" % (sum(p.numel() for p in model.parameters()) / 1e6,),
)
model.eval()
print(model.generate(x[:1, :3], 3), model.generate(x[:2, :3], 2, temperature=0.8, top_k=5, do_sample=True))
print(model)
q = k = v = torch.randn(2, 3, 4, 5)
print(
    torch.allclose(
        F.scaled_dot_product_attention(q, k, v, is_causal=True),
        torch.softmax(
            (q @ k.transpose(-2, -1) / 5**0.5).masked_fill(torch.ones(4, 4).tril() == 0, float("-inf")), -1
        )
        @ v,
        atol=1e-5,
    )
)
print(torch.triu(torch.ones(3, 3), diagonal=1).bool(), torch.einsum("bhqd,bhkd->bhqk", q, k).shape)
