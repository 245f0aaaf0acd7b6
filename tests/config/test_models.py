from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagegen.config.models import ModelFile, read_models
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError

SHA = "ab" * 32
OF_HUB: dict[str, Any] = {
    "repo": "Lykon/DreamShaper",
    "file": "DreamShaper_8_pruned.safetensors",
    "folder": "checkpoints",
    "sha256": SHA,
    "size": "2.1 GB",
}
OF_URL = {"url": "https://example.org/a/b.safetensors?download=true", "folder": "loras", "sha256": SHA, "size": 144}


def one(base: dict[str, Any] = OF_HUB, **changes: Any) -> ModelFile:
    (model,) = read_models({"m": {key: value for key, value in (base | changes).items() if value is not None}})
    return model


def wrong(base: dict[str, Any] = OF_HUB, **changes: Any) -> list[str]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its arguments are looked at
        one(base, **changes)
    return list(caught.value.args)


def test_a_file_on_hugging_face_needs_few_words(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.imagegen.models.dreamshaper]\nrepo = "Lykon/DreamShaper"\nfile = "sd15/Dream.safetensors"\n'
        f'folder = "checkpoints"\nsha256 = "{SHA.upper()}"\nsize = "2.1 GB"\n'
    )
    (model,) = read_settings(tmp_path, {}, {}).models
    assert (model.key, model.folder, model.name, model.sha256) == (
        "dreamshaper",
        "checkpoints",
        "Dream.safetensors",
        SHA,
    )
    assert (model.repo, model.file, model.revision) == ("Lykon/DreamShaper", "sd15/Dream.safetensors", "main")
    assert model.page == "https://huggingface.co/Lykon/DreamShaper"


def test_a_url_gives_the_file_its_name_unless_it_has_one_of_its_own() -> None:
    assert one(OF_URL).name == "b.safetensors"
    assert one(OF_URL, name="sd15/other.safetensors").name == "sd15/other.safetensors"
    assert one(OF_URL, licence="https://example.org/l").page == "https://example.org/l"


def test_a_size_in_words_is_as_people_round_it_and_one_in_bytes_is_exact() -> None:
    assert (one(size=2132625894).least, one(size=2132625894).most) == (2132625894, 2132625894)
    rounded = one(size="2.1 GB")
    for real in (2.1e9, 2.13e9, 2.1 * 1024**3):
        assert rounded.least <= real <= rounded.most
    assert not rounded.least <= 2.5e9 <= rounded.most
    assert one(size="1 KB").least == 1


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        (OF_HUB, {"fil": "x"}, ["m.fil: unknown key; did you mean 'file'?"]),
        (OF_HUB, {"repo": None, "file": None}, ["m: needs repo and file (on Hugging Face), or url"]),
        (OF_HUB, {"file": None}, ["m.file: is missing: the file's path in that repository"]),
        (OF_HUB, {"repo": "../x"}, ["m.repo: expected OWNER/NAME, such as 'Lykon/DreamShaper'"]),
        (OF_HUB, {"revision": 3}, ["m.revision: expected a branch, tag or commit of that repository"]),
        (OF_HUB, {"revision": "a/../b"}, ["m.revision: expected a branch, tag or commit"]),
        (OF_HUB, {"sha256": "abc"}, ["m.sha256: expected 64 hexadecimal digits, found 3 characters"]),
        (OF_HUB, {"sha256": None}, ["m.sha256: is missing: the file's own, which Hugging Face shows on the file's page"]),
        (OF_HUB, {"size": None}, ["m.size: is missing: a size such as '2.1 GB', or the exact number of bytes"]),
        (OF_HUB, {"size": 0}, ["m.size: expected a size such as '2.1 GB', or the exact number of bytes"]),
        (OF_HUB, {"size": True}, ["m.size: expected a size such as '2.1 GB', or the exact number of bytes"]),
        (OF_HUB, {"folder": "checkpoint"}, ["m.folder: 'checkpoint' is not a kind of model; did you mean 'checkpoints'?"]),
        (OF_HUB, {"folder": "loras/sd15"}, ["m.folder: expected a kind of model, such as loras; name may have folders before the file"]),
        (OF_HUB, {"licence": "MIT"}, ["m.licence: expected the address of a page"]),
        (OF_HUB, {"file": 3, "size": "big"}, ["m.size: expected a size such as '2.1 GB', or the exact number of bytes", "m.file: expected the file's path in that repository"]),
        (OF_URL, {"revision": "main"}, ["m.revision: is for Hugging Face; with url, leave it out"]),
        (OF_URL, {"url": "https://example.org/api/download/12345"}, ["m.name: is missing: the url does not give the file's name"]),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_told(base: dict[str, Any], changes: dict[str, Any], expected: list[str]) -> None:
    assert wrong(base, **changes) == expected


