"""The doors of the web pages: pages, their static files, and the calls that they make.

Refuses to do anything: a door is a name that `control.web` acts on.
"""

from typing import Final

from gateway.edge.doors import Door, Kind

# A page calls a product at this path and what follows, signed in by its session: the same route as
# without the prefix, so the same limits, the same metering.
CALL: Final = "/web/call"
CALLED: Final = frozenset((Kind.PRODUCT, Kind.FORWARD, Kind.PRICE))
_PAGES: Final = (
    ("/", "front"),
    ("/playground", "playground"),
    ("/chat", "chat"),
    ("/limits", "limits"),
    ("/status", "status"),
    ("/faq", "faq"),
    ("/docs", "docs"),
    ("/sign-in", "sign_in"),
    ("/account", "account"),
)
_OF_SESSIONS: Final = (
    ("GET", "/web/session", "session.show"),
    ("POST", "/web/session", "session.open"),
    ("PUT", "/web/session", "session.choose"),
    ("DELETE", "/web/session", "session.close"),
    ("POST", "/web/mint", "mint"),
    ("POST", "/web/sign-in", "sign_in.start"),
    ("POST", "/web/sign-in/finish", "sign_in.finish"),
    # A provider sends the browser back to it.
    ("GET", "/web/sign-in/provider", "sign_in.provider"),
)
_OF_KEYS: Final = (
    ("GET", "/web/overview", "overview"),
    ("GET", "/web/usage", "usage"),
    ("GET", "/web/export", "export"),
    ("GET", "/web/requests/{}", "request"),
    ("PUT", "/web/budget", "budget"),
    ("POST", "/web/transfer", "transfer"),
    ("POST", "/web/revoke", "revoke"),
    ("GET", "/web/packs", "packs"),
    ("GET", "/web/orders", "orders"),
    ("POST", "/web/checkout", "checkout"),
    ("GET", "/web/recharge", "recharge.show"),
    ("PUT", "/web/recharge", "recharge.allow"),
    ("DELETE", "/web/recharge", "recharge.stop"),
)
_OF_ACCOUNTS: Final = (
    ("GET", "/web/account", "account.show"),
    ("DELETE", "/web/account", "account.drop"),
    ("POST", "/web/account/keys", "account.add"),
    ("PUT", "/web/account/keys/{}", "account.change"),
    ("DELETE", "/web/account/keys/{}", "account.forget"),
)
_OF_ALL: Final = (
    ("GET", "/static/{}", "static"),
    ("HEAD", "/static/{}", "static"),
    ("GET", "/web/status", "status"),
    ("GET", "/web/limits", "limits"),
)
WEB: Final = (
    *(
        Door(how, path, Kind.WEB, f"page.{name}")
        for path, name in _PAGES
        for how in ("GET", "HEAD")
    ),
    *(
        Door(how, path, Kind.WEB, f"web.{name}")
        for how, path, name in (*_OF_SESSIONS, *_OF_KEYS, *_OF_ACCOUNTS, *_OF_ALL)
    ),
)
