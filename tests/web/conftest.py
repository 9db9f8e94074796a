"""Gateways with web pages, browsers, a mail server, and the database as its owner sees it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import pytest

from tests.billing.conftest import OpenShop, open_shop, shop, stripe
from tests.control.conftest import open_door, service
from tests.control.rig import Door
from tests.web.browser import Browser
from tests.web.mail import Mailbox, mail_server

__all__ = ["OpenShop", "open_door", "open_shop", "service", "shop", "stripe"]

Open = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
async def door(open_door: Open) -> AsyncIterator[Door]:
    """One gateway."""
    async with open_door() as opened:
        yield opened


@pytest.fixture
def browser(door: Door) -> Browser:
    """A browser that nobody is signed in with."""
    return Browser(door.port)


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server."""
    async with mail_server() as box:
        yield box


@pytest.fixture
async def posting(open_door: Open, mailbox: Mailbox) -> AsyncIterator[Door]:
    """A gateway that sends letters."""
    async with open_door(SMTP_URL=mailbox.url, MAIL_FROM="sluice@example.org") as opened:
        yield opened


@pytest.fixture
async def owner(database: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """The database without the gateway's role."""
    line = await asyncpg.connect(database, ssl=False)
    yield line
    await line.close()


async def signed_in(door: Door, mailbox: Mailbox, email: str = "ann@example.org") -> Browser:
    """A browser with an account, by a letter."""
    browser = Browser(door.port)
    told = await browser.call("POST", "/web/sign-in", {"email": email})
    assert told.status == 202, told
    _, ticket = mailbox.link()
    told = await browser.call("POST", "/web/sign-in/finish", {"ticket": ticket})
    assert told.status == 200, told
    await browser.open("/account")
    return browser
