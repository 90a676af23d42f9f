"""Classes of failures (B3.21)."""

import pytest

from wakeful.targets.failures import Failure, FailureRules


@pytest.mark.parametrize("known", [Failure.TIMEOUT, Failure.MISSING_PROGRAM, Failure.SIGNAL, Failure.INVALID])
def test_b3_21_what_is_known_for_certain_goes_before_any_text(known: Failure) -> None:
    assert FailureRules().classes(known, "HTTP 401: connection refused, timed out") == (known.value,)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fatal: Authentication failed for 'https://x'", "auth"),
        ("HTTP 401", "auth"),
        ("status code 403: go away", "auth"),
        ("Invalid API key · Please run /login", "auth"),
        ("dial tcp: connection  refused", "network"),
        ("Error: getaddrinfo ENOTFOUND example.org", "network"),
        ("curl: (6) Could not resolve host: x", "network"),
    ],
)
def test_b3_21_a_text_names_the_cause_of_a_vague_failure(text: str, found: str) -> None:
    assert FailureRules().classes(Failure.EXIT_CODE, text) == (found, "exit_code")


@pytest.mark.parametrize(
    "text",
    [
        "took 401 ms",
        "401",
        "unauthorizedness",
        "line 403 of the geofence",
        "thereof",
        "http 4011",
        "preconnection reset",
    ],
)
def test_b3_21_numbers_and_parts_of_words_say_nothing(text: str) -> None:
    assert FailureRules().classes(Failure.EXIT_CODE, text) == ("exit_code",)


def test_a_user_adds_phrases_and_classes_of_his_own() -> None:
    rules = FailureRules({"auth": ["kinit expired"], "quota": ["rate limit", "(429)"], "none": []})
    assert rules.classes(Failure.REPORTED, "KINIT expired") == ("auth", "reported")
    assert rules.classes(Failure.REPORTED, "HTTP 401") == ("auth", "reported")
    assert rules.classes(Failure.ERROR, "the rate\nlimit") == ("quota", "error")
    assert rules.classes(Failure.ERROR, "what (429) ever") == ("quota", "error")
