"""How a browser comes to be signed in, and out: sessions by a key, and the cookie they live in.

Refuses to tell why a key is not taken beyond what /v1 tells.
"""

from typing import Any, Final

from gateway.control import minting
from gateway.control.call import Reply
from gateway.control.web import refusals
from gateway.control.web.cookies import HOST_SESSION, SESSION, is_secure, set_cookie
from gateway.control.web.people import Account, Attempts
from gateway.control.web.sessions import IDLE_S, Session
from gateway.control.web.visit import Visit
from gateway.edge import refusals as of_all
from gateway.errors import Problem
from gateway.keys.format import format_key_id, parse_key_id

OF_KEYS: Final = Attempts("key", 30, 600)
OF_LINKS: Final = Attempts("link", 30, 600)


async def show(visit: Visit) -> Reply | Problem:
    """Who is signed in, what can be done here, and the token of writes."""
    return Reply(200, await document(visit, visit.session))


async def document(visit: Visit, session: Session | None) -> dict[str, Any]:
    """The session as pages and their scripts see it."""
    web, key = visit.web, None
    if session is not None and session.key_id is not None:
        view = await visit.parts.shelf.key_view(session.key_id)
        owned = None
        if session.account_id is not None:
            owned = await web.people.key(session.account_id, session.key_id)
        key = {
            "key_id": format_key_id(session.key_id),
            "last_characters": "" if view is None else view.last_characters,
            "name": "" if owned is None else owned.name,
        }
    account = None
    if session is not None and session.account_id is not None:
        account = {"email": session.email}
    return {
        "signed_in": session is not None,
        "csrf": None if session is None else session.csrf,
        "key": key,
        "account": account,
        "language": visit.language,
        "can": {
            "mail": web.letters is not None,
            "provider": web.provider is not None,
            "buy": visit.parts.billing is not None,
            "mint": visit.parts.settings.keys_per_address > 0,
        },
    }


def cookie_of(visit: Visit, session: Session | None) -> dict[str, str]:
    """The header that gives a browser its session, or takes it away."""
    value, life_s = ("", 0) if session is None else (session.token, IDLE_S)
    secure = is_secure(visit.exchange)
    name = HOST_SESSION if secure else SESSION
    return {"set-cookie": set_cookie(name, value, life_s=life_s, secure=secure)}


async def opened(visit: Visit, account: Account | None, key_id: int | None) -> Session:
    """A new session in the place of the old one, whose account goes along with a key."""
    old, sessions = visit.session, visit.web.sessions
    account_id, email = None, None
    if account is not None:
        account_id, email = account.account_id, account.email
    elif old is not None and key_id is not None:
        account_id, email = old.account_id, old.email
    session = await sessions.open(account_id, key_id, email)
    await sessions.close(old)
    return session


async def too_often(visit: Visit, attempts: Attempts) -> Problem | None:
    """Whether this address has tried too often."""
    address = visit.parts.identifier.anonymous(visit.exchange).text
    wait_s = await visit.web.people.attempt(attempts, address)
    return None if wait_s is None else refusals.too_often(wait_s)


async def typed_key(visit: Visit) -> int | Problem:
    """The id of the key that was typed, which may be used."""
    problem = await too_often(visit, OF_KEYS)
    if problem is not None:
        return problem
    given = visit.body.get("api_key")
    if not isinstance(given, str) or not given.strip():
        return of_all.invalid_field("api_key", "must be a key")
    key_id = await visit.parts.keys.find(given.strip())
    row = None if key_id is None else await visit.parts.book.load_balance(key_id)
    if key_id is None or row is None:
        return of_all.invalid_key()
    return of_all.revoked() if row.status == "revoked" else key_id


async def by_key(visit: Visit) -> Reply | Problem:
    """`{"api_key"}`: typed once; the server keeps which key it is, never the key."""
    key_id = await typed_key(visit)
    if isinstance(key_id, Problem):
        return key_id
    session = await opened(visit, None, key_id)
    return Reply(200, await document(visit, session), cookie_of(visit, session))


async def mint(visit: Visit) -> Reply | Problem:
    """A new key as `POST /v1/keys` gives it, shown this once; the session looks at it from now on.

    Who is signed in to an account has it in his account.
    """
    told = await minting.mint(visit.parts, visit.call(body={}))
    if isinstance(told, Problem):
        return told
    key_id = parse_key_id(told.document["key_id"])
    assert key_id is not None, "minting names it"
    session = await opened(visit, None, key_id)
    if session.account_id is not None:
        await visit.web.people.add_key(session.account_id, key_id, "")
    minted = {**told.document, "session": await document(visit, session)}
    return Reply(201, minted, cookie_of(visit, session))


async def choose(visit: Visit) -> Reply | Problem:
    """`{"key_id"}`: look at another key of the account; null: at none."""
    given = visit.body.get("key_id")
    key_id = parse_key_id(given) if isinstance(given, str) else None
    if given is not None and key_id is None:
        return of_all.invalid_field("key_id", "must look like key_ and 11 characters")
    session = visit.signed_in
    if not await visit.web.sessions.choose(session, key_id):
        return of_all.not_found("key", str(given))
    now = Session(session.token, session.account_id, key_id, session.email)
    return Reply(200, await document(visit, now))


async def close(visit: Visit) -> Reply | Problem:
    """Signed out: the cookie is worth nothing from now on."""
    await visit.web.sessions.close(visit.session)
    return Reply(200, {"signed_in": False}, cookie_of(visit, None))
