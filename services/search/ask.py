"""What one search asks for: query, parameters, operators, and the options of its pages. Pure.

Parameters come from the query string and from the body, where a field of the body wins; reader
options also from headers. It refuses wrong values with 400/40001, and ignores names it never heard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote

from services.reader import options
from services.reader.forms import Form, accepted
from services.reader.options import Options
from services.reader.refusals import Refusal, bad_option
from services.search import operators
from services.search.hits import Kind, Question
from services.search.places import COUNTRIES, is_language

RESULTS: Final = 10
RESULTS_MOST: Final = 20
PAGES_MOST: Final = 100
QUERY_CHARACTERS: Final = 2048
WORD_CHARACTERS: Final = 200
PROVIDERS: Final = frozenset(
    {"google", "bing", "reader", "serper", "brave", "searxng", "arxiv", "local"}
)
NO_CONTENT: Final = "no-content"
# Not for the reader: ours, the message's own, and the budget, which a search ignores.
OWN_HEADERS: Final = frozenset(
    {"x-request-id", "x-token-budget", "x-timeout", "x-with-favicon", "x-with-favicons"}
    | {f"x-{name}" for name in operators.NAMES}
)
OWN_FIELDS: Final = frozenset(
    {
        *operators.NAMES,
        *("q", "num", "count", "page", "gl", "hl", "location", "type", "provider", "engine"),
        *("nfpr", "tbs", "fallback", "tokenBudget", "timeout", "withFavicon", "withFavicons"),
        # A search reads the pages it found, never one that the client uploads.
        *("url", "html", "pdf", "file"),
    }
)
# Parameters that may come more than once in a query string.
REPEATABLE: Final = frozenset(operators.NAMES)
ENGINES: Final = frozenset({"browser", "direct", "curl", "auto", "cf-browser-rendering"})
OFF: Final = frozenset({"", "0", "false", "no", "none", "off"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One checked search. `provider` "" is the default chain; `timeout_ms` None the default."""

    question: Question
    form: Form
    provider: str
    with_bodies: bool
    with_favicons: bool
    fallback: bool
    timeout_ms: int | None
    wanted: Options
    reader_headers: Mapping[str, str]
    reader_fields: Mapping[str, Any]


class _AskError(Exception):
    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.refusal = bad_option(path, message)


def query_of(raw_path: str, fields: Mapping[str, Any]) -> str | Refusal | None:
    """The query: `q`, else the path but for `/search`; None if none is named at all."""
    given = fields.get("q")
    if isinstance(given, list):
        given = given[-1] if given else None
    if given is None:
        path = raw_path.partition("?")[0].removeprefix("/")
        if path in ("", "search", "search/"):
            return None
        given = unquote(path, errors="replace")
    if not isinstance(given, str):
        return bad_option("q", "q must be a string")
    text = " ".join("".join(c if c.isprintable() else " " for c in given).split())
    if not text:
        return bad_option("q", "The query is empty")
    if len(text) > QUERY_CHARACTERS:
        return bad_option("q", f"The query has more than {QUERY_CHARACTERS} characters")
    return text


def read(query: str, headers: Mapping[str, str], fields: Mapping[str, Any]) -> Ask | Refusal:
    """The search for `query`, or the first option that is wrong."""
    lower = {name.lower(): value for name, value in headers.items()}
    found = operators.gather(fields, lower)
    if isinstance(found, Refusal):
        return found
    try:
        count = _count(fields)
        provider, engine = _provider(fields)
        question = Question(
            query=query,
            operators=found,
            count=count or RESULTS,
            page=_number(fields, "page", 1, PAGES_MOST, 1),
            kind=Kind(_choice(fields, "type", {kind.value for kind in Kind}) or "web"),
            gl=_place(fields, "gl"),
            hl=_place(fields, "hl"),
            location=_word(fields, "location"),
            tbs=_word(fields, "tbs"),
            nfpr=_switch(fields.get("nfpr")),
            engine=engine,
        )
    except _AskError as mistake:
        return mistake.refusal
    return _with_reader(question, lower, fields, with_bodies=count > 0, provider=provider)


