"""Sentences as vectors: encoding, search, losses, saving."""

import tempfile
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, losses, util
from sentence_transformers.models import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

d = tempfile.mkdtemp()
Path(d, "vocab.txt").write_text(
    "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the cat dog sat ran on a mat fast house".split()])
)
torch.manual_seed(0)
BertModel(
    BertConfig(
        vocab_size=15,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
).save_pretrained(d)
BertTokenizerFast(d + "/vocab.txt").save_pretrained(d)
w = Transformer(d, max_seq_length=16)
m = SentenceTransformer(modules=[w, Pooling(16, "mean"), Normalize()], device="cpu")
e = m.encode(["the cat sat", "the dog ran", "a house"], convert_to_tensor=True, show_progress_bar=False)
print(tuple(e.shape), [[round(v, 4) for v in r] for r in util.cos_sim(e, e).tolist()])
print(
    util.semantic_search(e[:1], e, top_k=2)[0][0]["corpus_id"],
    [round(float(v), 4) for v in m.encode("the cat", show_progress_bar=False)[:3]],
)
f = losses.CosineSimilarityLoss(m)
t = [m.tokenize(["the cat", "a dog"]), m.tokenize(["the mat", "a house"])]
o = torch.optim.AdamW(m.parameters(), 1e-3)
for _ in range(2):
    l = f(t, torch.tensor([1.0, 0.0]))
    o.zero_grad()
    l.backward()
    o.step()
    print(round(l.item(), 5))
print(round(losses.MultipleNegativesRankingLoss(m)(t, None).item(), 4))
p = tempfile.mkdtemp()
m.save(p)
n = SentenceTransformer(p, device="cpu")
print(torch.equal(m.encode(["a cat"], convert_to_tensor=True), n.encode(["a cat"], convert_to_tensor=True)))
