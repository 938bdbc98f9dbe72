"""Four kinds of adapters on a GPT-2."""

import tempfile

import torch
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel


def base():
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=50,
            n_positions=32,
            n_embd=16,
            n_layer=2,
            n_head=2,
            bos_token_id=1,
            eos_token_id=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )


ids = torch.arange(12).reshape(2, 6)
for c in (
    LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["c_attn"]),
    LoraConfig(r=2, use_dora=True, target_modules=["c_fc"]),
    IA3Config(task_type="CAUSAL_LM", target_modules=["c_attn"], feedforward_modules=[]),
    PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
):
    m = get_peft_model(base(), c)
    m.print_trainable_parameters()
    o = torch.optim.SGD([p for p in m.parameters() if p.requires_grad], 0.5)
    for _ in range(2):
        l = m(input_ids=ids, labels=ids).loss
        o.zero_grad()
        l.backward()
        o.step()
        print(type(c).__name__, round(l.item(), 5))
    d = tempfile.mkdtemp()
    m.save_pretrained(d)
    n = PeftModel.from_pretrained(base(), d)
    m.eval()
    n.eval()
    print(torch.allclose(m(input_ids=ids).logits, n(input_ids=ids).logits, atol=1e-5))
m = get_peft_model(base(), LoraConfig(r=4, target_modules=["c_attn"], init_lora_weights=False)).eval()
a = m(input_ids=ids).logits
u = m.merge_and_unload()
print(type(u).__name__, torch.allclose(a, u(input_ids=ids).logits, atol=1e-5))
