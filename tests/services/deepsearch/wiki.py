"""A few pages that know of each other, served on loopback."""

from collections.abc import Mapping

from aiohttp import web

from tests.services.site import Site, html

PAGES: Mapping[str, tuple[str, str]] = {
    "fallenmoor-lock": (
        "Fallenmoor Lock",
        "The lock at Fallenmoor was built in 1788 by the engineer Ada Quill. It lifts boats by "
        "seven metres between the Elder Canal and the river Wend. Its gates are of oak.",
    ),
    "ada-quill": (
        "Ada Quill",
        "Ada Quill was an engineer who was born in the town of Harrowdene in 1751. She studied at "
        "the University of Brackwater and built eleven locks and two aqueducts.",
    ),
    "harrowdene": (
        "Harrowdene",
        "Harrowdene is a market town on the river Thrum. It has a population of 12,400 and is "
        "known for its glass works. The mayor of Harrowdene is elected every four years.",
    ),
    "elder-canal": (
        "Elder Canal",
        "The Elder Canal is ninety kilometres long. It was opened in 1790 and carried coal to the "
        "mills of Brackwater until 1931.",
    ),
    "brackwater": (
        "University of Brackwater",
        "The University of Brackwater was founded in 1620. Its school of engineering is the oldest "
        "in the country.",
    ),
}


def site(filler: int = 0) -> Site:
    """The pages, not yet started, each with so many paragraphs of nothing much behind its text."""
    more = "".join(
        f"<h2>Section {number}</h2><p>{FILLER.format(number)}</p>" for number in range(filler)
    )

    async def page(request: web.Request) -> web.StreamResponse:
        found = PAGES.get(request.match_info["name"])
        if found is None:
            return web.Response(status=404, text="nothing here")
        title, text = found
        return html(
            f"<html><head><title>{title}</title></head><body><article><h1>{title}</h1>"
            f"<p>{text}</p>{more}</article></body></html>"
        )

    return Site({"/wiki/{name}": page})


FILLER = (
    "In the year {} of the old count the Wardens of Marlow met at Saint Osric and wrote down what "
    "the boats had carried: salt, slate, wool and eels. Nothing else of note is known of it, "
    "although Edwin Farrow says that the winter was long and the ice on the Thrum was thick."
)
# Known to the index alone: no reader can fetch it.
SHELVED = "https://shelf.invalid/keeper"
KEEPER = "The keeper of Fallenmoor is called Tobias Reed. He has kept the lock since 2011."


def documents(origin: str) -> list[dict[str, str]]:
    """What the local index is told of them."""
    pages = [
        {"url": f"{origin}/wiki/{name}", "title": title, "content": text}
        for name, (title, text) in PAGES.items()
    ]
    return [*pages, {"url": SHELVED, "title": "The keeper", "content": KEEPER}]