def test_a_folder_of_custom_nodes_is_taken() -> None:
    assert one(folder="ipadapter").folder == "ipadapter"


HOSTILE = ["../x.pt", "a/../../x.pt", "/etc/x.pt", "~/x.pt", "a//x.pt", ".hidden.pt", "a\\..\\x.pt", "C:x.pt", "x\n.pt", "x.pt.", "nul.pt", "x.part"]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_no_name_leads_out_of_the_folder_or_is_no_file_on_some_system(path: str) -> None:
    assert wrong(OF_URL, name=path)[0].startswith("m.name: ")
    assert wrong(file=path)[0].startswith("m.file: ")
    assert wrong(folder=path)[0].startswith("m.folder: ")


@pytest.mark.parametrize("ending", ["..", "%2e%2e%2fx.pt", "", "nul.pt"])
def test_a_url_whose_name_would_be_hostile_does_not_name_the_file(ending: str) -> None:
    assert wrong(OF_URL, url=f"https://example.org/a/{ending}") == ["m.name: is missing: the url does not give the file's name"]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x.pt", "ftp://example.org/x.pt", "file:///etc/x.pt", "https://me:hush@example.org/x.pt",
     "https://example.org\\@evil.org/x.pt", "http://localhost.evil.org/x.pt", "http://127.0.0.1@evil.org/x.pt", "https:///x.pt", 3],
)  # fmt: skip
def test_only_https_is_taken_and_a_password_is_not_repeated(url: object) -> None:
    (message,) = wrong(OF_URL, url=url)
    assert message == "m.url: expected an address that begins with https://, without a user or password in it"


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_this_very_machine_is_asked_over_http_too(host: str) -> None:
    assert one(OF_URL, url=f"http://{host}/x.pt").name == "x.pt"


def test_two_models_are_not_one_file_whatever_the_case_of_its_letters() -> None:
    with pytest.raises(ValueError, match=r"two: has the file loras/B.SAFETENSORS, like one"):
        read_models({"one": OF_URL, "two": OF_URL | {"name": "B.SAFETENSORS"}})


def test_all_that_is_wrong_is_told_at_once_with_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.imagegen]\nbakend = "x"\n[tool.imagegen.models]\nlora = 3\n[tool.imagegen.models."a b"]\n'
        f'[tool.imagegen.models.vae]\nurl = "https://example.org/v.pt"\nfolder = "vea"\nsha256 = "{SHA}"\nsize = "1"\n'
    )
    with pytest.raises(ImagegenError) as caught:
        read_settings(tmp_path, {}, {})
    assert caught.value.problems[0].where == "pyproject.toml:2:1"
    assert [problem.what for problem in caught.value.problems] == [
        "bakend: unknown key; did you mean 'backend'?",
        "models: lora: expected a table with repo or url, folder, sha256 and size",
        "models: a b: expected a name of letters, digits, '_', '.' and '-'",
        "models: vae.size: expected a size such as '2.1 GB', or the exact number of bytes",
        "models: vae.folder: 'vea' is not a kind of model; did you mean 'vae'?",
    ]


def test_a_table_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.imagegen]\nmodels = 'all'\n")
    with pytest.raises(ImagegenError, match=r"models: expected a table for each model"):
        read_settings(tmp_path, {}, {})
