"""Where outputs come from, in job files and prompt sources, as a program learns it."""

from __future__ import annotations

from pathlib import Path

from imagegen.project.item_places import ItemPlaces
from tests.project_folder import SMALL_JOB, ProjectFolder, picture

PAGE = """# Portraits

## Mallsing

```
a tall figure
```

## Yrr

```
a small figure
```
"""
SCRIPTED = "backend: scripted\nscripted: {script: script.json}\n"
CHARACTERS = """\
generate: {width: 32, height: 32}
items:
  - {name: Mallsing, prompt: a tall figure}
  - name: Yrr
    prompt: a small figure
variants: 2
derive:
  thumb: {width: 16}
sheet: {of: thumb}
"""


def places(folder: ProjectFolder) -> dict[str, str]:
    found = ItemPlaces(folder.root, ())
    return {task: found.find(output) for task, output in folder.outputs().items()}


def test_each_output_comes_from_an_item_or_a_rule(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.write("jobs/characters.yaml", CHARACTERS + SCRIPTED)
    folder.write("page.md", PAGE)
    folder.write("jobs/pages.yaml", f"source: page.md\n{SCRIPTED}")
    found = places(folder)
    assert found["characters:mallsing-v1"] == found["characters:mallsing-v2"] == "jobs/characters.yaml:3:6"
    assert found["characters:yrr-v2"] == "jobs/characters.yaml:4:5"
    assert found["characters:yrr-v1:thumb"] == "jobs/characters.yaml:8:3"
    assert {found[task] for task in found if task.startswith("characters:sheet")} == {"jobs/characters.yaml:9:1"}
    assert found["pages:yrr"].startswith("page.md:9:")


def test_a_folder_of_files_is_the_place_of_what_is_made_of_them(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(picture())
    folder.write("jobs/photos.yaml", "items: {folder: photos}\nderive:\n  small: {width: 16}\n")
    assert set(places(folder).values()) == {"jobs/photos.yaml:3:3"}


def test_a_job_that_is_not_valid_any_more_still_has_its_file(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.job()
    (first, *_) = folder.outputs().values()
    for text in ("items: [3, {name: 4}]\nderive: 5\n", "- a list\n", "{"):
        folder.write("jobs/portraits.yaml", text)
        assert ItemPlaces(tmp_path, ()).find(first) == "jobs/portraits.yaml"
    (tmp_path / "jobs/portraits.yaml").unlink()
    assert ItemPlaces(tmp_path, ()).find(first) == ""