def _with_reader(
    question: Question,
    headers: Mapping[str, str],
    fields: Mapping[str, Any],
    *,
    with_bodies: bool,
    provider: str,
) -> Ask | Refusal:
    """The same, with the options of its pages, which the reader's own rules check."""
    form = accepted(headers.get("accept", ""))
    bare = {name: value for name, value in headers.items() if _for_reader(name) and value.strip()}
    own = {name: value for name, value in fields.items() if name not in OWN_FIELDS}
    if _is_engine(fields.get("engine")):
        own["engine"] = fields["engine"]
    asked = [bare.get("x-respond-with"), bare.get("x-return-format")]
    asked += [own.get("respondWith"), own.get("returnFormat")]
    if any(isinstance(item, str) and item.strip().lower() == NO_CONTENT for item in asked):
        with_bodies = False
        bare = {n: v for n, v in bare.items() if n not in ("x-respond-with", "x-return-format")}
        own = {n: v for n, v in own.items() if n not in ("respondWith", "returnFormat")}
    timing = {"timeout": fields.get("timeout")}
    wanted = options.read({**bare, "x-timeout": headers.get("x-timeout", "")}, {**own, **timing})
    if isinstance(wanted, Refusal):
        return wanted
    if wanted.unfetchable is not None and with_bodies:
        return wanted.unfetchable
    if len(wanted.wishes.formats) > 1 and form is Form.TEXT and with_bodies:
        return bad_option(
            "respondWith",
            "Several formats at once need an answer in JSON or events: accept "
            "'application/json' or 'text/event-stream', and not 'text/plain'",
        )
    return Ask(
        question=question,
        form=form,
        provider=provider,
        with_bodies=with_bodies and question.kind is not Kind.IMAGES,
        with_favicons=_favicons(headers, fields),
        fallback=_switch(fields.get("fallback")),
        timeout_ms=wanted.timeout_ms,
        wanted=wanted,
        reader_headers=bare,
        reader_fields=own,
    )


def shortened(question: Question) -> Question | None:
    """The same with one word less, for a search without hits; None if only one is left."""
    words = question.query.split()
    return replace(question, query=" ".join(words[:-1])) if len(words) > 1 else None


def _for_reader(name: str) -> bool:
    if name in ("dnt", "accept-language"):
        return True
    return name.startswith("x-") and not name.startswith("x-sluice-") and name not in OWN_HEADERS


def _favicons(headers: Mapping[str, str], fields: Mapping[str, Any]) -> bool:
    given = (headers.get("x-with-favicons"), headers.get("x-with-favicon"))
    return any(given) or _switch(fields.get("withFavicons")) or _switch(fields.get("withFavicon"))


def _count(fields: Mapping[str, Any]) -> int:
    name = "num" if fields.get("num") not in (None, "") else "count"
    return _number(fields, name, 0, RESULTS_MOST, RESULTS)


def _provider(fields: Mapping[str, Any]) -> tuple[str, str]:
    """Who is to be asked, and which engine behind it; `engine` may also be the reader's."""
    given = fields.get("provider")
    name = "provider"
    if given in (None, "") and not _is_engine(fields.get("engine")):
        name = "engine"
    word = _choice(fields, name, PROVIDERS)
    if word in ("google", "bing"):
        return "", word
    return ("" if word == "reader" else word), ""


def _is_engine(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() in ENGINES


def _last(fields: Mapping[str, Any], name: str) -> Any:
    value = fields.get(name)
    if isinstance(value, list):
        value = value[-1] if value else None
    return None if value == "" else value


def _number(fields: Mapping[str, Any], name: str, least: int, most: int, default: int) -> int:
    value = _last(fields, name)
    if value is None:
        return default
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:9])
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _AskError(name, f"{name} must be an integer from {least} to {most}")
    return value


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = _last(fields, name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > WORD_CHARACTERS or not value.isprintable():
        raise _AskError(name, f"{name} must be text of at most {WORD_CHARACTERS} characters")
    return value.strip()


def _choice(fields: Mapping[str, Any], name: str, known: set[str] | frozenset[str]) -> str:
    word = _word(fields, name).lower()
    if word and word not in known:
        raise _AskError(name, f"{name} must be one of {', '.join(sorted(known))}, not {word!r}")
    return word


def _place(fields: Mapping[str, Any], name: str) -> str:
    code = _word(fields, name).lower()
    if code and not (code in COUNTRIES if name == "gl" else is_language(code)):
        what = "a country of two letters" if name == "gl" else "a language such as en or pt-br"
        raise _AskError(name, f"{name} must be {what}, not {code!r}")
    return code


def _switch(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in OFF
    return bool(value)
