"""Secrets are taken out of texts, and nothing else."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakeful.core.redaction import MARK, redact

pytestmark = pytest.mark.slow

# Of no service, and of nobody; put together, so that nobody takes them for real ones.
SLACK = "xoxb-" + "123456789012-abcdefghijkl"
HOOK = "https://hooks.slack.com/services/" + "T00000000/B00000000/abcdefgh12345678"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
OPENAI = "sk-" + "proj-a1b2c3d4e5f6g7h8"
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----"

SECRET_TEXTS = [
    # Tokens that say what they are.
    (f"posting with {SLACK} now", "posting with [redacted] now"),
    ("app xapp-1-A0123456-abcdef", "app [redacted]"),
    (f"POST {HOOK} 404", "POST https://hooks.slack.com/services/[redacted] 404"),
    ("https://discord.com/api/webhooks/12/ab-cd_EF", "https://discord.com/api/webhooks/[redacted]"),
    ("https://api.telegram.org/bot12345:AbCd/sendMessage", "https://api.telegram.org/bot[redacted]"),
    (f"key {AWS}, and more", "key [redacted], and more"),
    (f"remote: {GITHUB}", "remote: [redacted]"),
    ("github_pat_" + "a1b2c3d4e5f6g7h8i9j0k1", "[redacted]"),
    ("glpat-" + "a1b2c3d4e5f6g7h8i9j0", "[redacted]"),
    (f"using {OPENAI}.", "using [redacted]."),
    (f"cookie jar: {JWT}", "cookie jar: [redacted]"),
    (f"before\n{KEY}\nafter", "before\n[redacted]\nafter"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEow cut off", "[redacted]"),
    # Headers and URLs.
    ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
    ('curl -H "Authorization: token abcdef" https://x', 'curl -H "Authorization: token [redacted]" https://x'),
    ('{"Authorization": "Basic dXNlcjpwYXNz"}', '{"Authorization": "Basic [redacted]"}'),
    ("authorization=s3cr3t-value", "authorization=[redacted]"),
    ("sent bearer a1b2c3d4e5f6g7 to the server", "sent bearer [redacted] to the server"),
    ("PRIVATE-TOKEN: hunter", "PRIVATE-TOKEN: [redacted]"),
    ("x-api-key: hunter", "x-api-key: [redacted]"),
    ("Set-Cookie: session=abc; Path=/", "Set-Cookie: session=[redacted]"),
    ("git clone https://me:hunter@git.example.org/x", "git clone https://me:[redacted]@git.example.org/x"),
    ("postgresql://app:p@ss:w@db:5432/x", "postgresql://app:[redacted]@db:5432/x"),
    ("https://0123456789abcdef0123@sentry.example.org/1", "https://[redacted]@sentry.example.org/1"),
    ("GET /x?token=hunter&page=2", "GET /x?token=[redacted]&page=2"),
    ("GET /x?page=2&sig=abc%2Bdef", "GET /x?page=2&sig=[redacted]"),
    # Assignments: query, environment, JSON, YAML, code, command lines.
    ("password=hunter2", "password=[redacted]"),
    ("password=hun&ter;2,3 x", "password=[redacted] x"),
    ("export DB_PASSWORD=hunter", "export DB_PASSWORD=[redacted]"),
    ("SLACK_BOT_TOKEN='a b c'", "SLACK_BOT_TOKEN='[redacted]'"),
    ("PGPASSWORD=hunter psql", "PGPASSWORD=[redacted] psql"),
    ("AWS_SECRET_ACCESS_KEY = wJalr/XUtn+FEMI", "AWS_SECRET_ACCESS_KEY = [redacted]"),
    ('{"api_key": "hunter", "n": 1}', '{"api_key": "[redacted]", "n": 1}'),
    ('{"apiKey":"hun\\"ter","n":1}', '{"apiKey":"[redacted]","n":1}'),
    ('"{\\"token\\": \\"hunter\\", \\"n\\": 1}"', '"{\\"token\\": \\"[redacted]\\", \\"n\\": 1}"'),
    ('{"password": "cut off', '{"password": "[redacted]'),
    ("password: hunter\nuser: bob", "password: [redacted]\nuser: bob"),
    ("  - token: hunter  # mine", "  - token: [redacted]  # mine"),
    ("client_secret: hunter", "client_secret: [redacted]"),
    ("passphrase: correct horse battery staple", "passphrase: [redacted]"),
    ("login with password: hunter2", "login with password: [redacted]"),
    ("db.connect(password = 'hunter')", "db.connect(password = '[redacted]')"),
    ("{:token => 'hunter'}", "{:token => '[redacted]'}"),
    ("tool --api-token hunter2 --verbose", "tool --api-token [redacted] --verbose"),
]

PROSE = [
    "Reset your password: see the wiki.",
    "The password must be at least eight characters long; the token expires in an hour.",
    "input_tokens: 1200, output_tokens: 88, max_tokens=4096",
    "SyntaxError: unexpected token: identifier",
    "Tokenizer::Token::Ident at src/token.rs:12",
    "token=None, password=null, api_key=${API_KEY}",
    "password: ***",
    "The secret of good coffee: fresh beans.",
    "3 passed, 1 failed: see https://ci.example.org:8080/job/12?page=2#top",
    "mail bob@example.org, or ssh://git@github.com/x/y.git",
    "Basic authentication is used; bearer authentication is not.",
    "Authorization is required for this endpoint.",
    "Author: someone\nDate: 2026-01-26\nkeyboard: us\nkey: value",
    "risk-assessment-and-planning-2026-final, task-force-10-of-2026",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "id 01890a5d-ac96-774b-bcce-b302099a8057, MRs: !123, AAP-12345",
    "| MR | age |\n|----|-----|\n| !12 | 3d |",
    "monkey=banana&turkey=dinner",
    "if token == expected: return",
]


@pytest.mark.parametrize(("text", "expected"), SECRET_TEXTS, ids=range(len(SECRET_TEXTS)))
def test_b3_41_what_looks_like_a_secret_is_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("text", PROSE, ids=range(len(PROSE)))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_a_secret_is_found_however_it_is_written() -> None:
    secret = 'p"ß /&x'
    for form in (secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]):
        assert redact(f"it said <{form}>", [secret]) == "it said <[redacted]>"


def test_secrets_that_overlap_go_together() -> None:
    assert redact("xabcdefx", ["abcd", "cdef", "bc"]) == "x[redacted]x"
    assert redact("aaaa b aaaa", ["aa"]) == "[redacted] b [redacted]"


def test_no_secret_is_no_secret() -> None:
    assert redact("all of this", ["", "  "]) == "all of this"


def test_a_mark_is_no_place_to_find_a_secret_in() -> None:
    once = redact("a red act", ["red", "act"])
    assert once == "a [redacted] [redacted]"
    assert redact(once, ["red", "act"]) == once


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3), st.text(max_size=60))
def test_a_given_secret_never_survives(before: str, secrets: list[str], after: str) -> None:
    text = before + after.join(secrets) + after
    for part in redact(text, secrets).split(MARK):
        assert not any(secret in part for secret in secrets if secret.strip())


SIGNS = [*"=:&;,#@/{}-_ \n\"'\\aB1", "[", "]", ": ", "://", "=>", "--", MARK]
WORDS = ["token", "password", "secret_key", "passphrase", "Authorization", "Bearer ", "basic ", "cookie: a=", "null"]
TOKENS = [SLACK, AWS, GITHUB, OPENAI, JWT, HOOK, "?key=", "/bot12:", KEY[:31], KEY[-29:]]
PIECES = st.sampled_from([*SIGNS, *WORDS, *TOKENS])
LONG = [
    "a",
    " ",
    "\n",
    ";",
    "*",
    "\\",
    "@",
    "&a",
    "a\tb ",
    "token",
    "token=",
    'token: "',
    "token={",
    "sk-",
    "eyJ",
    "xox",
]
LONG += ["://a:", "--a-", "authorization:", "bearer ", "cookie: a", "passphrase: ", "-----BEGIN PRIVATE KEY"]


@settings(max_examples=1000)
@given(st.lists(PIECES, max_size=14).map("".join), st.lists(st.text("ab[]de", min_size=1, max_size=4), max_size=2))
def test_done_twice_it_changes_nothing_more(text: str, secrets: list[str]) -> None:
    once = redact(text, secrets)
    assert redact(once, secrets) == once


@given(st.lists(PIECES, max_size=14).map("".join))
def test_what_is_between_marks_was_there_before(text: str) -> None:
    at = 0
    for part in redact(text).split(MARK):
        at = text.index(part, at) + len(part)


@pytest.mark.parametrize("piece", LONG)
def test_no_text_takes_longer_than_its_length(piece: str) -> None:
    """With time that grows with the square of the length, the time-out of the tests would end this one."""
    text = "token=" + piece * (300_000 // len(piece))
    assert len(redact(text, ["aab", "k-s"])) <= len(text) * len(MARK)


def test_what_was_no_text_hurts_nobody() -> None:
    assert redact("a \ud800 b \udfffx", ["\udfffx"]) == "a \ud800 b [redacted]"
