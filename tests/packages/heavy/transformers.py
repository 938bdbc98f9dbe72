"""Five architectures: a loss, its gradients, generation in three ways, saving and loading; an epoch of Trainer."""

import logging
import tempfile

import torch
import transformers
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainingArguments

logging.getLogger("transformers").setLevel(logging.ERROR)
transformers.utils.logging.disable_progress_bar()
small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def make(kind, head, **options):
    torch.manual_seed(0)
    return getattr(transformers, kind + head)(getattr(transformers, kind + "Config")(**options))


def train(net, **inputs):
    optimizer = torch.optim.AdamW(net.train().parameters(), lr=1e-3)
    loss = net(**inputs).loss
    loss.backward()
    gradients = sum(p.grad.abs().sum().item() for p in net.parameters() if p.grad is not None)
    optimizer.step()
    folder = tempfile.mkdtemp()
    net.eval().save_pretrained(folder)
    again = type(net).from_pretrained(folder)
    same = all(map(torch.equal, net.state_dict().values(), again.state_dict().values()))
    print(type(net).__name__, round(loss.item(), 4), round(gradients, 2), same)
    return net


def generate(net, ids):
    options = {"max_new_tokens": 6, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
    print("greedy", net.generate(ids, do_sample=False, **options).tolist())
    torch.manual_seed(1)
    print("sampled", net.generate(ids, do_sample=True, top_k=20, top_p=0.9, **options).tolist())
    print("beams", net.generate(ids, num_beams=3, do_sample=False, **options).tolist())


ids = torch.randint(3, 100, (2, 12), generator=torch.Generator().manual_seed(0))
mask = torch.ones_like(ids)
mask[1, 8:] = 0
labels = torch.tensor([0, 2])
for way in ("sdpa", "eager"):
    net = make(
        "Bert", "ForSequenceClassification", vocab_size=100, num_labels=3, **small, **still, attn_implementation=way
    )
    train(net, input_ids=ids, attention_mask=mask, labels=labels)
quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
ends = {"bos_token_id": 1, "eos_token_id": 2}
net = make("GPT2", "LMHeadModel", vocab_size=100, n_positions=64, n_embd=32, n_layer=2, n_head=4, **quiet, **ends)
generate(train(net, input_ids=ids, labels=ids), ids)
net = make(
    "Llama",
    "ForCausalLM",
    vocab_size=100,
    max_position_embeddings=64,
    num_key_value_heads=2,
    **ends,
    pad_token_id=0,
    **small,
)
generate(train(net, input_ids=ids, labels=ids), ids)
net = make("ViT", "ForImageClassification", image_size=32, patch_size=8, num_labels=4, **small, **still)
train(net, pixel_values=torch.randn(2, 3, 32, 32), labels=labels)
net = make(
    "T5",
    "ForConditionalGeneration",
    vocab_size=100,
    d_model=32,
    d_kv=8,
    d_ff=64,
    num_layers=2,
    num_heads=4,
    dropout_rate=0.0,
    decoder_start_token_id=0,
)
generate(train(net, input_ids=ids, labels=ids), ids)
with torch.device("meta"):
    print(AutoModelForCausalLM.from_config(transformers.GPT2Config(n_layer=1)).device)

net = make("GPT2", "LMHeadModel", vocab_size=100, n_positions=64, n_embd=32, n_layer=1, n_head=4, **ends)
data = [{"input_ids": torch.arange(8) + i, "labels": torch.arange(8) + i} for i in range(16)]
settings = TrainingArguments(
    output_dir=tempfile.mkdtemp(),
    num_train_epochs=1,
    per_device_train_batch_size=4,
    report_to=[],
    use_cpu=True,
    disable_tqdm=True,
)
trainer = Trainer(model=net, args=settings, train_dataset=data, eval_dataset=data[:4])
trainer.remove_callback(PrinterCallback)  # its lines tell the time
print(
    round(trainer.train().training_loss, 3),
    round(trainer.evaluate()["eval_loss"], 3),
    trainer.predict(data[:4]).predictions.shape,
)
