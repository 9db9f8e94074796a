"""A key that is planted everywhere a client can put it is nowhere to be read afterwards.

Everything runs as it does for a user: servers, services, gateways, worker. Read are what they
print, every file of the data folder (spool, caches, metrics, logs and the pages of PostgreSQL and
Redis themselves), and every row of every table as text.
"""

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded.postgres_server import PostgresServer
from tests.commands.sluice import Up, up

HEADERS = (
    "Authorization",
    "Cookie",
    "Idempotency-Key",
    "Origin",
    "Prefer",
    "Referer",
    "traceparent",
    "tracestate",
    "User-Agent",
    "X-Api-Key",
    "X-Forwarded-For",
    "X-Max-Charge",
    "X-Request-Id",
    "X-Return-Format",
    "X-Timeout",
)
EMBEDDINGS = "/v1/embeddings"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a short path, removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="sluice-key-"))
    made.chmod(0o755)
    yield made / "data"
    shutil.rmtree(made)


class Client:
    """Asks the front door and the operations listener; remembers what it was told."""

    def __init__(self, running: Up) -> None:
        self._running = running
        self.asked: list[tuple[int, str, str]] = []

    def ask(
        self,
        method: str,
        path: str,
        *,
        host: str = "api.localhost",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        ops: bool = False,
    ) -> tuple[int, str]:
        """Status and text of one answer."""
        port = self._running.ops_port if ops else self._running.port
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            line.request(method, path, body, {"Host": host, **(headers or {})})
            reply = line.getresponse()
            text = reply.read().decode(errors="replace")
            self.asked.append((reply.status, f"{method} {host}{path} {headers}", text[:300]))
            return reply.status, text
        finally:
            line.close()

    def raw(self, sent: str) -> None:
        """Bytes that may be no request."""
        with socket.create_connection(("127.0.0.1", self._running.port), 10) as line:
            line.sendall(sent.encode("latin-1"))
            line.shutdown(socket.SHUT_WR)
            while line.recv(65_536):
                pass


def _plant(client: Client, key: str, page: str, admin: str) -> None:
    bearer = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    text = json.dumps({"model": "jina-embeddings-v3", "input": ["a text"], "api_key": key})
    _in_headers(client, key, text)
    _in_targets(client, key, page)
    for body in (text, text[:-1], f'"{key}', json.dumps({"input": [{"text": key}], key: key})):
        client.ask("POST", EMBEDDINGS, headers=bearer, body=body)
        client.ask("POST", "/v1/classify", headers=bearer, body=body)
        client.ask("POST", "/v1/chat/completions", headers=bearer, body=body)
        client.ask("DELETE", "/v1/keys/me", headers={"Authorization": "Bearer no"}, body=body)
    named = {**bearer, "Idempotency-Key": key[:200]}
    for _ in range(2):
        client.ask("POST", EMBEDDINGS, headers=named, body=text)
    moved = json.dumps({"transfer_to_api_key": key, "to_api_key": key, "tokens": 1})
    client.ask("POST", "/v1/keys/me/transfer", headers=bearer, body=moved)
    client.ask("DELETE", "/v1/keys/me", headers=bearer, body=moved)
    client.ask("POST", "/web/session", host="localhost", body=json.dumps({"api_key": key}))
    client.ask("GET", f"/admin/keys?query={key}", ops=True, headers=bearer)
    client.ask(
        "GET", f"/admin/keys?query={key}", ops=True, headers={"Authorization": f"Bearer {admin}"}
    )
    client.raw(f"GET /{key} HTTP/9.9\r\nAuthorization: Bearer {key}\r\n\r\n")
    client.raw(f"{key}\r\n\r\n")
    client.raw(f"GET / HTTP/1.1\r\n{key}\r\n\r\n")
    client.raw(
        f"POST {EMBEDDINGS} HTTP/1.1\r\nHost: {key}.localhost\r\nContent-Length: 9\r\n\r\n{key}"
    )


def _in_headers(client: Client, key: str, text: str) -> None:
    for name in HEADERS:
        for value in (key, f"Basic {key} {key}", key[:-1] + "!"):
            headers = {"Authorization": f"Bearer {key}", name: value}
            client.ask("POST", EMBEDDINGS, headers=headers, body=text)


def _in_targets(client: Client, key: str, page: str) -> None:
    for path, host in (
        (f"/{page}?_token={key}", "r.localhost"),
        (f"/{page}?a=b&_token={key}&c=d", "r.localhost"),
        (f"/{page}?_token=Bearer%20{key}", "r.localhost"),
        (f"/?q=word&_token={key}", "s.localhost"),
        (f"/nothing/{key}?api_key={key}", "api.localhost"),
        (f"/v1/requests/{key}", "api.localhost"),
        (f"/v1/requests/{key}/trace", "api.localhost"),
        (f"/api/v1/api_key/user?api_key={key}", "dash.localhost"),
        (f"/api/v1/api_key/user?api_key={key}x", "dash.localhost"),
        (f"/sign-in?token={key}", "dash.localhost"),
    ):
        client.ask("GET", path, host=host)
    for body in (json.dumps({"url": page, "_token": key}), f"url={page}&_token={key}"):
        client.ask("POST", "/", host="r.localhost", body=body)


async def _rows(dsn: str) -> str:
    line = await asyncpg.connect(dsn, ssl=False)
    try:
        tables = await line.fetch(
            "select c.oid::regclass::text as name from pg_class c where relkind in ('r', 'p') "
            "and relnamespace not in ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)"
        )
        found = [await line.fetch(f"select t::text from {table['name']} t") for table in tables]
    finally:
        await line.close()
    return "\n".join(row[0] for rows in found for row in rows)


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        # Segments of the spool go as soon as they are posted.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield path, path.read_bytes()


async def test_a_planted_key_is_nowhere_to_be_read(folder: Path) -> None:
    env = {"LOG_FORMAT": "json", "ACCESS_LOG": "1", "WORKERS": "1", "CANARY_EVERY_MS": "0"}
    with up(folder, env=env) as running:
        client = Client(running)
        status, minted = client.ask("POST", "/v1/keys")
        assert status == 201
        key = json.loads(minted)["api_key"]
        page = running.curls()[0][-1].partition("/r/")[2] or "https://example.com/"
        _plant(client, key, page, (folder / "admin-token").read_text().strip())
        places = {Path("then") / path.relative_to(folder): b for path, b in _files(folder)}
        time.sleep(1)
        rows = await _rows(PostgresServer(folder).dsn)
        assert running.stop() == 0
        told = list(running.spoken.queue)
    assert {200, 400, 401, 404} <= {status for status, _, _ in client.asked}
    places |= dict(_files(folder))
    places |= {Path("output"): "\n".join(told).encode(), Path("rows"): rows.encode()}
    secret = key.removeprefix("sluice_").encode()
    for part in (secret[:24], secret[24:48]):
        assert [str(place) for place, content in places.items() if part in content] == []
    lines = [json.loads(line) for line in told if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "sluice.access"]
    assert len(access) > 60
    assert {"time", "level", "process", "message", "request_id", "ms"} <= set(access[0])
    assert {line["process"] for line in lines} >= {"gateway-0"}
    assert key[-4:] in rows
    assert any("spool" in place.parts and content for place, content in places.items())
    assert [asked for asked in client.asked if asked[0] >= 500] == []
