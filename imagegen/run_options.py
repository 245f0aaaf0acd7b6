"""Options of `doit` itself that only projects of imagegen have, in doit's form.

doit's plugin and what reads the command line both need them, and the plugin is loaded in every project: so this
imports nothing.
"""

from __future__ import annotations

__all__ = ["AS_JSON", "RUN_OPTIONS"]

AS_JSON = {
    "name": "as_json",
    "short": "",
    "long": "json",
    "type": bool,
    "default": False,
    "help": "print lines of JSON, for a program: see docs/scripting.md",
}
RUN_OPTIONS = (AS_JSON,)
"""Of `doit run`, also where no command is named."""
