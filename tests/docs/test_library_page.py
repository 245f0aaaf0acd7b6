"""docs/library.md: its example runs as it is written (pipeline.py, so that its types are checked), and it has every name."""

from __future__ import annotations

from pathlib import Path

import pytest

import imagegen
from imagegen import Project
from tests.docs import pipeline
from tests.docs.pages import files, table

PAGE = "docs/library.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in files(PAGE).items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_example_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.main(root)
    printed = capsys.readouterr().out
    assert "generate portraits:mallsing new\n" in printed
    assert "4 to do\n" in printed
    assert "generated assets/portraits/mallsing.png\n" in printed
    page = (root / "portraits.html").read_text("utf-8").splitlines()
    assert page[1] == '<img src="assets/portraits/yrr.png" alt="a small figure with a lantern">'
    assert (root / "assets/portraits/yrr-thumb.png").exists()
    assert Project(root).plan().stale == ()


def test_the_example_is_the_one_whose_types_are_checked() -> None:
    assert files(PAGE)["pipeline.py"] == Path(pipeline.__file__).read_text("utf-8")


def test_the_table_has_every_public_name() -> None:
    named = " ".join(cell for row in table(PAGE, "name") for cell in row)
    assert [name for name in imagegen.__all__ if name not in named and name != "__version__"] == []
