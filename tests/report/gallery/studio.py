"""A project in this very process: jobs as texts, built with the backends that need nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.settings import Settings
from imagegen.execute.events import Event, Outcome
from imagegen.execute.run import run
from imagegen.plan.remark import Remark
from imagegen.project import JobPlan, Project
from imagegen.project.remarks import record_remarks
from imagegen.report.gallery.contents import collect_groups
from imagegen.report.gallery.folder import FOLDER, PAGE, Written, write_gallery
from imagegen.report.gallery.picture import Group, Picture
from tests.scripted import ScriptedBackend

__all__ = ["FOLDER", "PAGE", "Studio", "embedded"]


class Studio:
    """`root` has jobs as a test writes them. Each call reads them again, as each run of doit does."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.settings = Settings(**settings)
        (root / "jobs").mkdir(parents=True)

    def job(self, name: str = "portraits", **keys: Any) -> None:
        job = {"backend": "scripted", "generate": {"width": 48, "height": 64}, **keys}
        (self.root / f"jobs/{name}.yaml").write_text(json.dumps(job), "utf-8")

    def items(self, *names: str, name: str = "portraits", **keys: Any) -> None:
        self.job(name, items=[{"name": item, "prompt": f"a {item} figure"} for item in names], **keys)

    def build(self, *, forced: bool = False) -> list[Outcome]:
        project, plans = self.opened()
        outcomes: list[Outcome] = []

        def on_event(event: Event) -> None:
            if isinstance(event, Outcome):
                outcomes.append(event)

        outputs = [output for plan in plans for output in plan.outputs]
        run(project, outputs, on_event, forced=[output.task for output in outputs] if forced else ())
        return outcomes

    def remark(self, job: str, image: str, *, mark: str | None = None, note: str | None = None) -> None:
        """Mark the image's file as it is now, or write a note on it."""
        project, plans = self.opened()
        output = next(one for plan in plans for one in plan.outputs if one.task == f"{job}:{image}")
        sha256 = project.hashes.sha256(output.path)
        given = [Remark(output.full_slug, "mark", mark, sha256), Remark(output.full_slug, "note", note, sha256)]
        record_remarks(project, job, [one for one in given if one.value is not None])

    def opened(self) -> tuple[Project, list[JobPlan]]:
        backends = {"scripted": ScriptedBackend, "placeholder": PlaceholderBackend}
        project = Project(self.root, self.settings, backends)
        return project, project.plans()

    def groups(self) -> tuple[Group, ...]:
        return collect_groups(*self.opened())

    def pictures(self) -> dict[str, Picture]:
        return {picture.task: picture for group in self.groups() for picture in group.pictures}

    def write(self) -> Written:
        return write_gallery(*self.opened())

    def image(self, name: str, job: str = "portraits") -> Path:
        return self.root / f"assets/{job}/{name}.png"

    @property
    def page(self) -> Path:
        return self.root / PAGE

    def files(self) -> set[str]:
        """All that is in the gallery's folder."""
        folder = self.root / FOLDER
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def embedded(page: str) -> list[dict[str, Any]]:
    """The data in a page."""
    found: list[dict[str, Any]] = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    return found
