"""Docstrings begin with a verb and use the terms of the field."""

import ast
import re

import pytest

from tests.helpers import ROOT

MODULES = [*(ROOT / "src/overtone").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
# Words of our own that the field has terms for.
PRIVATE = re.compile(r"\b(evening|hiss|panning|anew|remade|softer)\b", re.IGNORECASE)
QUESTION = re.compile(r"(What|How|Where|Which|Whether)\b")


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "name", path.stem), text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_begin_with_a_verb_and_use_the_fields_terms(path):
    for name, text in docstrings(path):
        assert not QUESTION.match(text), f"{name}: {text.splitlines()[0]}"
        found = PRIVATE.search(text)
        assert not found, f"{name}: {found[0]!r}"
        assert not text.startswith("TODO"), name
