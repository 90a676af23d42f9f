"""Text without its secrets: values that are known to be secret, and what looks like one."""

import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

MARK = "[redacted]"

# Every repetition has a bound, or makes a match once it has begun: the time grows with the text, and no faster.

_QUOTE = r"""\\?["']"""
# From an opening quote to its fellow, or to the line's end where output was cut off; what is escaped belongs to it.
_QUOTED = r"""(?:(?<=\\")(?:[^"\\\n]|\\[^"\n])+|(?<=[^\\]")(?:[^"\\\n]|\\.)+|(?<=')[^'\n]+)"""
# A secret may contain "&", ";" and ","; but where another assignment follows one of them, it has ended.
_BARE = r"""(?:[^\s"'&;,]|[&;,](?=[^\s"'])(?!\\?["']?[\w.-]{1,64}\\?["']?\s{0,4}[=:]))+"""
# In a sentence a value is told from a word by a digit, by a capital after a small letter, or by a sign within.
_ODD = r"""(?=[^\s"'&;,]{0,200}?(?:\d|[a-z][A-Z]|[\w/][+=$!@#%^*~]))"""
# No value: a word for nothing, stars, or a place that somebody fills in.
_NOTHING = r"(?i:none|null|nil|true|false|undefined|\*{3,}|\$?\{[^}\n]{1,64}\}{1,2})"
_VALUE = rf"(?!{_NOTHING}(?:[\s&;,)\]}}]|$))"
_IN_QUOTES = rf"(?!{_NOTHING}{_QUOTE})"

_KEY = r"(?:api|access|private|signing|encryption|auth)[_-]?key(?:[_-]?id)?|secret[_-]?key"
_WORD = r"passw(?:or)?d|passphrase|passcode|pwd|secret|token|credentials?"
_ENDED = r"(?:_?\d{1,3})?(?![\w-])"
_NAME = rf"(?=[aepstcAEPSTC])(?i:{_KEY}|{_WORD}){_ENDED}"
# A name that no sentence has, such as API_KEY, X-Auth-Token or dbPassword.
_COMPOUND = rf"(?:(?i:{_KEY})|(?<=[A-Za-z0-9][_-])(?i:{_WORD})|(?<=[a-z])(?=[A-Z])(?i:{_WORD})){_ENDED}"
_LINE = r"^[ \t>|-]{0,40}\w{0,40}?"
_IS = r"(?::=|=>|=(?![=>]))"
_AUTHORIZATION = rf"(?i:\bauthorization)(?:{_QUOTE})?\s{{0,4}}[:=]\s{{0,4}}(?:{_QUOTE})?"

