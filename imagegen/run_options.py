"""Options of `doit` itself that only projects of imagegen have, in doit's form.

doit's plugin and what reads the command line both need them, and the plugin is loaded in every project: so this
imports nothing.
"""

from __future__ import annotations

__all__ = ["AS_JSON", "LIMIT", "OWN_OPTIONS", "RUN_OPTIONS", "SUMMARY"]

AS_JSON = {
    "name": "as_json",
    "short": "",
    "long": "json",
    "type": bool,
    "default": False,
    "help": "print lines of JSON, for a program: see docs/scripting.md",
}
LIMIT = {
    "name": "limit",
    "short": "",
    "long": "limit",
    "type": str,  # the setting of this name reads it
    "default": "",
    "help": "build only the first N stale images of each job, and say how many are left",
    "metavar": "N",
}
SUMMARY = {
    "name": "summary",
    "short": "",
    "long": "summary",
    "type": str,
    "default": "",
    "help": "also write what the run did to FILE, as Markdown with pictures: see docs/scripting.md",
    "metavar": "FILE",
}
RUN_OPTIONS = (AS_JSON, LIMIT, SUMMARY)
"""Of `doit run`, also where no command is named."""
OWN_OPTIONS = {
    "run": RUN_OPTIONS,
    **dict.fromkeys(("clean", "forget", "help", "ignore", "info", "list"), (AS_JSON,)),
}
"""By the name of doit's command; the others take none of ours."""
