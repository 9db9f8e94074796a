"""The web side as a whole: built once per process.

Wires, never handles.
"""

from collections.abc import Callable
from typing import Final

from gateway.control.web.letters import Letters, LogLetters, SmtpLetters
from gateway.control.web.oidc import Provider
from gateway.control.web.people import People
from gateway.control.web.sessions import Sessions
from gateway.control.web.statics import Statics
from gateway.control.web.templates import Templates
from gateway.control.web.texts import Texts
from gateway.control.web.visit import Web
from gateway.control.web.watch import Watch, Work
from gateway.knob_readers import is_loopback
from gateway.postgres import Pools, Postgres
from gateway.settings import Settings
from gateway.sql import load_queries

# Connections of their own, so that a flood of pages makes no metered request wait for one.
_POOL: Final = 2


def web_side(settings: Settings, pools: Pools, digest: Callable[[str], bytes]) -> Web:
    """All of it; `digest` makes what is at rest of a secret."""
    queries, statics = load_queries(), Statics()
    postgres = pools.open("-web", size=_POOL)
    return Web(
        Sessions(postgres, queries, digest),
        People(postgres, queries, digest),
        Texts(),
        Templates(statics.address),
        statics,
        letters_of(settings),
        provider_of(settings),
    )


def letters_of(settings: Settings) -> Letters | None:
    """By the mail server; on a developer's machine by the log; else not at all."""
    if settings.smtp_url is not None:
        assert settings.mail_from is not None, "the settings demand it"
        return SmtpLetters(settings.smtp_url, settings.mail_from)
    if settings.oidc_issuer is None and is_developers(settings):
        return LogLetters()
    return None


def is_developers(settings: Settings) -> bool:
    """Whether only this machine can reach us, and nothing says that a proxy stands in front."""
    public = settings.web_url is not None or settings.domain != "localhost"
    return is_loopback(settings.bind) and not public and not settings.trusted_proxies


def provider_of(settings: Settings) -> Provider | None:
    """The identity provider, if one is named."""
    if settings.oidc_issuer is None:
        return None
    assert settings.oidc_client_id is not None, "the settings demand it"
    return Provider(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret)


def watch_of(settings: Settings, postgres: Postgres) -> tuple[Work, ...]:
    """The worker's part."""
    letters = (
        SmtpLetters(settings.smtp_url, settings.mail_from or "") if settings.smtp_url else None
    )
    return Watch(postgres, load_queries(), letters, Texts()).works()
