"""Reader and search: a page, or the pages of a search, as text, JSON or events."""

from typing import Final

from gateway.control.documents.areas import reader_options
from gateway.control.documents.operation import (
    DRY_RUN,
    EVENTS,
    FORM,
    JSON,
    MAX_CHARGE,
    METERED,
    MULTIPART,
    TEXT_PLAIN,
    Answer,
    Body,
    Operation,
    path_parameter,
    query,
)
from gateway.control.documents.shapes import (
    COUNT,
    FLAG,
    TEXT,
    WHOLE,
    Schema,
    answer,
    array,
    by_name,
    either,
    maybe,
    one_of,
    ref,
    request,
    told,
    whole,
)
from gateway.products.product import Family

_TOKENS: Final = answer({"tokens": COUNT})
_META: Final = answer({"usage": _TOKENS})
_PAGE: Final = {
    "title": TEXT,
    "description": TEXT,
    "url": TEXT,
    "content": told(TEXT, "Markdown."),
    "text": TEXT,
    "html": TEXT,
    "screenshotUrl": told(TEXT, "Where the picture can be had for a while."),
    "pageshotUrl": TEXT,
    "chunks": array(TEXT),
    "numPages": COUNT,
    "publishedTime": TEXT,
    "metadata": {"type": "object"},
    "external": {"type": "object"},
    "images": by_name(TEXT),
    "links": either(by_name(TEXT), array(array(TEXT, 2, 2))),
    "warning": TEXT,
    "httpStatus": told(WHOLE, "What the target answered."),
    "httpStatusText": TEXT,
    "usage": _TOKENS,
}
_SOMETIMES: Final = (
    "content text html screenshotUrl pageshotUrl chunks numPages publishedTime images links "
    "warning httpStatus httpStatusText"
)
_QUERY: Final[dict[str, Schema]] = {
    "q": told({**TEXT, "maxLength": 2_048}, "What is searched for."),
    "num": told(whole(0, 20, 10), "How many hits; 0: no pages are read."),
    "page": whole(1, 100, 1),
    "type": one_of("web", "images", "news", default="web"),
    "gl": told(TEXT, "A country of two letters."),
    "hl": told(TEXT, "A language."),
    "location": TEXT,
    "provider": told(TEXT, "Who is asked, such as `arxiv`."),
    "tbs": TEXT,
    "nfpr": FLAG,
    "fallback": told(FLAG, "Ask with fewer words where there is no hit."),
}

SCHEMAS: Final[dict[str, Schema]] = {
    "ReadRequest": request(
        {
            "url": told(maybe(TEXT), "The page; or one of the next three."),
            "html": told(maybe(TEXT), "A page as text."),
            "pdf": told(maybe(TEXT), "A PDF in base64, or as a file of a form."),
            "file": told(maybe(TEXT), "A document in base64, or as a file of a form."),
            **reader_options.fields(),
        }
    ),
    "ReadPage": answer(_PAGE, _SOMETIMES),
    "Read": answer(
        {"code": {"const": 200}, "status": {"const": 20000}, "data": ref("ReadPage"), "meta": _META}
    ),
    "SearchRequest": request(
        {
            **{name: maybe(schema) for name, schema in _QUERY.items() if name != "type"},
            "type": either(_QUERY["type"], {"type": "null"}),
            **{name: maybe(TEXT) for name, _, _ in reader_options.OPERATORS},
            **reader_options.fields(),
        },
        "q",
    ),
    "Hit": answer(
        {
            **_PAGE,
            "date": TEXT,
            "source": TEXT,
            "imageUrl": TEXT,
            "imageWidth": maybe(COUNT),
            "imageHeight": maybe(COUNT),
            "favicon": TEXT,
        },
        f"{_SOMETIMES.removeprefix('content ')} metadata external date source imageUrl imageWidth "
        "imageHeight favicon",
        "`content` is empty where the page was not read.",
    ),
    "Hits": answer(
        {
            "code": {"const": 200},
            "status": {"const": 20000},
            "data": array(ref("Hit")),
            "meta": _META,
        }
    ),
    "Index": answer(
        {
            "code": {"const": 200},
            "status": {"const": 20000},
            "data": answer(
                {
                    "usage1": TEXT,
                    "usage2": TEXT,
                    "homepage": TEXT,
                    "authenticatedAs": TEXT,
                    "balanceLeft": WHOLE,
                    "note": TEXT,
                },
                "authenticatedAs balanceLeft note",
            ),
        }
    ),
}