# What a text must contain, in small letters, for a shape to be looked for; and the shape.
_NAMES = ("key", "passw", "passphrase", "passcode", "pwd", "secret", "token", "credential")
_SHAPES: Sequence[tuple[tuple[str, ...], str]] = (
    # A private key, to its end or, where that was cut off, to the text's.
    (
        ("-----begin",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    # What a URL says of its user: a password, or a token alone.
    (("://",), r"""(?P<keep>://[^\s/:@"'<>]{0,128}:)[^\s/?#"'<>]{1,256}(?=@)"""),
    (("://",), r"""(?P<keep>://)[^\s/:@?#"'<>]{20,256}(?=@)"""),
    # URLs at which everybody can post who knows them, and signed ones.
    (
        ("hooks.slack", ".webhook.office.com/", "/bot", "/webhooks/"),
        r"(?P<keep>(?i:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/|\.webhook\.office\.com/|/bot(?=\d+:)"
        r"""|discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/))[^\s"'<>?/][^\s"'<>?]*""",
    ),
    (
        ("key=", "sig=", "signature=", "x-amz-"),
        r"""(?P<keep>[?&](?i:key|sig|signature|x-amz-(?:signature|credential|security-token))=)[^\s&"'<>]+""",
    ),
    # Tokens that say whose they are.
    (("xox", "xapp"), r"(?<![A-Za-z0-9])(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{6,}"),
    (("a",), r"(?<![A-Za-z0-9])A(?:KIA|SIA|GPA|IDA|IPA|NPA|NVA|ROA|BIA|CCA)[A-Z0-9]{16}[A-Za-z0-9]*"),
    (("gh", "github_pat"), r"(?<![A-Za-z0-9])(?:gh[pousr]|github_pat)_[A-Za-z0-9_]{20,}"),
    (("gl",), r"(?<![A-Za-z0-9])gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[\w.-]{16,}"),
    (
        ("k-", "k_", "npm_", "pypi-", "aiza", "ya29."),
        r"(?<![A-Za-z0-9])(?:[sr]k[_-]|npm_|pypi-|AIza|ya29\.)(?=[\w-]{0,64}\d)[\w-]{16,}",
    ),
    (("eyj",), r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w=-]*)*"),
    # Headers.
    (
        ("authorization",),
        rf"(?P<keep>{_AUTHORIZATION}(?i:basic|bearer|token|digest|negotiate|api-?key|aws4-hmac-sha256)\s{{1,4}})"
        r"""[^\s"'\\][^\n"'\\]*""",
    ),
    (("authorization",), rf"""(?P<keep>{_AUTHORIZATION}){_ODD}[^\s"'\\]+"""),
    (("bearer",), rf"(?P<keep>\b(?i:bearer) {{1,4}}){_ODD}[\w.~+/=-]{{12,}}"),
    (("basic",), rf"(?P<keep>\b(?i:basic) {{1,4}}){_ODD}[A-Za-z0-9+/]{{12,}}={{0,2}}"),
    (("cookie",), r"""(?P<keep>\b(?i:(?:set-)?cookie): {0,4}[\w.-]{1,64}=)[^\n"']+"""),
    # Assignments: with quotes; in code, in the environment, in a query; after a name that says it all.
    (_NAMES, rf"(?P<keep>{_NAME}(?:{_QUOTE})?[ \t]{{0,8}}(?:{_IS}|:)[ \t]{{0,8}}{_QUOTE}){_IN_QUOTES}{_QUOTED}"),
    (_NAMES, rf"(?P<keep>{_NAME}(?:[ \t]{{0,8}}{_IS}[ \t]{{0,8}}|:(?!:|//))){_VALUE}{_BARE}"),
    (_NAMES, rf"(?P<keep>{_COMPOUND}:[ \t]{{1,8}}){_VALUE}{_BARE}"),
    # In YAML; a passphrase has many words. On a command line; in a sentence.
    (("passphrase",), rf"(?P<keep>{_LINE}(?i:passphrase):[ \t]{{1,8}}){_VALUE}[^\s\"'].*"),
    (_NAMES, rf"(?P<keep>{_LINE}{_NAME}:[ \t]{{1,8}}){_VALUE}[^\s\"']\S*(?=[ \t]*(?:#.*)?$)"),
    (
        ("--",),
        rf"(?P<keep>--(?:\w{{1,20}}-){{0,3}}(?i:{_KEY}|{_WORD})[ \t]{{1,8}}(?:{_QUOTE})?){_VALUE}{_ODD}{_BARE}",
    ),
    (_NAMES, rf"(?P<keep>{_NAME}:[ \t]{{1,8}}){_VALUE}{_ODD}{_BARE}"),
)
_PATTERNS = [(hints, re.compile(shape, re.MULTILINE)) for hints, shape in _SHAPES]


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with ``[redacted]`` in the place of each of the ``secrets``, and of whatever looks like a secret.

    A secret is also found where it is escaped for a URL or for JSON. Done twice, it changes nothing more.
    """
    known = {form for secret in secrets for form in _forms(secret)}
    if known:
        # What is between marks is looked at by itself: a mark is no place to find a secret in.
        text = MARK.join(_without(part, known) for part in text.split(MARK))
    small = text.lower()
    for hints, pattern in _PATTERNS:
        if any(hint in small for hint in hints):
            text = pattern.sub(_marked, text)
    return text


def _marked(match: re.Match[str]) -> str:
    return (match.groupdict().get("keep") or "") + MARK


def _forms(secret: str) -> set[str]:
    in_urls = (quote(secret, safe=safe, errors="surrogatepass") for safe in ("", "/"))
    forms = {secret, secret.strip(), *in_urls, json.dumps(secret)[1:-1]}
    return forms if secret.strip() else set()


def _without(text: str, known: Iterable[str]) -> str:
    """Secrets that overlap go together."""
    spans: list[tuple[int, int]] = []
    for secret in known:
        at = text.find(secret)
        while at >= 0:
            spans.append((at, at + len(secret)))
            at = text.find(secret, at + 1)
    kept: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end or not kept:
            kept += (text[end:start], MARK)
        end = max(end, stop)
    return "".join([*kept, text[end:]])
