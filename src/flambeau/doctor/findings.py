"""What can be found, in English and in Chinese."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

# kind -> for each language: what it is, why it matters, what to do. Names in braces are given by whoever finds it.
TEXTS = {
    "missing-super": {
        "en": (
            "{name}.__init__ does not call super().__init__()",
            "A module's tables of parameters and layers are made there: the first layer that is assigned raises AttributeError.",
            "make super().__init__() the first line of {name}.__init__",
        ),
        "zh": (
            "{name}.__init__ 没有调用 super().__init__()",
            "模块登记参数和子层的表是在那里建立的；没有它，第一次给 self 赋一个层时就会报 AttributeError。",
            "把 super().__init__() 写成 {name}.__init__ 的第一行",
        ),
    },
    "late-super": {
        "en": (
            "{name}.__init__ assigns layers before it calls super().__init__()",
            "A module's tables of parameters and layers are made there: a layer that is assigned earlier raises AttributeError.",
            "make super().__init__() the first line of {name}.__init__",
        ),
        "zh": (
            "{name}.__init__ 还没有调用 super().__init__()，就给 self 赋了层",
            "模块登记参数和子层的表是在那里建立的；在这之前给 self 赋一个层会报 AttributeError。",
            "把 super().__init__() 写成 {name}.__init__ 的第一行",
        ),
    },
    "plain-container": {
        "en": (
            "self.{name} holds layers or parameters in a plain {container}",
            "A module only knows what is registered: these are missing in parameters(), so the optimizer does not train them, in "
            "state_dict(), so they are not saved, and in .to(device).",
            "self.{name} = {proper}(...)",
        ),
        "zh": (
            "self.{name} 用普通的 {container} 存放层或参数",
            "模块只认识注册过的东西：它们不在 parameters() 里（优化器不会训练），不在 state_dict() 里（不会保存），.to(device) 也不会移动它们。",
            "改用 self.{name} = {proper}(...)",
        ),
    },
    "direct-forward": {
        "en": (
            "{name}.forward(...) is called directly, while hooks are registered",
            "Hooks run in the module's __call__, which a direct call of forward passes over: nothing is recorded, and no error tells.",
            "call the module itself: {name}(...)",
        ),
        "zh": (
            "已经注册了钩子（hook），却直接调用了 {name}.forward(...)",
            "钩子是在模块的 __call__ 里执行的，直接调用 forward 会绕过它们：什么也记录不到，也不会报错。",
            "直接调用模块本身：{name}(...)",
        ),
    },
    "no-eval": {
        "en": (
            "{name} is evaluated in training mode",
            "It has {layers}: in training mode Dropout drops values, and BatchNorm takes this batch's statistics, and changes its running "
            "ones by the data that should only test it.",
            "call model.eval() before, and model.train() before training goes on",
        ),
        "zh": (
            "评估 {name} 时，它还处于训练模式",
            "它含有 {layers}：训练模式下，Dropout 会随机把一部分值置零；BatchNorm 使用当前批次的统计量，还会让测试数据改动它的滑动统计量。",
            "评估之前调用 model.eval()，继续训练之前调用 model.train()",
        ),
    },
    "no-no-grad": {
        "en": (
            "the results of {name} are never differentiated here, yet everything is recorded for it",
            "Without no_grad() each call keeps its intermediate results for a backward pass that never comes: memory and time.",
            "put the calls under `with torch.no_grad():` (or torch.inference_mode())",
        ),
        "zh": (
            "{name} 在这里的输出从不用于反向传播，却一直在记录计算图",
            "没有 no_grad() 时，每次调用都会为一次永远不会发生的反向传播保存中间结果，浪费内存和时间。",
            "把这些调用放进 `with torch.no_grad():`（或 torch.inference_mode()）",
        ),
    },
    "no-zero-grad": {
        "en": (
            "the gradients are not cleared between two steps of the optimizer",
            "backward() adds to what .grad holds: each step goes along the sum of all gradients so far.",
            "call {name}.zero_grad() once per step, before loss.backward()",
        ),
        "zh": (
            "优化器两步之间没有清零梯度",
            "backward() 会把梯度累加到 .grad 上：每一步走的都是到目前为止所有梯度之和的方向。",
            "每一步在 loss.backward() 之前调用一次 {name}.zero_grad()",
        ),
    },
    "grad-not-cleared": {
        "en": (
            "a parameter is changed again, and its gradient was not cleared since the last change",
            "backward() adds to what .grad holds: each step goes along the sum of all gradients so far.",
            "clear it after each change: w.grad.zero_(), or w.grad = None",
        ),
        "zh": (
            "参数又更新了一次，但上次更新之后没有清零它的梯度",
            "backward() 会把梯度累加到 .grad 上：每一步走的都是到目前为止所有梯度之和的方向。",
            "每次更新之后清零：w.grad.zero_()，或者 w.grad = None",
        ),
    },
    "softmax-before-cross-entropy": {
        "en": (
            "{loss} gets what has been through {function} already",
            "It applies {function} itself, to scores of any size. Applied twice the gradients are tiny, and the loss can't come near 0.",
            "give the loss the last layer's scores, and leave {function} for looking at probabilities",
        ),
        "zh": (
            "{loss} 的输入已经做过一次 {function}",
            "这个损失函数内部会自己做 {function}，它要的是未经归一化的得分（logits）。做两次会让梯度变得很小，损失也降不到 0 附近。",
            "把最后一层的输出直接交给损失函数，只在查看概率时才用 {function}",
        ),
    },
    "probabilities-in-nll": {
        "en": (
            "nll_loss gets probabilities instead of their logarithms",
            "It takes the negative of the number at the target's place: of probabilities that is no likelihood, and the loss is below 0.",
            "use log_softmax in place of softmax, or cross_entropy with the scores",
        ),
        "zh": (
            "nll_loss 得到的是概率，而不是概率的对数",
            "它只是把目标位置上的数取相反数：如果那是概率，结果就不是负对数似然，损失会小于 0。",
            "把 softmax 换成 log_softmax，或者把得分直接交给 cross_entropy",
        ),
    },
    "constant-loss": {
        "en": (
            "the loss does not depend on any parameter",
            "It was cut off from the graph ({reason}): backward() has nothing to go back through.",
            "compute the loss from the model's output by torch's functions alone, without .item(), .detach(), .numpy() or a new "
            "torch.tensor(...) on the way",
        ),
        "zh": (
            "损失不依赖于任何参数",
            "它已经和计算图断开（{reason}）：backward() 没有可以往回走的路。",
            "从模型的输出到损失，只用 torch 的函数计算；中间不要用 .item()、.detach()、.numpy()，也不要重新 torch.tensor(...)",
        ),
    },
    "no-gradients": {
        "en": (
            "the optimizer makes a step, but none of its parameters has a gradient",
            "Parameters without .grad are left as they are: nothing is trained.",
            "call loss.backward() before {name}.step(), and clear gradients before it rather than between the two",
        ),
        "zh": (
            "优化器执行了 step()，但它的参数都没有梯度",
            "没有 .grad 的参数会保持不变：什么也没有训练到。",
            "在 {name}.step() 之前调用 loss.backward()；清零梯度要放在 backward() 之前，而不是放在两者之间",
        ),
    },
    "not-in-optimizer": {
        "en": (
            "{count} parameters of {name} get gradients, but no optimizer has them: {names}",
            "They keep their first values: these layers are not trained.",
            "give the optimizer model.parameters() after all layers are made, or add_param_group(...); if they are to stay as they "
            "are, set requires_grad = False",
        ),
        "zh": (
            "{name} 有 {count} 个参数得到了梯度，却不在任何优化器里：{names}",
            "它们一直保持初始值：这些层没有被训练。",
            "等所有层都建好之后，再把 model.parameters() 交给优化器，或者用 add_param_group(...)；如果本来就不想训练它们，设 requires_grad = False",
        ),
    },
    "plain-tensor": {
        "en": (
            "self.{name} is a tensor that asks for gradients, but no Parameter",
            "A module only knows what is registered: it is missing in parameters(), so the optimizer does not train it, and in state_dict().",
            "self.{name} = nn.Parameter(...); for what is not trained, self.register_buffer(...)",
        ),
        "zh": (
            "self.{name} 是设了 requires_grad 的普通张量，不是 Parameter",
            "模块只认识注册过的东西：它不在 parameters() 里（优化器不会训练它），也不在 state_dict() 里（不会被保存）。",
            "改用 self.{name} = nn.Parameter(...)；不需要训练的，用 self.register_buffer(...)",
        ),
    },
    "layer-in-forward": {
        "en": (
            "{name} is made in forward, anew at each call",
            "Its weights are new ones each time, and nothing trains them; a Dropout made there does not know of eval().",
            "make the layer in __init__ (self.layer = {name}(...)) and call it in forward",
        ),
        "zh": (
            "{name} 是在 forward 里创建的，每次调用都是一个新的层",
            "它的权重每次都重新初始化，永远不会被训练；在这里创建的 Dropout 也不受 eval() 控制。",
            "在 __init__ 里创建这个层（self.layer = {name}(...)），在 forward 里调用它",
        ),
    },
    "graph-kept": {
        "en": (
            "{name} is kept as it is, with the graph that it was computed by",
            "Each value that is added or put into a list holds its graph: memory grows with every step.",
            "keep {name}.item() (a number) or {name}.detach()",
        ),
        "zh": (
            "{name} 连同它的计算图一起被保留下来",
            "累加起来或放进列表的每个值都带着自己的计算图：内存会一步步增长。",
            "只保留 {name}.item()（一个数）或 {name}.detach()",
        ),
    },
    "scores-in-nll": {
        "en": (
            "nll_loss gets scores instead of logarithms of probabilities",
            "Logarithms of probabilities are never above 0, these are. The loss can fall below 0 without end, and the classes do not compete.",
            "end the network with log_softmax(dim=1), or use cross_entropy with the scores",
        ),
        "zh": (
            "nll_loss 得到的是得分，而不是概率的对数",
            "概率的对数不会大于 0，这里却有大于 0 的数。损失可以无止境地降到 0 以下，各个类别之间也没有竞争。",
            "在网络末尾加 log_softmax(dim=1)，或者把得分直接交给 cross_entropy",
        ),
    },
    "trained-in-eval": {
        "en": (
            "{name} is trained in evaluation mode after it was evaluated",
            "It has {layers}: since model.eval() they do not behave as in training, and nobody has switched them back.",
            "call model.train() at the beginning of each epoch",
        ),
        "zh": (
            "{name} 评估之后仍在评估模式下训练",
            "它含有 {layers}：调用 model.eval() 之后，它们就不再按训练时的方式工作，而后来没有切换回来。",
            "在每一轮训练开始时调用 model.train()",
        ),
    },
    "no-step": {
        "en": (
            "{name} never makes a step",
            "backward() only computes gradients: the parameters stay what they were at first.",
            "call its step() once after each loss.backward()",
        ),
        "zh": (
            "{name} 的 step() 从来没有被调用",
            "backward() 只计算梯度：参数一直保持初始值。",
            "每次 loss.backward() 之后调用一次它的 step()",
        ),
    },
    "raised": {
        "en": ("the script ended with {error}", "{text}", "see the traceback above; the findings here may be its cause"),
        "zh": ("脚本因 {error} 而中止", "{text}", "见上面的 traceback；这里列出的其他问题可能就是原因"),
    },
}  # fmt: skip
HEADINGS = {
    "en": {
        "why": "why: ",
        "cure": "cure: ",
        "none": "nothing was found",
        "found": "{n} found",
    },
    "zh": {"why": "原因：", "cure": "办法：", "none": "没有发现问题", "found": "共发现 {n} 处问题"},
}


# what stands in a text in the place of these words
REASONS = {
    "own-gradient": {
        "en": "a new tensor that asks for its own gradient",
        "zh": "它是重新创建的张量，requires_grad 是另外设上的",
    },
    "no-grad-fn": {"en": "it has no grad_fn", "zh": "它没有 grad_fn"},
}


@dataclass(frozen=True)
class Finding:
    """One thing at one line of a file."""

    kind: str
    file: str
    line: int
    names: dict[str, str] = field(default_factory=dict, hash=False, compare=False)

    def texts(self, language: str) -> tuple[str, str, str]:
        """What it is, why, and the cure."""
        what, why, cure = TEXTS[self.kind][language]
        names = {name: REASONS[value][language] if value in REASONS else value for name, value in self.names.items()}
        return what.format(**names), why.format(**names), cure.format(**names)


def language() -> str:
    """ "zh" where the environment asks for Chinese (LC_ALL, LC_MESSAGES, LANG: the first that is set), "en" elsewhere."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def report(findings: Iterable[Finding], lang: str) -> str:
    """The findings as text, in the order of their lines; one of a kind and line."""
    words, parts = HEADINGS[lang], []
    unique = sorted(set(findings), key=lambda f: (f.file, f.line, f.kind))
    for finding in unique:
        what, why, cure = finding.texts(lang)
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        parts.append(f"{place}: {what} [{finding.kind}]\n    {words['why']}{why}\n    {words['cure']}{cure}")
    parts.append(words["found"].format(n=len(unique)) if unique else words["none"])
    return "\n\n".join(parts)


__all__ = ["TEXTS", "Finding", "language", "report"]