_PAGES: Final = (
    Answer(
        "The page; a picture where one was asked for in text.",
        {
            TEXT_PLAIN: TEXT,
            JSON: either(ref("Read"), ref("Price")),
            EVENTS: told({}, "Events `data` of `ReadPage`, the last one whole."),
            "image/png": {"contentMediaType": "image/png"},
        },
    ),
)
_FOUND: Final = (
    Answer(
        "The hits.",
        {
            TEXT_PLAIN: TEXT,
            JSON: either(ref("Hits"), ref("Index"), ref("Price")),
            EVENTS: told({}, "Events `data` of the growing list, then one `usage`."),
        },
    ),
)
_READER: Final = ("reader",)
_SEARCH: Final = ("search",)
_REFUSED: Final = (400, 403, 404, 409, 413, 415, 422, 429, 451, 502, 504)
_OPTIONS: Final = reader_options.headers()
_TYPES: Final = (JSON, FORM, MULTIPART)
_EXAMPLE: Final = "https://example.com/"
_READ: Final = (
    "Markdown of what the page says. A page that its server refuses is shown and costs nothing. "
    "The whole target follows the slash, with its query string, bare or percent-encoded."
)
_SEARCHED: Final = (
    "The pages behind the hits are read too, unless `num` is 0 or `X-Respond-With: no-content`. "
    "Costs `max(tokens of the pages, ceil(hits / 10) * 10000)`. Every path of the host is a query."
)
_PARAMETERS: Final = tuple(query(name, schema, "") for name, schema in _QUERY.items())

OPERATIONS: Final = (
    Operation(
        "read",
        "GET",
        "/{url}",
        "reader",
        "Read a page",
        _READ,
        _PAGES,
        _REFUSED,
        labels=("r",),
        bare="/r/{url}",
        products=_READER,
        parameters=(
            path_parameter("url", "The page.", _EXAMPLE),
            *_OPTIONS,
            MAX_CHARGE,
            DRY_RUN,
        ),
        family=Family.READER,
    ),
    Operation(
        "read_by_body",
        "POST",
        "/",
        "reader",
        "Read a page, a PDF or HTML that is sent",
        "The same with every option as a field; the only way to send a document.",
        _PAGES,
        _REFUSED,
        labels=("r",),
        bare="/r/",
        products=_READER,
        parameters=(*_OPTIONS, *METERED),
        body=Body(
            ref("ReadRequest"),
            {
                "a page": {"url": _EXAMPLE},
                "HTML": {"html": "<title>A lock</title><p>Boats rise in locks.</p>"},
            },
            _TYPES,
        ),
        family=Family.READER,
    ),
    Operation(
        "read_index",
        "GET",
        "/",
        "reader",
        "How the reader is used; with a key its balance",
        "The oldest way to ask for a balance.",
        (Answer("The index.", {TEXT_PLAIN: TEXT, JSON: ref("Index")}),),
        (401, 402, 429, 502, 504),
        labels=("r",),
        bare="/r/",
        parameters=(reader_options.ACCEPT,),
        family=Family.READER,
    ),
    Operation(
        "search",
        "GET",
        "/search",
        "search",
        "Search, and read what is found",
        _SEARCHED,
        _FOUND,
        _REFUSED,
        labels=("s",),
        bare="/s/search",
        key=True,
        products=_SEARCH,
        parameters=(
            *_PARAMETERS,
            *_OPTIONS,
            *reader_options.search_headers(),
            MAX_CHARGE,
            DRY_RUN,
        ),
        family=Family.READER,
    ),
    Operation(
        "search_by_body",
        "POST",
        "/search",
        "search",
        "The same with a body",
        _SEARCHED,
        _FOUND,
        _REFUSED,
        labels=("s",),
        bare="/s/search",
        key=True,
        products=_SEARCH,
        parameters=(*_OPTIONS, *reader_options.search_headers(), *METERED),
        body=Body(
            ref("SearchRequest"),
            {"three hits": {"q": "sluice", "num": 3}, "no pages": {"q": "sluice", "num": 0}},
            _TYPES[:2],
        ),
        family=Family.READER,
    ),
)
