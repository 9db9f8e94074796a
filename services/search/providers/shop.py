"""Which providers this deployment has, by its settings.

It refuses nothing: what is not set is not there.
"""

from services.search.index.library import Library
from services.search.providers.arxiv import Arxiv
from services.search.providers.brave import Brave
from services.search.providers.local import Local
from services.search.providers.port import Provider
from services.search.providers.searxng import Searxng
from services.search.providers.serper import Serper
from services.search.providers.transport import Transport
from services.search_settings import SearchSettings


def providers(knobs: SearchSettings, transport: Transport, library: Library) -> list[Provider]:
    """All that can be asked by name; the order in which they are is a setting of its own."""
    found: list[Provider] = [Local(library), Arxiv(transport, knobs.arxiv_url)]
    if knobs.url:
        found.append(Searxng(transport, knobs.url))
    if knobs.brave_key:
        found.append(Brave(transport, knobs.brave_url, knobs.brave_key))
    if knobs.serper_key:
        found.append(Serper(transport, knobs.serper_url, knobs.serper_key))
    return found
