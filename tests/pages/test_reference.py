"""The site's API reference: every name stands on one page, and no page is endless."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 125  # names of a page; it was 879


def test_each_name_has_one_place():
    pages = dict(runpy.run_path(str(ROOT / "tools" / "reference.py"))["pages"]())
    headed = {name: re.findall(r"^### \S+ \{ #(\S+) \.api \}$", text, re.MULTILINE) for name, text in pages.items()}
    assert max(map(len, headed.values())) <= LONGEST
    places = [anchor for anchors in headed.values() for anchor in anchors]
    assert len(places) == len(set(places)) > 2000
    for name in ("torch.add", "torch.Tensor.add_", "torch.nn.Conv2d", "torch.nn.functional.relu", "torch.save"):
        assert name in places
    assert "torch.acos_" in headed["api/torch/elementary.md"]  # in place lives beside its other form
    index = pages["api/torch/index.md"]
    for page, anchor in re.findall(r"\((\w+\.md)#(\S+)\)\{ #", index):
        assert anchor in headed[f"api/torch/{page}"], anchor
    assert not [name for name, text in pages.items() if "\\<" in text]  # Markdown would show the backslash
    assert "0 where -lambd &lt;= x &lt;= lambd" in pages["api/functional/activation.md"]
