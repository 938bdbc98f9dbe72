"""PyTorch's messages that stand in a table: all are raised somewhere, none that is raised is missing, and no text is written in disguise."""

import ast
import re
from pathlib import Path

import flambeau
from flambeau.core.dispatch.messages import _messages, message

SOURCES = sorted(Path(flambeau.__file__).parent.rglob("*.py"))


def test_the_table_is_what_is_raised() -> None:
    asked: dict[str, set[str]] = {}
    for tree in (ast.parse(text) for file in SOURCES if "messages import" in (text := file.read_text("utf-8"))):
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "message":
                (key,) = (argument.value for argument in call.args)
                asked[key] = {keyword.arg for keyword in call.keywords}
    assert sorted(asked) == sorted(_messages())
    for key, values in asked.items():
        text = message(key, **{value: f"<{value}>" for value in values})
        assert all(f"<{value}>" in text for value in values), key


def test_texts_stand_as_they_are_read() -> None:
    for file in SOURCES:
        text = file.read_text("utf-8")
        if not re.search(r"""\{\s*(['"])[^'"{}]*\1(![rs])?\}""", text):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FormattedValue):
                assert not isinstance(node.value, ast.Constant), f"{file}:{node.lineno}: {ast.unparse(node)}"
