"""Plain pages: HTML without scripts, every word escaped, every field with a label."""

from collections.abc import Iterable, Mapping
from html import escape

from aiohttp import web

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1f36; background: #fff }
label { display: block; margin: .8rem 0 .2rem }
input, select, button { font: inherit; padding: .4rem .6rem }
button { cursor: pointer; margin: .3rem .3rem .3rem 0 }
form.line { display: inline }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
td, th { text-align: left; border-bottom: 1px solid #ddd; padding: .3rem .5rem .3rem 0 }
.note { background: #fff6d6; padding: .5rem .8rem; border: 1px solid #e5d48a }
.bad { background: #fde8e8; border-color: #e09a9a }
"""


def page(title: str, *parts: str, status: int = 200) -> web.Response:
    """A whole page; `parts` are HTML already."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        '<p class="note">A stand-in for Stripe. No real money moves.</p>'
        f"<main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html", status=status)


def note(words: str, *, bad: bool = False) -> str:
    """A sentence that must be seen."""
    role, kind = ("alert", "note bad") if bad else ("status", "note")
    return f'<p class="{kind}" role="{role}">{escape(words)}</p>'


def text(name: str, label: str, value: str = "", **more: str) -> str:
    """A labelled input; `more` are attributes (`id` too)."""
    own = more.pop("id", name)
    told = "".join(f' {key}="{escape(word)}"' for key, word in more.items())
    return (
        f'<label for="{own}">{escape(label)}</label>'
        f'<input id="{own}" name="{name}" value="{escape(value)}"{told}>'
    )


def choice(name: str, label: str, options: Mapping[str, str], chosen: str = "") -> str:
    """A labelled list to choose from."""
    told = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(words)}</option>"
        for value, words in options.items()
    )
    named = f'<label for="{name}">{escape(label)}</label>'
    return f'{named}<select id="{name}" name="{name}">{told}</select>'


def button(words: str, name: str = "", value: str = "") -> str:
    """What sends a form."""
    told = f' name="{name}" value="{escape(value)}"' if name else ""
    return f'<button type="submit"{told}>{escape(words)}</button>'


def form(action: str, *parts: str, kind: str = "") -> str:
    """A form that posts."""
    told = f' class="{kind}"' if kind else ""
    return f'<form method="post" action="{escape(action)}"{told}>{"".join(parts)}</form>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows of HTML below words."""
    top = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def link(url: str, words: str) -> str:
    """A link."""
    return f'<a href="{escape(url)}">{escape(words)}</a>'
