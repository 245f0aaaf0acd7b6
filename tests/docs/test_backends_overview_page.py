"""docs/backends-overview.md against what the backends, and the programs behind them, declare."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest

from imagegen.backends.a1111 import programs
from imagegen.backends.a1111.programs import Program
from imagegen.backends.a1111.server import Server
from imagegen.backends.base import Backend
from imagegen.backends.find_servers import USUAL_PORTS
from imagegen.backends.json_api import Refused
from imagegen.backends.openai.dialects import DIALECTS, Dialect
from imagegen.backends.openai.server import Client, inspect_server
from imagegen.backends.registry import registry
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.openai.fake_openai import FakeOpenAI
from tests.docs.pages import table
from tests.wheels import ROOT

PAGE = "docs/backends-overview.md"
FIELDS = ("seed", "negative", "steps", "cfg", "sampler")
ROWS = table(PAGE, "backend")
OF_BACKENDS = {row[0].strip("`"): row[1:] for row in ROWS if "`" not in row[1] and len(row) == 10}
OF_PROGRAMS = {(row[0].strip("`"), row[1]): row[2:] for row in ROWS if len(row) == 11}
OURS = {
    name: backend
    for name, create in registry().items()
    if type(backend := create()).__module__.startswith(f"imagegen.backends.{name}")
}
PROGRAMS = [one for one in vars(programs).values() if isinstance(one, Program) and one is not programs.OTHER]


PORTS = {int(port) for row in table(PAGE, "port") for port in row[0].split(", ")}


def yes(value: object) -> str:
    return "yes" if value else ""


def by_program(values: list[bool]) -> str:
    return yes(values[0]) if len(set(values)) == 1 else "by program"


def test_every_usual_port_has_a_row() -> None:
    assert USUAL_PORTS.keys() == PORTS


def sources(backend: str) -> str:
    folder = ROOT / "imagegen/backends" / backend
    return "\n".join(path.read_text("utf-8") for path in folder.rglob("*.py"))


def test_every_backend_has_a_row() -> None:
    assert OF_BACKENDS.keys() == OURS.keys()


@pytest.mark.parametrize("name", OURS)
def test_its_row_says_which_fields_it_honours(name: str) -> None:
    programs = DIALECTS.values() if name == "openai" else ()
    fields_of: list[Collection[str]] = [one.fields for one in programs] or [OURS[name].parameters]
    assert OF_BACKENDS[name][:5] == [by_program([field in fields for fields in fields_of]) for field in FIELDS]


@pytest.mark.parametrize("name", OURS)
def test_its_row_says_which_reference_images_it_takes(name: str) -> None:
    keys = re.findall("`(\\w+)`", OF_BACKENDS[name][5])
    assert bool(OF_BACKENDS[name][5]) == ("images" in OURS[name].options)
    assert not keys or set(keys) == {key for key in ("init", "ref1", "ref9") if takes(OURS[name], key)}


def takes(backend: Backend, key: str) -> bool:
    images = backend.options["images"]
    return key in images["schema"] if "schema" in images else bool(re.fullmatch(images["keysrules"]["regex"], key))


@pytest.mark.parametrize("name", OURS)
def test_its_row_says_whether_its_model_is_checked(name: str) -> None:
    assert bool(OF_BACKENDS[name][6]) == bool(OURS[name].model_option)


@pytest.mark.parametrize("name", OURS)
def test_its_row_says_whether_it_shows_steps_and_stops_an_image(name: str) -> None:
    text = sources(name)
    shows = re.search(r"(?:event|_emit)\(\"steps\"", text)
    stops = re.search(r"\.(?:interrupt|cancel|kill)\(", text)
    some = "by program" if name == "a1111" else "yes"  # of its programs, some say how far they are
    assert OF_BACKENDS[name][7:] == [some if shows else "", some if stops else ""]


def test_every_program_has_a_row() -> None:
    named = {("a1111", one.name) for one in PROGRAMS} | {("openai", one.program) for one in DIALECTS.values()}
    assert OF_PROGRAMS.keys() == named


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.name)
def test_a_program_with_a1111_s_api_has_what_it_honours(program: Program) -> None:
    seed = "yes, below 2^31" if program.most_seed < 2**31 else "yes"
    row = OF_PROGRAMS["a1111", program.name]
    assert row[:6] == [seed, *["yes"] * 4, yes(not program.no_scheduler)]
    with FakeA1111(program.name.lower().replace(".", "").replace(" ", "-")) as fake:
        server = Server(fake.url)
        assert row[6:] == [yes(server.checkpoints), yes(server.stage()), yes(has_interrupt(server))]


def has_interrupt(server: Server) -> bool:
    try:
        server.interrupt()
    except Refused:
        return False
    return True


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda one: one.name)
def test_a_program_with_openai_s_api_has_what_it_honours(dialect: Dialect) -> None:
    seed, *others = [yes(field in dialect.fields) for field in (*FIELDS, "scheduler")]
    bound = ", below 2^31" if seed and dialect.seed_bits == 31 else ""
    with FakeOpenAI(dialect.name) as fake:
        found = inspect_server(Client(fake.url), is_hosted=dialect.name == "hosted")
    models = "OpenAI does" if dialect.name == "hosted" else "yes"
    assert found.models
    assert OF_PROGRAMS["openai", dialect.program] == [seed + bound, *others, models, "", ""]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda one: one.name)
def test_the_page_of_openai_has_the_same(dialect: Dialect) -> None:
    (row,) = [row for row in table("docs/openai.md", "dialect") if row[0] == f"`{dialect.name}`"]
    fields = {word.strip() for word in row[2].split(",") if word.strip()}
    options = set(re.findall(r"`openai\.(\w+)`", row[3]))
    assert fields | options == dialect.fields.keys()
