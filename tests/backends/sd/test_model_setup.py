"""A model set up: real downloads over real HTTP, into a project's folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Context
from imagegen.backends.sd.files import find_digest
from imagegen.backends.sd.known_models import KnownFile, KnownModel
from imagegen.backends.sd.memory import Machine
from imagegen.backends.sd.model_setup import describe_models, setup_model
from imagegen.backends.sd.program import FOLDER, MARK
from imagegen.backends.sd.section import resolve
from imagegen.config.settings import Settings, read_settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request
from tests.backends.file_server import FileServer, Served, file_server

WEIGHTS = {"model": b"all in one" * 300, "unet": b"diffusion" * 500, "llm": b"words" * 700, "vae": b"pixels" * 100}
WEIGHTS["other"] = b"noise" * 800
_FOLDERS = {
    "model": "checkpoints",
    "unet": "diffusion_models",
    "llm": "text_encoders",
    "vae": "vae",
    "other": "diffusion_models",
}
REVISION = "ab" * 20


def known_file(key: str) -> KnownFile:
    data = WEIGHTS[key]
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{key}.gguf"
    return KnownFile(f"{key}-q4", _FOLDERS[key], name, f"o/{key}", f"in/{name}", REVISION, len(data), sha256)


def known_model(name: str, **parts: str) -> KnownModel:
    files = {part: known_file(key) for part, key in parts.items()}
    return KnownModel(name, name.title(), files, "MIT", "https://huggingface.co/o/m", 2**30, "1 s", 4, 1.0, 64, 64)


SPLIT = {"diffusion_model": "unet", "llm": "llm", "vae": "vae"}
MODELS = {
    "sd-turbo": known_model("sd-turbo", model="model"),
    "split": known_model("split", **SPLIT),
    "flux2-klein-4b": known_model("flux2-klein-4b", **SPLIT),
    "other-split": known_model("other-split", **{**SPLIT, "diffusion_model": "other"}),
}
"""In place of the real ones, which have gigabytes."""
ENTRY = """\
[tool.imagegen.models.{key}]
repo = "o/{file}"
file = "in/{file}.gguf"
revision = "abababababababababababababababababababab"
folder = "{folder}"
sha256 = "{sha256}"
size = {size}
"""


def entry(file: str, key: str = "") -> str:
    """A file's entry in pyproject.toml."""
    data = WEIGHTS[file]
    facts = {"folder": _FOLDERS[file], "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return ENTRY.format(key=key or f"{file}-q4", file=file, **facts)


class Project:
    """A folder, whose settings are read again for each set-up, as a command does."""

    def __init__(self, root: Path, server: FileServer) -> None:
        self.root, self.server = root, server
        self.pyproject = root / "pyproject.toml"
        self.notes: list[str] = []
        self.waiting: list[str] = []
        self.asked = 0
        self.environment = {"HF_ENDPOINT": server.url}

    @property
    def settings(self) -> Settings:
        return read_settings(self.root, {}, self.environment)

    def setup(
        self,
        name: str = "",
        ask: Callable[[], None] = lambda: None,
        requests: Sequence[Request] = (),
        recorded: Mapping[str, int] | None = None,
    ) -> list[str]:
        """Set a model up. Returns the lines that stay."""
        self.notes, self.waiting = [], []

        def on_event(event: str, facts: dict[str, Any]) -> None:
            {"note": self.notes, "waiting": self.waiting}[event].append(facts["text"])

        def count() -> None:
            self.asked += 1
            ask()

        progress = ImageProgress(math.inf, threading.Event(), on_event=on_event)
        setup_model(self.root, self.settings, name, progress, count, requests, recorded or {})
        return self.notes

    def fail(
        self, name: str = "", ask: Callable[[], None] = lambda: None, recorded: Mapping[str, int] | None = None
    ) -> str:
        with pytest.raises(ImagegenError) as caught:
            self.setup(name, ask, recorded=recorded)
        return str(caught.value)

    def downloads(self) -> list[str]:
        """What the server was asked for; forgets it."""
        asked = [one.path.rpartition("/")[2] for one in self.server.asked]
        self.server.asked.clear()
        return asked

    def files(self) -> list[str]:
        found = (path for path in (self.root / "tools").rglob("*") if path.is_file() and path.name[0] != ".")
        return sorted(path.relative_to(self.root / "tools").as_posix() for path in found)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name in ("HF_TOKEN", "SD_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for module in ("model_setup", "section"):
        monkeypatch.setattr(f"imagegen.backends.sd.{module}.KNOWN_MODELS", MODELS)
    with file_server() as server:
        server.files = {f"/o/{key}/resolve/{REVISION}/in/{key}.gguf": Served(data) for key, data in WEIGHTS.items()}
        yield Project(tmp_path, server)


def test_from_nothing_it_says_what_comes_asks_and_gets_the_model_that_suits(project: Project) -> None:
    said: list[str] = []
    notes = project.setup(ask=lambda: said.extend(project.notes))
    assert said[:4] == [
        "model sd-turbo: Sd-Turbo",
        "  licence: MIT, https://huggingface.co/o/m",
        "  it takes about 1.0 GB of memory, and for a picture about 1 s",
        "to be downloaded: tools/models/checkpoints/model.gguf, 3 KB from o/model on Hugging Face, "
        "licence: https://huggingface.co/o/model",
    ]
    assert said[4].startswith("3 KB to download, ")
    assert said[5:] == [
        "to be added to pyproject.toml: [tool.imagegen.models.model-q4]",
        'to be added to pyproject.toml: model = "sd-turbo" in [tool.imagegen.sd], for jobs that name no model',
        "sd-turbo suits this machine; for another model: doit sd:setup --model=NAME "
        "(split, flux2-klein-4b, other-split)",
    ]
    assert notes[len(said) :] == ["downloaded tools/models/checkpoints/model.gguf"]
    assert "downloading model-q4 3 KB of 3 KB, 100 %" in project.waiting
    assert project.waiting[-1] == ""
    assert project.pyproject.read_text() == entry("model") + '\n[tool.imagegen.sd]\nmodel = "sd-turbo"\n'
    assert (project.root / "tools/models/checkpoints/model.gguf").read_bytes() == WEIGHTS["model"]
    assert project.settings.sd_model == "sd-turbo"


@pytest.mark.parametrize(
    ("device", "gpu", "model"),
    [
        ("vulkan", 16, "flux2-klein-4b"),
        ("vulkan", 0, "sd-turbo"),
        ("metal", 0, "flux2-klein-4b"),
        ("cpu", 16, "sd-turbo"),
    ],
)
def test_the_model_suits_what_the_program_was_built_for(
    project: Project, monkeypatch: pytest.MonkeyPatch, device: str, gpu: int, model: str
) -> None:
    machine = Machine(memory=16 * 2**30, swap=0, gpu=gpu * 2**30)
    monkeypatch.setattr("imagegen.backends.sd.model_setup.this_machine", lambda: machine)
    mark = project.root / FOLDER / MARK
    mark.parent.mkdir(parents=True)
    mark.write_text(json.dumps({"device": device}))
    project.setup()
    assert project.settings.sd_model == model


@pytest.mark.parametrize("there", ["", "models/loras"])
def test_git_leaves_out_what_is_downloaded_but_not_what_was_there(project: Project, there: str) -> None:
    mine = project.root / "tools" / there / "mine"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"small")
    subprocess.run(["git", "init", "-q", project.root], check=True)
    project.setup("split")
    words = ["git", "-C", str(project.root), "status", "--porcelain", "--untracked-files=all", "tools"]
    found = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    assert found == f"?? {mine.relative_to(project.root).as_posix()}\n"


def test_a_second_time_it_asks_nobody_and_changes_nothing(project: Project) -> None:
    project.setup("split")
    assert project.downloads() == ["unet.gguf", "llm.gguf", "vae.gguf"]
    before = project.pyproject.read_bytes(), project.pyproject.stat().st_mtime_ns
    for name in ("split", ""):
        assert project.setup(name)[3:] == [
            f"there already: tools/models/{path}"
            for path in ("diffusion_models/unet.gguf", "text_encoders/llm.gguf", "vae/vae.gguf")
        ]
    assert (project.pyproject.read_bytes(), project.pyproject.stat().st_mtime_ns) == before
    assert (project.downloads(), project.asked) == ([], 1)


def test_whoever_says_no_gets_nothing_downloaded_or_written(project: Project) -> None:
    def no() -> None:
        raise ImagegenError(Problem("", "nothing was downloaded"))

    assert project.fail("split", no) == "nothing was downloaded"
    assert (project.downloads(), project.files(), project.pyproject.exists()) == ([], [], False)


def test_files_of_two_models_are_listed_and_downloaded_once(project: Project) -> None:
    project.setup("split")
    project.downloads()
    notes = project.setup("other-split")
    assert project.downloads() == ["other.gguf"]
    assert [one.key for one in project.settings.models] == ["unet-q4", "llm-q4", "vae-q4", "other-q4"]
    assert project.settings.sd_model == "split"
    assert any(note.startswith("jobs that name no model keep using split; to use other-split: ") for note in notes)


def test_a_file_that_is_listed_under_another_name_or_key_is_that_file(project: Project) -> None:
    mine = entry("llm", "mine") + 'name = "qwen/small.gguf"\n'
    project.pyproject.write_text(mine)
    project.setup("split")
    assert [one.key for one in project.settings.models] == ["mine", "unet-q4", "vae-q4"]
    assert project.pyproject.read_text().startswith(mine)
    assert "models/text_encoders/qwen/small.gguf" in project.files()
    resolved = resolve({}, Context(project.root, project.settings, lambda _: b""))
    assert resolved.extra["files"] == {"diffusion_model": "unet.gguf", "llm": "qwen/small.gguf", "vae": "vae.gguf"}
    assert find_digest(project.root, project.settings, resolved.extra["files"].items())


def test_a_file_that_is_there_in_any_folder_is_not_downloaded_again(project: Project) -> None:
    project.pyproject.write_text('[tool.imagegen.comfyui]\nmodel_paths = {vae = ["first", "big"]}\n')
    for path in ("big/vae.gguf", "tools/ComfyUI/models/text_encoders/llm.gguf", "tools/models/unet/x"):
        (project.root / path).parent.mkdir(parents=True)
        (project.root / path).write_bytes(WEIGHTS.get(Path(path).stem, b""))
    notes = project.setup("split")
    assert {"there already: big/vae.gguf", "there already: tools/ComfyUI/models/text_encoders/llm.gguf"} <= {*notes}
    assert project.downloads() == ["unet.gguf"]
    assert len(project.settings.models) == 3


def test_a_key_that_is_taken_is_left_to_whoever_has_it(project: Project) -> None:
    project.pyproject.write_text(entry("vae", "model-q4"))
    project.setup()
    assert [(one.key, one.name) for one in project.settings.models] == [
        ("model-q4", "vae.gguf"),
        ("model-q4-2", "model.gguf"),
    ]


def test_what_came_stays_and_the_next_set_up_goes_on_from_there(project: Project) -> None:
    llm = project.server.files[f"/o/llm/resolve/{REVISION}/in/llm.gguf"]
    project.server.files[f"/o/llm/resolve/{REVISION}/in/llm.gguf"] = Served(b"", 403)
    assert "llm-q4: Hugging Face gives llm.gguf only to those who accepted its licence" in project.fail("split")
    assert project.files() == ["models/diffusion_models/unet.gguf", "models/vae/vae.gguf"]
    part = project.root / "tools/models/text_encoders/llm.gguf.part"
    part.write_bytes(WEIGHTS["llm"][:1000])
    project.server.files[f"/o/llm/resolve/{REVISION}/in/llm.gguf"] = llm
    project.downloads()
    project.setup()
    assert [one.range for one in project.server.asked] == ["bytes=1000-"]
    assert project.files() == [
        f"models/{path}" for path in ("diffusion_models/unet.gguf", "text_encoders/llm.gguf", "vae/vae.gguf")
    ]
    assert project.pyproject.read_text().count("[tool.imagegen.models.") == 3


def test_another_file_in_its_place_is_not_replaced(project: Project) -> None:
    path = project.root / "tools/models/checkpoints/model.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert "tools/models/checkpoints/model.gguf exists, but is not the file that is listed" in project.fail("sd-turbo")
    assert (path.read_bytes(), project.pyproject.exists(), project.asked) == (b"mine", False, 0)
    path.unlink()
    other = entry("vae", "mine").replace('folder = "vae"', 'folder = "checkpoints"\nname = "Model.gguf"')
    project.pyproject.write_text(other)
    assert "[tool.imagegen.models.mine] is another file of the name checkpoints/model.gguf" in project.fail()


def test_the_rest_of_pyproject_toml_stays_as_it_is(project: Project) -> None:
    ours = b'# ours\r\n[project]\r\nname = "g"  # \xc3\xa4\r\n[tool.imagegen.sd]\r\noffload = true\r\n[tool.x]\r\ny = 1'
    target = project.root / "shared.toml"
    target.write_bytes(ours)
    target.chmod(0o640)
    project.pyproject.symlink_to(target)
    project.setup()
    data = target.read_bytes()
    first, last = ours.split(b"offload")
    assert data.startswith(
        first + b'model = "sd-turbo"\r\noffload' + last + b"\r\n\r\n[tool.imagegen.models.model-q4]\r\n"
    )
    assert (project.pyproject.is_symlink(), target.stat().st_mode & 0o777) == (True, 0o640)
    assert project.settings.sd_offload


KILLED = """
import os, pathlib, signal, sys
from imagegen.backends.sd.model_setup import _write
from imagegen.config.pyproject import TomlTable

sys.addaudithook(lambda event, args: event == "os.rename" and os.kill(os.getpid(), signal.SIGKILL))
_write(pathlib.Path(sys.argv[1]), [TomlTable(("tool", "x"), {"y": 1})], None)
"""


def test_a_kill_leaves_nothing_beside_pyproject_toml(project: Project) -> None:
    project.pyproject.write_text("# ours\n")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(project.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in project.root.iterdir() if path.name != ".imagegen"] == ["pyproject.toml"]
    assert [path.suffix for path in (project.root / ".imagegen/tmp").iterdir()] == [".tmp"], "which doit prune removes"
    assert project.pyproject.read_text() == "# ours\n"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="another file system is needed")  # noqa: S108
