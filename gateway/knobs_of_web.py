"""Settings of the web pages and of signing in: name, attribute, how it is read, default, reason.

Refuses to build the records: `knobs` does, with all the others.
"""

from collections.abc import Callable
from typing import Any, Final

from gateway.knob_readers import issuer_url, mail_sender, page_origin, smtp_url, word

WebKnob = tuple[str, str, Callable[[str], Any], Any, str, str]

WEB: Final[tuple[WebKnob, ...]] = (
    (
        "WEB_URL",
        "web_url",
        page_origin,
        None,
        "origin of the web pages as browsers reach it, for links in letters and ways back",
        "https://dash.DOMAIN",
    ),
    (
        "SECURITY_CONTACT",
        "security_contact",
        word,
        None,
        "mailto: or https: address told in /.well-known/security.txt; without it there is none",
        "",
    ),
    (
        "SMTP_URL",
        "smtp_url",
        smtp_url,
        None,
        "smtp:// (STARTTLS, unless the host is this machine or ?tls=no) or smtps:// with user and "
        "password, by which sign-in links and alerts are sent",
        "",
    ),
    (
        "MAIL_FROM",
        "mail_from",
        mail_sender,
        None,
        "address from which letters come; needed with SMTP_URL",
        "",
    ),
    (
        "OIDC_ISSUER",
        "oidc_issuer",
        issuer_url,
        None,
        "OpenID Connect provider by which people sign in; its discovery document is read",
        "",
    ),
    ("OIDC_CLIENT_ID", "oidc_client_id", word, None, "our name at that provider", ""),
    (
        "OIDC_CLIENT_SECRET",
        "oidc_client_secret",
        word,
        None,
        "our secret at that provider; none for a public client",
        "",
    ),
)
