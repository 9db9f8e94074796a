"""Changes to a page's tree that bring out what is meant: shadows opened, walls and notices gone.

It refuses nothing. It runs in a worker process.
"""

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.reader.facts import flat

# Consent dialogs by the names that their makers give them; in no page are they what it is about.
CONSENT: Final = (
    "#onetrust-consent-sdk",
    "#CybotCookiebotDialog",
    "#didomi-host",
    "#usercentrics-root",
    "#qc-cmp2-container",
    "#cookie-law-info-bar",
    '[id^="sp_message_container"]',
    ".fc-consent-root",
    ".cc-window",
    ".osano-cm-window",
    *(
        f'[{attribute}*="{word}" i]'
        for word in ("cookie-consent", "cookie-banner", "cookie-notice", "cookieconsent", "gdpr-")
        for attribute in ("id", "class")
    ),
)
# What lies over a page: told by its role, or by a class or id that such things have.
OVERLAYS: Final = (
    "dialog",
    "[role=dialog]",
    "[role=alertdialog]",
    "[aria-modal=true]",
    *(
        f'[{attribute}*="{word}" i]'
        for word in (
            "cookie",
            "consent",
            "gdpr",
            "newsletter-popup",
            "modal-",
            "overlay",
            "paywall",
        )
        for attribute in ("id", "class")
    ),
)
KEPT_FROM_OVERLAYS: Final = frozenset({"html", "body", "main", "article"})
# A figure with one of these is more than a picture.
FIGURE_CONTENT: Final = "pre, code, table, blockquote, iframe, video, p + p, ul, ol"
# A `noscript` that is shorter says that scripts are off.
NOTICE_CHARACTERS: Final = 300
SHADOW: Final = re.compile(r"^<template\b[^>]*>|</template>$", re.IGNORECASE)


def remove_consent(tree: LexborHTMLParser) -> None:
    """Takes out the dialogs that ask for consent to cookies."""
    _remove(tree, CONSENT)


def remove_overlays(tree: LexborHTMLParser) -> None:
    """Takes out what lies over the page: dialogs, cookie banners, walls."""
    _remove(tree, OVERLAYS)


def flatten_tables(tree: LexborHTMLParser) -> None:
    """Makes every cell of every table a paragraph."""
    for table in reversed(tree.css("table")):
        cells = table.css("caption, td, th")
        put(table, "".join(f"<div>{inner(cell)}</div>" for cell in cells))


def fold_figures(tree: LexborHTMLParser) -> None:
    """Makes the caption of a picture its text, and leaves other figures as they are.

    A caption is about the picture, not part of what is told; where pictures are not wanted,
    it goes with them.
    """
    for figure in tree.css("figure"):
        images = figure.css("img")
        if not images or figure.css_first(FIGURE_CONTENT) is not None:
            continue
        caption = flat(figure.text())
        alt = flat(images[-1].attrs.sget("alt"))
        if caption and caption not in alt:
            both = f"{alt}: {caption}"
            images[-1].attrs["alt"] = caption if alt in caption else both
        put(figure, "".join(image.html or "" for image in images))


def drop_noscript(tree: LexborHTMLParser) -> None:
    """Keeps of a `noscript` the pictures that stand nowhere else, and long texts."""
    seen = {node.attrs.sget("src") for node in tree.css("img[src]")
            if not _is_within(node, "noscript")}  # fmt: skip
    for node in tree.css("noscript"):
        images = [image for image in node.css("img[src]")
                  if image.attrs.sget("src") not in seen]  # fmt: skip
        seen.update(image.attrs.sget("src") for image in images)
        if images:
            put(node, "".join(image.html or "" for image in images))
        elif len(node.text().strip()) < NOTICE_CHARACTERS:
            node.decompose()


def open_shadows(tree: LexborHTMLParser) -> None:
    """Puts declared shadow trees where a browser would show them."""
    for node in reversed(tree.css("template[shadowrootmode]")):
        put(node, f"<div>{SHADOW.sub('', (node.html or '').strip())}</div>")


def put(node: LexborNode, html: str) -> None:
    """Puts `html` in the place of `node`."""
    holder = LexborHTMLParser(f"<div>{html}</div>").css_first("body > div")
    if holder is None:
        node.decompose()
        return
    node.replace_with(holder)


def inner(node: LexborNode) -> str:
    """The HTML between an element's own tags."""
    return "".join(child.html or "" for child in node.iter(include_text=True))


def _is_within(node: LexborNode, tag: str) -> bool:
    while (above := node.parent) is not None:
        if above.tag == tag:
            return True
        node = above
    return False


def _remove(tree: LexborHTMLParser, selectors: tuple[str, ...]) -> None:
    for selector in selectors:
        for node in tree.css(selector):
            if node.tag not in KEPT_FROM_OVERLAYS and node.css_first("main, article") is None:
                node.decompose()
