"""References of thousands of images: what is wrong with them is said in few words, and soon."""

from __future__ import annotations

from imagegen.config.encoding import Encoding
from imagegen.plan.linking import link
from imagegen.plan.output import Origin, Output
from imagegen.plan.request import Request


def chain(length: int, first: str) -> list[Output]:
    """Images of one job, each made from the one before, and i0 from `first`."""
    outputs = []
    for number in range(length):
        origin = Origin("ref", f"j:i{number - 1}" if number else first, where=f"jobs/j.yaml:{number + 1}:1")
        request = Request("scripted", f"i{number}", "p")
        output = Output("j", f"i{number}", f"a/i{number}.png", request, frozenset(), Encoding(), "own", 9.0, {}, "")
        outputs.append(Output(**{**vars(output), "origins": (origin,)}))
    return outputs


def test_a_long_circle_is_said_in_few_words() -> None:
    _, wrong = link(chain(2000, "j:i1999"), (), "/project")
    (what,) = {problem.what for problem in wrong["j"]}
    assert what.endswith("and so on through 2000 images, j:i1 from j:i0")
    assert len(what) < 400


def test_what_was_likely_meant_is_looked_for_where_somebody_reads_it() -> None:
    outputs = [
        Output(**{**vars(one), "origins": (Origin("ref", f"j:x{at}", where=f"{at}"),)})
        for at, one in enumerate(chain(150, ""))
    ]
    _, wrong = link(outputs, (), "/project")
    assert len(wrong["j"]) == 150
    assert sum("in the job j" in problem.what for problem in wrong["j"]) == 100
