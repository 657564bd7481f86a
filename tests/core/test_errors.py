"""An extra's module is imported, or one line says which extra brings it."""

import sys

import pytest

from overtone.core.errors import OvertoneError, need


def test_it_gives_the_module():
    assert need("listen", "xml.dom") is sys.modules["xml.dom"]


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.api", "json.no_such_module"])
def test_a_missing_one_is_one_line_with_the_extra(module):
    package = module.partition(".")[0]
    with pytest.raises(OvertoneError) as caught:
        need("stems", module)
    assert str(caught.value).startswith(
        f"{package} is not installed: pip install 'overtone[stems]' (No module"
    )


def test_one_that_fails_to_import_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text("raise ImportError('no compiler')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OvertoneError, match=r"^broken_extra is not installed: .* \(no compiler\)$"):
        need("visqol", "broken_extra")
