"""Signing in to an account: by a link in a letter, or at an identity provider.

1. A link carries its ticket behind a `#`, which no server and no log sees; the page sends it by a
   button, so that a mail scanner that opens links uses nothing up.
2. Whether an address has an account is never told: every address gets the same answer.

Refuses to put the request's Host into a letter: who asks could choose where the link leads.
"""

import logging
from typing import Final
from urllib.parse import urlsplit

from gateway.control.call import Reply
from gateway.control.web import opening, refusals
from gateway.control.web.cookies import PROVIDER, cookie, is_secure, set_cookie
from gateway.control.web.letters import MailUnavailable
from gateway.control.web.oidc import Provider, ProviderFailed, way_of
from gateway.control.web.people import Attempts
from gateway.control.web.visit import Visit
from gateway.edge import refusals as of_all
from gateway.errors import Problem
from gateway.knob_readers import is_loopback
from gateway.settings import Settings

_LOG = logging.getLogger("sluice.web")
_LINK_S: Final = 900
_WAY_S: Final = 600
_MOST_ADDRESS: Final = 254
_OF_STARTS: Final = Attempts("start", 20, 3_600)
_OF_MAILBOXES: Final = Attempts("mailbox", 5, 3_600)
_BACK: Final = "/web/sign-in/provider"


async def start(visit: Visit) -> Reply | Problem:
    """`{"email"}`: a letter goes out, 202; `{"with": "provider"}`: where to go, 200."""
    wants_provider = visit.body.get("with") == "provider"
    if wants_provider and visit.web.provider is not None:
        problem = await opening.too_often(visit, opening.OF_LINKS)
        return problem or await _to_provider(visit, visit.web.provider)
    if wants_provider or visit.web.letters is None:
        return refusals.not_configured()
    email = mail_address(visit.body.get("email"))
    if email is None:
        return of_all.invalid_field("email", "must be an e-mail address")
    problem = await opening.too_often(visit, _OF_STARTS)
    if problem is not None:
        return problem
    wait_s = await visit.web.people.attempt(_OF_MAILBOXES, email)
    if wait_s is not None:
        return refusals.too_often(wait_s)
    ticket = await visit.web.people.make_ticket("mail", email, _LINK_S)
    link = f"{address_of(visit.parts.settings, visit)}/sign-in#{ticket}"
    words = visit.web.texts.of(visit.language)["letters"]
    text = str(words["sign_in"]).format(link=link, minutes=_LINK_S // 60)
    try:
        await visit.web.letters.send(email, str(words["sign_in_subject"]), text)
    except MailUnavailable as fault:
        _LOG.warning("a sign-in letter could not be sent: %s", fault)
        return refusals.mail_unavailable()
    return Reply(202, {"sent": True})


async def finish(visit: Visit) -> Reply | Problem:
    """`{"ticket"}` of a link: signed in, and the link is used up."""
    problem = await opening.too_often(visit, opening.OF_LINKS)
    if problem is not None:
        return problem
    ticket = visit.body.get("ticket")
    email = None
    if isinstance(ticket, str) and ticket.isascii():
        email = await visit.web.people.use_ticket(ticket, "mail")
    if not email:
        return refusals.link_over()
    return await _signed_in(visit, "mail", email, email)


async def back(visit: Visit) -> Reply:
    """The provider sends the browser here with a code; then on to the account.

    It is a person who looks at the answer: what went wrong is told by the page to sign in at.
    """
    done = await _came_back(visit)
    if isinstance(done, Problem):
        return Reply(303, "", {"location": f"/sign-in?refused={done.code}"})
    return Reply(303, "", {**done.headers, "location": "/account"})


async def _came_back(visit: Visit) -> Reply | Problem:
    provider, secret = visit.web.provider, cookie(visit.exchange, PROVIDER)
    if provider is None:
        return refusals.not_configured()
    problem = await opening.too_often(visit, opening.OF_LINKS)
    if problem is not None:
        return problem
    code, state = visit.query.get("code"), visit.query.get("state")
    if secret is None or state != way_of(secret).state:
        return refusals.link_over()
    if await visit.web.people.use_ticket(secret, "provider") is None:
        return refusals.link_over()
    if not code:
        return refusals.provider_refused("it sent no code")
    try:
        where = address_of(visit.parts.settings, visit) + _BACK
        identity = await provider.finish(secret, code, where)
    except ProviderFailed as fault:
        _LOG.warning("the identity provider: %s (%s)", fault, fault.__cause__)
        return refusals.provider_refused(str(fault))
    email = mail_address(identity.email)
    return await _signed_in(visit, provider.issuer, identity.subject, email)


async def _to_provider(visit: Visit, provider: Provider) -> Reply | Problem:
    # The ticket is used up by the way back, so that a copy of the cookie is worth nothing after it.
    secret = await visit.web.people.make_ticket("provider", None, _WAY_S)
    try:
        url = await provider.begin(secret, address_of(visit.parts.settings, visit) + _BACK)
    except ProviderFailed as fault:
        _LOG.warning("the identity provider: %s (%s)", fault, fault.__cause__)
        return refusals.provider_refused(str(fault))
    kept = set_cookie(PROVIDER, secret, life_s=_WAY_S, secure=is_secure(visit.exchange))
    return Reply(200, {"url": url}, {"set-cookie": kept})


async def _signed_in(visit: Visit, provider: str, subject: str, email: str | None) -> Reply:
    people = visit.web.people
    account_id = await people.sign_in(provider, subject, email, visit.language)
    account = await people.account(account_id)
    assert account is not None, "it was made or found"
    keys = [key for key in await people.keys(account_id) if key.balance.status != "revoked"]
    session = await opening.opened(visit, account, keys[0].balance.key_id if keys else None)
    told = await opening.document(visit, session)
    return Reply(200, told, opening.cookie_of(visit, session))


def address_of(settings: Settings, visit: Visit) -> str:
    """The origin of the pages as the browser of this visit reaches them, by the operator's word.

    On a developer's machine the page's own one is taken: it is this machine in any case.
    """
    if settings.web_url is not None:
        return settings.web_url
    if settings.domain != "localhost":
        return f"https://dash.{settings.domain}"
    host = visit.exchange.headers.get("Host", "")
    if is_loopback(settings.bind) and is_loopback(urlsplit(f"//{host}").hostname or ""):
        return f"http://{host}"
    return f"http://localhost:{settings.port}"


def mail_address(given: object) -> str | None:
    """The address in lower case, if it is one that a letter can be sent to safely."""
    if not isinstance(given, str):
        return None
    text = given.strip().lower()
    name, at, host = text.rpartition("@")
    plain = text.isascii() and text.isprintable() and not set(' ,;:<>()[]"\\') & set(text)
    fits = plain and 3 <= len(text) <= _MOST_ADDRESS and "@" not in name
    return text if fits and name and at and "." in host.strip(".") else None