def test_pyproject_toml_may_be_on_another_file_system_than_what_is_temporary(project: Project) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (project.root / ".imagegen").mkdir()
        (project.root / ".imagegen/tmp").symlink_to(folder)
        project.setup()
        assert project.settings.sd_model == "sd-turbo"
        assert list(Path(folder).iterdir()) == []
    assert [path.name for path in project.root.glob("*.tmp")] == []


def test_where_nothing_can_be_added_safely_the_lines_are_shown_and_the_model_is_there(project: Project) -> None:
    ours = "[tool.imagegen]\nsd = {offload = true}\n"
    project.pyproject.write_text(ours)
    notes = project.setup()
    assert project.pyproject.read_text() == ours
    at = notes.index(
        "pyproject.toml is left as it is: [tool.imagegen.sd] cannot be added to it. Add these lines yourself:"
    )
    assert "\n".join(notes[at + 1 : -1]) + "\n" == entry("model") + '\n[tool.imagegen.sd]\nmodel = "sd-turbo"\n'
    assert project.files() == ["models/checkpoints/model.gguf"]


def test_an_unknown_name_is_an_error_with_the_nearest_one_and_all_others(project: Project) -> None:
    message = project.fail("split-2")
    assert message.startswith(
        "no model 'split-2' is known; did you mean 'split'?\n    take one of these:\n    sd-turbo"
    )
    assert all(line in message for line in describe_models())
    assert (project.downloads(), project.pyproject.exists()) == ([], False)


