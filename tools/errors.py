"""Writes docs/errors.md and docs/zh/errors.md: the ten error texts that learners search for most, as PyTorch says them and as they stand here.

python tools/errors.py            # needs torch; --check says whether the page is current
"""

from __future__ import annotations

import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import torch
from options import CHECK, asked

import flambeau

DOCS = Path(__file__).resolve().parents[1] / "docs"

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear({features}, 10)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().flatten(1))
"""
CASES = {
    "Shapes of a product": NET.format(features=100) + "\n\nnet = Net()\nnet(torch.zeros(4, 3, 8, 8))",
    "Channels": NET.format(features=288) + "\n\nnet = Net()\nnet(torch.zeros(4, 1, 8, 8))",
    "Groups": "net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(16, 16, 3, groups=16))\nnet(torch.zeros(1, 3, 8, 8))",
    "Missing and unexpected keys": NET.format(features=288)
    + """

net = Net()
saved = {"module." + key: value for key, value in net.state_dict().items()}
net.load_state_dict(saved)""",
    "Size mismatch": "net = nn.Sequential(nn.Linear(4, 10))\nnet.load_state_dict(nn.Sequential(nn.Linear(4, 3)).state_dict())",
    "No grad_fn": """
net = nn.Linear(2, 1)
with torch.no_grad():
    loss = net(torch.ones(1, 2)).sum()
