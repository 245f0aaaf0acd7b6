"""Make for generated art: an incremental build of images, on doit.

For programs of one's own: docs/library.md. Its names are loaded when they are first asked for, because a `doit` with
nothing to do needs none of them.
"""

TYPE_CHECKING = False  # for type checkers, which take it for true: typing need not be loaded for it
if TYPE_CHECKING:
    from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem
    from imagegen.library.build_result import BuildResult
    from imagegen.library.events import Arrived, Begun, Event, Note, Started, Steps
    from imagegen.library.plan import Plan
    from imagegen.library.project import Project
    from imagegen.report.forecast_summary import ForecastTotal, ImageForecast, JobForecast
    from imagegen.report.run_summary import Cost, ImageOutcome, Source, StaleReason

__version__ = "0.1.0"
DISTRIBUTION = "doit-imagegen"
"""What pip calls this package. `imagegen` on the Python package index is somebody else's."""

__all__ = [
    "Arrived",
    "Begun",
    "BuildResult",
    "Cost",
    "Event",
    "ForecastTotal",
    "ImageForecast",
    "ImageOutcome",
    "ImagegenError",
    "InputError",
    "JobForecast",
    "NotBegunError",
    "Note",
    "Plan",
    "Problem",
    "Project",
    "Source",
    "StaleReason",
    "Started",
    "Steps",
    "__version__",
]

_MODULES = {
    "errors": ("ImagegenError", "InputError", "NotBegunError", "Problem"),
    "library.build_result": ("BuildResult",),
    "library.events": ("Arrived", "Begun", "Event", "Note", "Started", "Steps"),
    "library.plan": ("Plan",),
    "library.project": ("Project",),
    "report.forecast_summary": ("ForecastTotal", "ImageForecast", "JobForecast"),
    "report.run_summary": ("Cost", "ImageOutcome", "Source", "StaleReason"),
}


if not TYPE_CHECKING:  # for them, a name that is not there would have any type

    def __getattr__(name: str) -> object:
        for module, names in _MODULES.items():
            if name in names:
                import importlib

                return getattr(importlib.import_module(f"{__name__}.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