def test_a_model_of_ones_own_is_downloaded_if_it_is_listed(project: Project) -> None:
    project.pyproject.write_text('[tool.imagegen.sd]\nmodel = "vae.gguf"\n')
    message = project.fail()
    assert message.startswith("sd.model: there is no file vae.gguf, and no known model has that name")
    path = project.root / "tools/models/checkpoints/vae.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert project.setup() == ["the project's model is vae.gguf"]
    path.unlink()
    with project.pyproject.open("a") as file:
        file.write(entry("vae").replace('folder = "vae"', 'folder = "checkpoints"'))
    before = project.pyproject.read_text()
    project.setup()
    assert (project.downloads(), project.pyproject.read_text()) == (["vae.gguf"], before)


def request(model: str = "", /, **files: str) -> Request:
    return Request(
        backend="sd", name="Rope", prompt="a rope", model=model, extra={"files": files, "loras": {"l.pt": 1}}
    )


def test_the_models_of_jobs_are_set_up_too_and_a_default_only_for_jobs_that_name_none(project: Project) -> None:
    notes = project.setup(requests=[request("split"), request("split")])
    assert [note for note in notes if note.startswith("model ")] == ["model split: Split"]
    assert project.downloads() == ["unet.gguf", "llm.gguf", "vae.gguf"]
    assert project.settings.sd_model == ""
    project.setup(requests=[request("split"), request()])
    assert (project.downloads(), project.settings.sd_model) == (["model.gguf"], "sd-turbo")
    project.setup(requests=[request("other-split"), request()])
    assert project.downloads() == ["other.gguf"]


