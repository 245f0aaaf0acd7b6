"""What servers say of what went wrong, in all of the usual forms."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.refusals import explain_failure, find_words, is_final


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, ""),
        ({"error": "prompt required"}, "prompt required"),
        ({"error": "server_error", "message": "type must be number"}, "type must be number"),
        ({"error": {"message": "Unknown parameter: 'seed'.", "type": "x", "code": "y"}}, "Unknown parameter: 'seed'."),
        ({"error": {"code": 404, "message": "not found"}}, "not found"),
        ({"error": {"type": "image_generation_user_error"}}, ""),
        (
            {"detail": "size must be formatted as positive WIDTHxHEIGHT"},
            "size must be formatted as positive WIDTHxHEIGHT",
        ),
        ({"detail": [{"loc": ["body", "prompt"], "msg": "Field required"}]}, "prompt: Field required"),
        ({"detail": [{"loc": [], "msg": "a"}, {"msg": "b"}, "c"]}, "a; b"),
        ({"detail": {"msg": "Server is busy", "type": "x"}}, "Server is busy"),
        (
            {"error": {"message": "backend error", "details": {"backend": "sd", "response": {"error": "no model"}}}},
            "backend error: no model",
        ),
        ({"error": {"message": "backend error", "details": {"response": "text"}}}, "backend error"),
        ({"error": {"message": "backend error", "details": None}}, "backend error"),
    ],
)
def test_a_servers_own_words_are_found(answer: dict[str, Any], words: str) -> None:
    assert find_words(answer) == words


@pytest.mark.parametrize(
    ("error", "final"),
    [
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, True),
        ({"code": None, "type": "insufficient_quota"}, True),
        ({"code": "billing_hard_limit_reached", "type": "invalid_request_error"}, True),
        ({"code": "moderation_blocked"}, True),
        ({"code": "rate_limit_exceeded", "type": "requests"}, False),
        ({"code": 503, "type": "model_loading"}, False),
        ("Unauthorized", False),
        (None, False),
    ],
)
def test_what_is_the_same_next_time_is_known_by_its_code(error: object, final: bool) -> None:
    assert is_final({"error": error}) is final


def test_what_to_do_follows_from_the_code() -> None:
    answer = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    problem = explain_failure(Refused("429", "", 429, answer), "http://h")
    assert problem.what == "the server says: You exceeded your quota"
    assert problem.hint == "add credit to the account that the key belongs to"


def test_a_cause_that_only_the_log_has_is_most_often_memory() -> None:
    problem = explain_failure(Refused("500", "", 500, {"error": "generate_image returned no results"}), "http://h")
    assert problem.what == "the server says: generate_image returned no results"
    assert problem.hint.startswith("its log says why; if for want of memory, make the image smaller")


def test_what_is_wrong_with_a_key_is_said_in_both_words() -> None:
    answer = {"error": {"message": "Your organization must be verified"}}
    problem = explain_failure(Refused("it asks for authorization", "set the key", 403, answer), "http://h")
    assert problem.what == "it asks for authorization: Your organization must be verified"
    assert problem.hint == "set the key"


def test_a_server_without_room_is_quoted() -> None:
    answer = {"error": {"message": "model is loading"}}
    problem = explain_failure(Unreachable("503 Service Unavailable", 503, answer), "http://h")
    assert problem.what == "http://h takes no image at the moment: 503 Service Unavailable: model is loading"
    assert problem.hint == "run doit again in a while"


def test_a_proxy_without_its_server_says_nothing_of_room() -> None:
    for error in (Unreachable("503 Service Unavailable", 503), Unreachable("502 Bad", 502, {"error": "bad gateway"})):
        problem = explain_failure(error, "http://h")
        assert problem.what.startswith("http://h does not answer: 50")
        assert problem.hint == "see whether it still runs, then run doit again"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (Refused("429", "", 429), "run doit again in a while"),
        (Refused("429", "", 429, {}, 2.4), "run doit again in 3 s"),
        (Refused("429", "", 429, {}, 3000.0), "run doit again in 50 min"),
        (Refused("500", "", 500, {}, 200.0), "run doit again in 4 min"),
        (Refused("500", "", 500), "correct what it names, or look at its own log"),
        (Unreachable("503", 503, {}, 240.0), "run doit again in 4 min"),
        (Unreachable("503", 503, {}, 100_000.0), "run doit again in 28 h"),
        (Unreachable("503", 503, {"detail": {"msg": "Server is busy"}}), "run doit again in a while"),
        (Unreachable("503", 503), "see whether it still runs, then run doit again"),
    ],
)
def test_when_to_try_again_is_said_if_the_server_says_it(error: Refused | Unreachable, hint: str) -> None:
    assert explain_failure(error, "http://h").hint == hint
