"""What `mkdocs build` asks while it builds the site (a hook of mkdocs.yml).

It adds the pages that have their source elsewhere: the benchmarks' tables, and the reference, written from the names, signatures and
docstrings of the installed flambeau.
"""

from __future__ import annotations

import html
import itertools
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

import reference  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The menu gets the reference's pages."""
    place = next(entry for entry in config.nav or [] if "API" in entry)
    place["API"] = reference.navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written here."""
    for path, text in {"benchmarks.md": _benchmarks(), **dict(reference.pages())}.items():
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
    """Each cell of a table of sentences carries its column's heading: on a telephone its rows stand one below the other.

    An option (`--all`, also within a command) is known as one, since a line would break behind its hyphens, and so is a short name that begins
    a row, which would break anywhere. Sentences that a program prints are told from its columns: they are read whole on a telephone, too.
    """
    content = re.sub(r"<code>(?=-[^<>\s]{1,20}</code>)", '<code class="option">', content)
    content = re.sub(r"(<tr>\s*<td[^>]*>)<code>(?=[^<>\s]{1,20}</code>)", r'\1<code class="option">', content)
    content = re.sub(
        r"<code>(?:[^<>\n]* )?-[^<>\n]*</code>",
        lambda code: _OPTION.sub(r'<span class="option">\1</span>', code[0]),
        content,
    )
    content = _PRINTED.sub(lambda text: text[1] + _LINE.sub(_sentence, text[2]) + text[3], content)
    # a bar in the code of a table is written with a backslash, which Markdown leaves there
    return re.sub(r"<table>.*?</table>", lambda table: _headed(table[0].replace("\\|", "|")), content, flags=re.DOTALL)


_OPTION = re.compile(r"(?<=[ >])(-[^<>\s]{1,20}(?: [^<>\s-][^<>\s]{0,8}(?=[ <]))?)")
_PRINTED = re.compile(r'(<div class="language-text highlight"><pre><span></span><code>)(.*?)(</code></pre>)', re.DOTALL)
_LINE = re.compile(r'(<a id="[^"]*"[^>]*></a>)(.*)')


def _sentence(line: re.Match[str]) -> str:
    """A long line that a program prints, marked as a sentence or as one in columns; trees, frames and tensors stay as they are."""
    text = html.unescape(line[2])
    kind = "columns" if "  " in text.strip() else "sentence"
    if len(text) < 40 or text.startswith("tensor(") or re.search("[\u2500-\u257f]|----", text):
        return line[0]
    if kind == "sentence" and text.startswith(" "):
        return line[0]
    return f'{line[1]}<span class="{kind}">{line[2]}</span>'


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


_TABS = {  # the tabs of Chinese pages lead to Chinese ones where there are any
    "Start": ("开始", "zh/index.md"),
    "Learn": ("学习", "zh/topics/building.md"),
    "Use": ("使用", "zh/torch.md"),
    "Speed": ("性能", "zh/benchmarks.md"),
    "API": ("API（英文）", ""),
    "Inside": ("内部（英文）", ""),
}
_TAB = re.compile(r'href="([^"]*)" class="md-tabs__link">\s*([^<]*?)\s*</a>')


def _chinese_tab(link: re.Match[str], here: File) -> str:
    name, target = _TABS.get(link[2], (link[2], ""))
    address = _pages[target].url_relative_to(here) if target else link[1]
    return f'href="{address}" class="md-tabs__link">{name}</a>'


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
        output = _TAB.sub(lambda link: _chinese_tab(link, page.file), output)
    return output


def on_post_build(config: MkDocsConfig) -> None:
    """The theme asks each language's folder for a map; it has nothing to tell, since links lead to the same page already."""
    Path(config.site_dir, "zh", "sitemap.xml").write_text(_EMPTY_SITEMAP)


_PUNCTUATION = r"\u3000-\u303f\uff00-\uffef"
_IDEOGRAPH = rf"[{_PUNCTUATION}\u4e00-\u9fff]"
_BREAK = re.compile(rf"(?<={_IDEOGRAPH})\n *(?={_IDEOGRAPH})|(?<=[{_PUNCTUATION}])\n *(?=[`\[]|\w)")


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
