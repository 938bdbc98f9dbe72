"""What `mkdocs build` asks while it builds the site (a hook of mkdocs.yml).

It adds the pages that have their source elsewhere: the benchmarks' tables, and the reference, written from the names, signatures and
docstrings of the installed flambeau.
"""

from __future__ import annotations

import html
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import flambeau

ROOT = Path(__file__).resolve().parent.parent

# page: title, what stands above the names, and where they are
PAGES: dict[str, tuple[str, list[str]]] = {
    "flambeau": ("flambeau's own", ["flambeau:own"]),
    "torch": ("torch: functions", ["flambeau"]),
    "tensor": ("torch.Tensor", ["flambeau.Tensor"]),
    "nn": ("torch.nn: layers", ["flambeau.nn", "flambeau.nn.parameter", "flambeau.nn.utils"]),
    "functional": ("torch.nn.functional, torch.nn.init", ["flambeau.nn.functional", "flambeau.nn.init"]),
    "optim": ("torch.optim", ["flambeau.optim", "flambeau.optim.lr_scheduler", "flambeau.optim.swa_utils"]),
    "data": ("torch.utils.data", ["flambeau.utils.data", "flambeau.utils.checkpoint"]),
    "autograd": ("torch.autograd, torch.func", ["flambeau.autograd", "flambeau.autograd.functional", "flambeau.func"]),
    "linalg": ("torch.linalg, fft, special", ["flambeau.linalg", "flambeau.fft", "flambeau.special"]),
    "distributions": ("torch.distributions", ["flambeau.distributions"]),
    "distributed": ("torch.distributed", ["flambeau.distributed", "flambeau.parallel"]),
}
_OWN = "plot summary jax_function load_exported show_config LoadReport".split()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written here."""
    for path, text in {"benchmarks.md": _benchmarks(), **dict(_reference())}.items():
        files.append(File.generated(config, path, content=text))
    picture = ROOT / "benchmarks" / "steps.svg"
    files.append(File.generated(config, picture.name, content=picture.read_text()))
    _pages.update({file.src_uri: file for file in files})
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Links that lead out of docs/ stand as text: on the site there is nothing behind them."""
    markdown = _with_formulas(markdown)
    if page.file.src_uri.startswith("zh/"):
        markdown = _without_line_breaks(markdown)
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)+(?:(?:src|benchmarks|examples|tests|tools)(?:/[^)]*)?|(?:CONTRIBUTING|README)[^)]*)\)",
        r"\1",
        markdown,
    )


def on_page_content(content: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Each cell of a table of sentences carries its column's heading: on a telephone its rows stand one below the other."""
    return re.sub(r"<table>.*?</table>", lambda table: _headed(table[0]), content, flags=re.DOTALL)


_SENTENCE = 60  # letters of its longest cell, from which on a table is one of sentences


def _headed(table: str) -> str:
    heads = [
        html.escape(re.sub(r"<[^>]+>", "", head), quote=True)
        for head in re.findall(r"<th[^>]*>(.*?)</th>", table, re.DOTALL)
    ]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr>")]
    longest = max((len(re.sub(r"<[^>]+>", "", cell)) for row in rows for cell in row), default=0)
    if len(heads) < 3 or longest < _SENTENCE / (2 if re.search(_IDEOGRAPH, table) else 1):
        return table
    column = itertools.cycle(heads)
    return re.sub(r"<td(?=[ >])", lambda _: f'<td data-head="{next(column)}"', table)


_CHINESE = {
    '<html lang="en"': '<html lang="zh"',
    "Table of contents": "目录",
    'aria-label="Footer"': 'aria-label="页脚"',
    'aria-label="Previous: ': 'aria-label="上一页：',
    'aria-label="Next: ': 'aria-label="下一页：',
    " Previous\n": " 上一页\n",
    " Next\n": " 下一页\n",
    " Back to top\n": " 回到页首\n",
    " Skip to content\n": " 跳到正文\n",
    " Initializing search\n": " 正在准备搜索\n",
    'aria-label="Search" placeholder="Search"': 'aria-label="搜索" placeholder="搜索"',
    '"Copy to clipboard"': '"复制"',
    '"Copied to clipboard"': '"已复制"',
    '"Type to start searching"': '"输入以开始搜索"',
    '"No matching documents"': '"没有找到"',
    '"1 matching document"': '"找到 1 页"',
    '"# matching documents"': '"找到 # 页"',
}


_EMPTY_SITEMAP = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"></urlset>\n'
)
_SWITCH = re.compile(r'href="[^"]*"( hreflang="(en|zh)" class="md-select__link")')
_pages: dict[str, File] = {}  # by their source