def test_files_that_jobs_name_and_the_project_lists_are_downloaded_too(project: Project) -> None:
    listed = [
        entry("llm", "one").replace("text_encoders", "checkpoints"),
        entry("vae", "two").replace('"vae"', '"loras"\nname = "l.pt"'),
        entry("unet", "three"),
    ]
    project.pyproject.write_text("".join(listed))
    project.setup(requests=[request("llm.gguf", model="llm.gguf", vae="elsewhere.gguf")])
    assert project.downloads() == ["llm.gguf", "vae.gguf"]
    assert project.pyproject.read_text() == "".join(listed)


def checkpoint(project: Project, name: str) -> None:
    path = project.root / "tools/models/checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())


def test_the_name_of_a_checkpoint_that_is_there_gets_the_way_to_use_it(project: Project) -> None:
    checkpoint(project, "own.safetensors")
    assert project.fail("own.safetensors") == (
        "tools/models/checkpoints/own.safetensors is there already, and sd:setup has nothing to download for it\n"
        '    use it: model = "own.safetensors" under [tool.imagegen.sd] in pyproject.toml, '
        "or model: own.safetensors under sd in a job"
    )
    assert not project.pyproject.exists()


def test_the_only_checkpoint_is_the_model_and_no_other_one_is_offered(project: Project) -> None:
    checkpoint(project, "mine.gguf")
    line = "jobs that name no model use mine.gguf; to use another one: doit sd:setup --model=NAME"
    assert project.setup() == project.setup(requests=[request()]) == [line]
    assert (project.downloads(), project.asked, project.pyproject.exists()) == ([], 0, False)
    assert project.setup(requests=[request("split")])[-1].startswith("downloaded "), "no word of what no job needs"


