"""Writes src/flambeau/ops/aten_schemas.txt: the schemas that the installed torch prints for the operators of `torch.ops.aten`.

Left out are those of other backends (MKLDNN, cuDNN, MIOpen, MPS), of quantization, and torch's own tests.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

TABLE = Path(__file__).resolve().parent.parent / "src" / "flambeau" / "ops" / "aten_schemas.txt"
LEFT_OUT = re.compile(
    r"_?(mkldnn|miopen|cudnn|mps|test|fbgemm|cslt|philox|nested|wrapped|triton|nnpack|cufft|dyn_quant|mixed_dtypes|weight_int|"
    r"convert_weight|sparse_semi|foobar|fake_quant|use_|choose_q|quantized|to_sparse_semi)|q_|.*mkldnn|.*_mps|.*quantize|"
    r".*for_cpu_fallback|_jagged|_padded"
)


def main() -> None:
    qualified = torch._C._dispatch_get_all_op_names()
    names = sorted({name.removeprefix("aten::").partition(".")[0] for name in qualified if name.startswith("aten::")})
    lines = []
    for name in names:
        if not LEFT_OUT.match(name):
            packet = getattr(torch.ops.aten, name)
            lines += [str(getattr(packet, o)._schema).removeprefix("aten::") for o in packet.overloads()]
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
