"""docs/sd.md and the README's first page against the models and builds that the code has."""

from __future__ import annotations

from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownModel, suggest_model
from imagegen.backends.text import size_text
from tests.docs.pages import table

PAGE = "docs/sd.md"


def documented(model: KnownModel) -> list[str]:
    """The model's row."""
    licence, _, terms = model.licence.partition(": ")
    references = "yes" if model.takes_references else ""
    size = f"{model.width}×{model.height}"
    linked = f"[{licence}]({model.page})" + (f", {terms}" if terms else "")
    gb = f"{model.memory / 1024**3:.1f} GB".replace(".0 GB", " GB")
    return [f"`{model.name}`", model.title, size_text(model.bytes), gb, model.seconds, size, references, linked]


def test_the_table_of_models_is_that_of_the_code() -> None:
    assert table(PAGE, "model") == [documented(model) for model in KNOWN_MODELS.values()]


def test_the_readme_has_the_sizes_of_the_two_models_that_are_suggested() -> None:
    rows = {row[0]: row[1] for row in table("README.md", "what") if "`" in row[0]}
    for name in {suggest_model(0, "cpu"), suggest_model(2**40, "vulkan")}:
        (download,) = [download for what, download in rows.items() if f"`{name}`" in what]
        assert download == size_text(KNOWN_MODELS[name].bytes)