def test_of_several_checkpoints_a_run_takes_none_so_a_model_is_offered_beside_them(project: Project) -> None:
    checkpoint(project, "mine.gguf")
    checkpoint(project, "other.gguf")
    notes = project.setup()
    assert "  to use one of the checkpoints that are there, name that instead: mine.gguf, other.gguf" in notes
    assert project.settings.sd_model == "sd-turbo"


def test_the_model_that_was_recorded_stays(project: Project) -> None:
    checkpoint(project, "mine.gguf")
    checkpoint(project, "other.gguf")
    recorded = {"mine.gguf": 2, "gone.gguf": 0}
    assert project.setup(requests=[request("mine.gguf"), request("gone.gguf")], recorded=recorded) == [
        "jobs that name no model use mine.gguf, gone.gguf, which is not there; "
        "to use another one: doit sd:setup --model=NAME"
    ]
    assert not project.pyproject.exists()


def test_before_a_model_makes_images_stale_it_says_how_many_and_asks(project: Project) -> None:
    project.setup("split")
    project.pyproject.write_text(project.pyproject.read_text().partition("[tool.imagegen.sd]")[0])
    said: list[str] = []

    def no() -> None:
        said.extend(project.notes)
        raise ImagegenError(Problem("", "no"))

    recorded = {"mine.gguf": 2, "gone.gguf": 0}
    assert project.fail("split", no, recorded) == "no"
    assert said[-2:] == [
        'to be added to pyproject.toml: model = "split" in [tool.imagegen.sd], for jobs that name no model',
        "  images that this makes stale: 2, generated with mine.gguf",
    ]
    assert project.settings.sd_model == ""
    project.setup("split", recorded=recorded)
    assert project.settings.sd_model == "split"


def test_only_the_model_that_is_named_is_set_up(project: Project) -> None:
    project.setup("sd-turbo", requests=[request("split")])
    assert (project.downloads(), project.settings.sd_model) == (["model.gguf"], "sd-turbo")


def test_the_environment_names_the_model_for_this_once(project: Project) -> None:
    project.environment["SD_MODEL"] = "split"
    project.setup()
    assert "split" not in project.pyproject.read_text()
    assert len(project.settings.models) == 3