def on_post_page(output: str, page: Any, config: MkDocsConfig) -> str:
    """The language's switch leads to the same page; Chinese ones say that they are, for browsers' letters and readers' voices."""
    here = page.file.src_uri
    english = here.removeprefix("zh/")
    homes = {"en": _pages.get(english, _pages["index.md"]), "zh": _pages.get(f"zh/{english}", _pages["zh/index.md"])}
    output = _SWITCH.sub(lambda link: f'href="{homes[link[2]].url_relative_to(page.file)}"{link[1]}', output)
    if here != english:
        for text, chinese in _CHINESE.items():
            output = output.replace(text, chinese)
    return output


def on_post_build(config: MkDocsConfig) -> None:
    """The theme asks each language's folder for a map; it has nothing to tell, since links lead to the same page already."""
    Path(config.site_dir, "zh", "sitemap.xml").write_text(_EMPTY_SITEMAP)


_PUNCTUATION = r"\u3000-\u303f\uff00-\uffef"
_IDEOGRAPH = rf"[{_PUNCTUATION}\u4e00-\u9fff]"
_BREAK = re.compile(rf"(?<={_IDEOGRAPH})\n *(?={_IDEOGRAPH})|(?<=[{_PUNCTUATION}])\n *(?=`|\w)")


def _without_line_breaks(markdown: str) -> str:
    """Lines of Chinese joined: a browser shows a line break as a space, which Chinese has only before and after other letters."""
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [_BREAK.sub("", part) for part in parts[::2]]
    return "".join(parts)