loss.backward()""",
    "In-place on a leaf": "w = torch.ones(3, requires_grad=True)\nw += 1",
    "Backward twice": "x = torch.ones(3, requires_grad=True)\nloss = x.exp().sum()\nloss.backward()\nloss.backward()",
    "Dtypes that differ": "net = nn.Sequential(nn.Linear(2, 1))\nnet(torch.ones(1, 2, dtype=torch.float64))",
    "Devices that differ": 'net = nn.Sequential(nn.Linear(2, 1, device="meta"))\nnet(torch.ones(1, 2))',
    "A target out of range": "loss = nn.CrossEntropyLoss()\nloss(torch.zeros(2, 3), torch.tensor([0, 3]))",
    "Not a scalar": "x = torch.ones(3, requires_grad=True)\n(x * 2).backward()",
}

VARIANTS = {"Groups", "Devices that differ"}  # of the one before


def said(library: Any, code: str) -> str:
    """The error of a program, by one of the libraries."""
    names = {"torch": library, "nn": library.nn}
    library.manual_seed(0)
    try:
        exec(compile(code, "<program>", "exec"), names)
    except Exception as error:
        return "".join(traceback.format_exception_only(error))
    raise SystemExit(f"no error: {code}")


HEAD = [
    "# Ten errors, and what they lead to",
    "PyTorch's text stands unbroken in each, so that a search finds what others have answered. Before it stands the layer, behind "
    "it what would fit. Written by `tools/errors.py`, which runs each program with both libraries.",
]
ENGLISH = {
    "Shapes of a product": "What is flattened has another number of features than the linear layer. Give `in_features` the number that the text "
    "names, or let `nn.LazyLinear` find it.",
    "Channels": "The picture is gray, of one channel, and the convolution wants three. Change `in_channels`, or read the picture in colour.",
    "Groups": "The second convolution takes each channel apart, as a group of its own, but for 16 channels, and it is given 8. Change "
    "`in_channels` and `groups` together, since one is divided by the other.",
    "Missing and unexpected keys": "The weights were saved from `nn.DataParallel`, which puts `module.` before each key. Strip it before loading.",
    "Size mismatch": "The file's last layer has another number of classes. To go on from its other layers, delete this layer's weights from the "
    "state dict and load with `strict=False`.",
    "No grad_fn": "The loss was computed under `no_grad()` (or through `.item()`, `.detach()`, NumPy): there is no graph to go back through.",
    "In-place on a leaf": "A parameter can not be written to in place. Update it under `with torch.no_grad():`, or leave it to an optimizer.",
    "Backward twice": "The first `backward()` has freed the graph. Compute the loss anew; keep the graph (`retain_graph=True`) only where both "
    "passes are meant.",
    "Dtypes that differ": "NumPy's numbers are float64, a model's parameters float32: give the model `x.float()`.",
    "Devices that differ": "Layer and input have to be on one device: `model.to(device)`, `x.to(device)`. Without a GPU `meta` shows it, "
    "the device of tensors without values.",
    "A target out of range": "Classes count from 0 to their number less 1. Do the labels begin at 1, or has the last layer too few outputs?",
    "Not a scalar": "Only a single number goes back by itself: take `.sum()` or `.mean()` first, or give `gradient=`.",
}
CHINESE_HEAD = [
    "# 十种报错，以及它们指向哪里",
    "每条报错都完整保留 PyTorch 的原文，搜索时能找到别人的解答；原文前面写着出错的层，后面写着应该改成什么。"
    "本页由 `tools/errors.py` 生成：每段程序都在两个库上各运行一次。",
]
CHINESE = {
    "Shapes of a product": (
        "矩阵形状不匹配",
        "展平后的特征数与全连接层的 `in_features` 不一致。按提示改 `in_features`，或者用 `nn.LazyLinear` 让它自己确定。",
    ),
    "Channels": (
        "通道数不匹配",
        "输入是单通道（灰度）图像，而卷积层要三个通道。改 `in_channels`，或者把图像读成彩色。",
    ),
    "Groups": (
        "分组数不匹配",
        "第二个卷积逐通道计算（每个通道一组），按 16 个通道写的，输入却只有 8 个。`in_channels` 要能被 `groups` 整除，两者一起改。",
    ),
    "Missing and unexpected keys": (
        "键缺失或多余",
        "权重是用 `nn.DataParallel` 保存的，每个键前面多了 `module.`。去掉这个前缀再加载。",
    ),
    "Size mismatch": (
        "参数大小不一致",
        "文件里的最后一层与模型的类别数不同。迁移学习时先删去这一层的权重，再用 `strict=False` 加载。",
    ),
    "No grad_fn": (
        "没有 grad_fn",
        "损失是在 `no_grad()` 里算的（或者用了 `.item()`、`.detach()`、NumPy），没有计算图可以反向传播。",
    ),
    "In-place on a leaf": (
        "对叶子张量做原地操作",
        "需要梯度的参数不能直接原地修改。更新参数时放进 `with torch.no_grad():`，或者交给优化器。",
    ),
    "Backward twice": (
        "反向传播两次",
        "第一次 `backward()` 之后计算图就释放了。重新做一次前向计算；确实需要时才用 `retain_graph=True`。",
    ),
    "Dtypes that differ": (
        "数据类型不一致",
        "NumPy 的小数默认是 float64，模型的参数是 float32。用 `x.float()` 转换输入。",
    ),
    "Devices that differ": (
        "设备不一致",
        "层与输入必须在同一个设备上：`model.to(device)`、`x.to(device)`。没有 GPU 时用 `meta`（没有数值的设备）来演示。",
    ),
    "A target out of range": (
        "标签超出范围",
        "类别号必须从 0 到「类别数减 1」。检查标签是否从 1 开始，或者最后一层的输出个数是否太少。",
    ),
    "Not a scalar": ("不是标量", "只有标量才能直接 `backward()`。先用 `.sum()` 或 `.mean()`，或者给出 `gradient=`。"),
}


def pages() -> dict[Path, str]:
    """The pages, as they should be."""
    english, chinese = list(HEAD), list(CHINESE_HEAD)
    number = 0
    for title, code in CASES.items():
        number += title not in VARIANTS
        shown = [f"```py\n{textwrap.dedent(code).strip()}\n```"]
        for name, library in (("PyTorch", torch), ("flambeau", flambeau)):
            shown.append(f"{name}:\n\n```text\n{said(library, code).rstrip()}\n```")
        translated, why = CHINESE[title]
        for page, name, text in ((english, title, ENGLISH[title]), (chinese, translated, why)):
            page += [f"### {name}" if title in VARIANTS else f"## {number}. {name}", text, *shown]
    for page in (english, chinese):  # the texts of errors are folded by the reader's browser
        page.insert(2, '<div class="wrapped" markdown>')
        page.append("</div>")
    return {DOCS / "errors.md": "\n\n".join(english) + "\n", DOCS / "zh" / "errors.md": "\n\n".join(chinese) + "\n"}


if __name__ == "__main__":
    check = asked(__doc__, check=CHECK).check
    for path, text in pages().items():
        if not check:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path.relative_to(DOCS)} is old: run tools/errors.py")
