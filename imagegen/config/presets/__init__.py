"""Presets: keys of derived files and of sheets for an engine, a table or the web, each in a YAML file of its own.

A file of `derive` or `sheet` beside this one says:

- description: what it is for, in a line;
- keys: what a job would say under `derive: NAME:` or `sheet:`;
- optional: the steps among these that are left out unless a job gives them, such as a frame;
- example: keys that a job may well say beside the preset.

Changing a preset makes the files that were made with it stale.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

from imagegen.config.steps import STEPS, read_step
from imagegen.errors import did_you_mean

__all__ = ["Preset", "PresetStep", "Use", "check_preset", "list_presets", "list_steps", "load_preset", "with_preset"]

Use = Literal["derive", "sheet"]
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Preset:
    """One preset."""

    name: str
    use: Use
    description: str
    keys: Mapping[str, Any]  # as a job would say them
    optional: frozenset[str] = frozenset()  # steps that only a job can ask for
    example: Mapping[str, Any] | None = None  # keys that a job may say beside it

    @property
    def steps(self) -> list[str]:
        """The names of its steps, in order."""
        return [one if isinstance(one, str) else next(iter(one)) for one in self.keys.get("steps", ())]


class PresetStep(NamedTuple):
    """A step of a derived file that has a preset."""

    written: str | Mapping[str, Any]  # as a job would write it
    key: str  # of the entry: the step's own name, or `preset`


@functools.cache
def list_presets(use: Use) -> list[str]:
    """Return the names of the presets for derived files or for sheets. Reads none of them."""
    return sorted(path.stem for path in (_FOLDER / use).glob("*.yaml"))


@functools.cache
def load_preset(use: Use, name: str) -> Preset:
    """Read a preset that there is."""
    import yaml

    values = yaml.safe_load((_FOLDER / use / f"{name}.yaml").read_text("utf-8"))
    optional = frozenset(values.pop("optional", ()))
    return Preset(name, use, optional=optional, **values)


def with_preset(use: Use, rules: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keys of a derived file or sheet, with those of the preset that they name where they have none."""
    if "preset" not in rules:
        return rules
    return {**load_preset(use, rules["preset"]).keys, **rules}


def list_steps(rules: Mapping[str, Any]) -> Iterator[PresetStep]:
    """Yield the steps of a derived file that names a preset, with its own parameters where it has some.

    One that it says is `false` is left out.
    """
    preset = load_preset("derive", rules["preset"])
    for name, written in zip(preset.steps, preset.keys.get("steps", ()), strict=True):
        if rules.get(name) is False:
            continue
        if name in rules:
            yield PresetStep({name: _change_step(name, written, rules[name])}, name)
        elif name not in preset.optional:
            yield PresetStep(written, "preset")


def _change_step(name: str, written: str | Mapping[str, Any], own: Any) -> Any:
    """Return the parameters of a step that a job changes: its own, and the preset's where it has none.

    The short form, such as `mask: rounded`, replaces all of them. Those of the preset that don't go together with the
    job's are left out: the width and height of `pad` beside `to`, or `keep` of `resize` beside another mode.
    """
    if isinstance(written, str) or not isinstance(own, Mapping):
        return own
    others = {key: value for key, value in read_step(written)[1].items() if key not in own}
    extra = [key for key in others if key not in STEPS[name].defaults]
    ways = (set(left_out) for count in range(len(extra) + 1) for left_out in combinations(extra, count))
    found = ({**{key: value for key, value in others.items() if key not in way}, **own} for way in ways)
    return next((one for one in found if not STEPS[name].check(one)), {**others, **own})


def check_preset(rules: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the steps of a derived file beside its preset: the key, what, and a hint.

    rules: as the job has them; each by itself may not be valid.
    """
    name = rules.get("preset")
    own = [key for key in rules if key in STEPS]
    if name is None:
        for key in own:
            yield (
                key,
                "is the name of a step, which belongs under steps, or beside a preset",
                f"write it under steps: - {key}: …",
            )
    elif name in list_presets("derive"):
        preset = load_preset("derive", name)
        names = ", ".join(preset.steps)
        if "steps" in rules:
            hint = f"change a step of {name} by its name ({names}), or leave preset out"
            yield "steps", "has no effect beside preset", hint
        for key in own:
            if key not in preset.steps:
                hint = f"its steps are {names}; to have others, write them all under steps, without a preset"
                yield key, f"the preset {name} has no step {key}{did_you_mean(key, preset.steps)}", hint