_CODE_OR_FORMULA = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]*`)|\$\$(?P<block>.*?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL | re.MULTILINE
)


def _with_formulas(markdown: str) -> str:
    """TeX between dollars as MathML, which browsers draw by themselves."""

    def formula(match: re.Match[str]) -> str:
        if match["code"] is not None:
            return match["code"]
        block = match["block"] is not None
        text = convert((match["block"] or match["inline"]).strip(), display="block" if block else "inline")
        # in a span, since Markdown takes <math> at the beginning of a line for a block of its own
        return f"\n\n<div>{text}</div>\n\n" if block else f"<span>{text}</span>"

    return _CODE_OR_FORMULA.sub(formula, markdown)


def _benchmarks() -> str:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    return text.replace("# Benchmarks", "# Performance tables", 1)


def _reference() -> Iterator[tuple[str, str]]:
    rows = [
        f"| [{title}]({name}.md) | {', '.join(f'`{_torch_name(s)}`' for s in sources)} |"
        for name, (title, sources) in PAGES.items()
    ]
    head = (
        "# API reference\n\nNames, defaults and results are PyTorch 2.13's; where they are not, "
        "[Differences](../differences.md) says so. The pages are written from the code.\n\n| page | names of |\n|---|---|\n"
    )
    yield "api/index.md", head + "\n".join(rows) + "\n"
    for name, (title, sources) in PAGES.items():
        parts = [f"# {title}\n"]
        for source in sources:
            if len(sources) > 1:
                parts.append(f"## {_torch_name(source)}\n")
            parts += [_entry(source, label, value) for label, value in _names(source)]
        yield f"api/{name}.md", "\n".join(parts)


def _torch_name(source: str) -> str:
    return (
        "flambeau"
        if source == "flambeau:own"
        else source.replace("flambeau", "torch", 1)
        if ".parallel" not in source
        else source
    )


def _names(source: str) -> Iterator[tuple[str, Any]]:
    """The public functions and classes of a place, in the order of the alphabet."""
    if source == "flambeau:own":
        yield from ((name, getattr(flambeau, name)) for name in _OWN)
        return
    place: Any = flambeau
    for part in source.split(".")[1:]:
        place = getattr(place, part)
    listed = getattr(place, "__all__", None) if source.count(".") and isinstance(place, ModuleType) else None
    for name in sorted(listed or dir(place), key=str.lower):
        value = inspect.getattr_static(place, name, None) if isinstance(place, type) else getattr(place, name, None)
        known = callable(value) or isinstance(value, property)
        ours = str(getattr(value, "__module__", "flambeau")).split(".")[0] in ("flambeau", "torch", "builtins")
        if not name.startswith("_") and known and ours and not isinstance(value, ModuleType) and inspect.getdoc(value):
            yield name, value


def _entry(source: str, name: str, value: Any) -> str:
    """One name: a heading, its signature, its docstring."""
    place = _torch_name(source)
    kind = "class " if isinstance(value, type) else ""
    shown = f"{place}.{name}" if place != "torch.Tensor" else f"Tensor.{name}"
    described = value
    if place == "torch.Tensor" and name.endswith("_"):  # writes in place what the method without the stroke computes
        described = inspect.getattr_static(flambeau.Tensor, name[:-1], value)
    signature = "" if isinstance(value, property) else _signature(described, place == "torch.Tensor")
    return f"### {name} {{ #{place}.{name} .api }}\n\n```python\n{kind}{shown}{signature}\n```\n\n{_markdown(inspect.getdoc(value) or '')}\n"


def _signature(value: Any, method: bool) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    given = list(signature.parameters.values())[1 if method else 0 :]
    parts: list[str] = []
    for before, parameter in zip([None, *given], given, strict=False):
        if parameter.kind is parameter.KEYWORD_ONLY and (before is None or before.kind < parameter.VAR_POSITIONAL):
            parts.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = _annotation(parameter.annotation)
        text = f"{star}{parameter.name}{f': {kind}' if kind else ''}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}" if kind else f"={parameter.default!r}"
        parts.append(re.sub(r"<function (\w+) at [^>]*>", r"\1", text))
    result = _annotation(signature.return_annotation)
    end = f") -> {result}" if result not in ("", "None") else ")"
    line = f"({', '.join(parts)}{end}"
    return line if len(line) < 84 else "(\n    " + ",\n    ".join(parts) + f",\n{end}"


def _annotation(kind: Any) -> str:
    """An annotation as a reader knows it: what an operator's function gets as arrays, its caller gives as tensors."""
    if kind is inspect.Parameter.empty:
        return ""
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    return re.sub(
        r"Static\[(.*)\]$",
        r"\1",
        re.sub(r"\bArrays\b", "Sequence[Tensor]", re.sub(r"(?<!\.)\bArray\b", "Tensor", text)),
    )


def _markdown(text: str) -> str:
    """A docstring as markdown: examples become code, a line that begins with spaces keeps its place, the rest flows."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", textwrap.dedent(text).strip()):
        lines = block.split("\n")
        if page := re.fullmatch(r"PyTorch: (https://\S+)", block.strip()):
            out.append(f"[PyTorch's page]({page[1]})")
        elif any(line.lstrip().startswith(">>>") for line in lines):
            first = next(i for i, line in enumerate(lines) if line.lstrip().startswith(">>>"))
            out += ["**Example**" if lines[:first] == ["Example:"] else _flow(lines[:first])] if first else []
            out.append("```pycon\n" + textwrap.dedent("\n".join(lines[first:])) + "\n```")
        elif (
            len(lines) > 1
            and re.fullmatch(r"[A-Z][a-z]+:", lines[0])
            and all(line.startswith("    ") for line in lines[1:])
        ):
            out.append("\n".join([f"**{lines[0][:-1]}**\n", *(f"- {_flow([line])}" for line in lines[1:])]))
        elif any(line.startswith("    ") for line in lines[:1]):
            out.append("```text\n" + textwrap.dedent(block) + "\n```")
        else:
            out.append(_flow(lines))
    return "\n\n".join(out)


def _flow(lines: list[str]) -> str:
    joined = "\n".join(line.strip() if not re.match(r"\s*[-*] ", line) else line for line in lines)
    pieces = re.split(r"(`[^`]*`)", joined)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", p) for p in pieces)
