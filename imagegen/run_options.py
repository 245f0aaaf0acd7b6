"""Options of `doit` itself that only projects of imagegen have, in doit's form.

doit's plugin and what reads the command line both need them, and the plugin is loaded in every project: so this
imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["AS_JSON", "LIMIT", "OWN_OPTIONS", "RUN_OPTIONS", "SUMMARY", "is_json_asked", "put_first"]

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


def is_json_asked(words: Sequence[str]) -> bool:
    """Return whether one of these words is `--json`, or short for it as getopt takes it.

    It cannot be the value of another option: a value that looks like an option is refused.
    """
    before = words[: words.index("--")] if "--" in words else words
    return any(len(word) > 2 and "--json".startswith(word) for word in before)


def put_first(command: str, words: Sequence[str], names: Collection[str]) -> list[str]:
    """Return what follows a command of doit's with these options in front: doit wants options before names.

    Args:
        command: of doit's, `run` if none was named.
        words: that follow it.
        names: of our commands, by what is before a colon. What follows one of these is the command's own.
    """
    switches = {f"--{one['long']}": one["type"] is bool for one in OWN_OPTIONS.get(command, ())}
    first: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--" or word.partition(":")[0] in names:
            return [*first, *others, word, *rest]
        name, equals, _ = word.partition("=")
        if name not in switches or not (equals or switches[name] or rest):
            others.append(word)
        else:
            first += [word] if equals or switches[name] else [word, rest.pop(0)]
    return [*first, *others]
