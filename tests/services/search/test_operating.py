"""What operators do to the index of a running service; and the setting that keeps pages."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.settings import SettingsError, load
from services.signing import sign
from tests.services.asking import SECRET, Answer, Asker
from tests.services.processes import ROOT, environment, free_port, service
from tests.services.search.standins import Standin, row, searxng
from tests.services.site import Site

JSON = {"Accept": "application/json"}


async def operate(
    asker: Asker, method: str, path: str, document: Any = None, subject: str = "o:index"
) -> Answer:
    """Asks as `sluice index` does."""
    body = b"" if document is None else orjson.dumps(document)
    stamp, request_id = str(time.time_ns() // 1_000_000), str(uuid.uuid4())
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "x-request-id": request_id,
        "x-sluice-time": stamp,
        "x-sluice-subject": subject,
        "x-sluice-body": digest,
        "x-sluice-signature": sign(
            SECRET.encode(),
            method=method,
            path_with_query=path,
            body_digest=digest,
            request_id=request_id,
            time_ms=stamp,
            subject=subject,
        ),
    }
    return await asker.raw(method, path, headers, body)


async def test_added_documents_are_found_at_once_and_removed_ones_not(
    local: Asker, site: Site
) -> None:
    before = (await operate(local, "GET", "/stats")).json
    documents = [
        {"url": "file://handbook/a.md", "title": "Sills", "content": "The quoinpost stands."},
        {"url": "file://handbook/b.html", "html": "<title>B</title><p>A quoinpost of oak.</p>"},
        {"url": f"{site.origin}/page/article"},
        {"url": f"{site.origin}/missing-empty"},
        {"url": "http://10.0.0.1/private"},
        {"url": "file://handbook/empty.md", "content": "  "},
    ]
    answer = await operate(local, "POST", "/documents", {"documents": documents})
    assert answer.status == 200
    assert answer.void
    assert answer.json == {
        "added": 3,
        "failed": [
            f"{site.origin}/missing-empty",
            "http://10.0.0.1/private",
            "file://handbook/empty.md",
        ],
    }
    after = (await operate(local, "GET", "/stats")).json
    assert after["documents"] == after["indexed"] == before["documents"] + 3
    found = (await local.get("/quoinpost", JSON)).json["data"]
    assert {hit["url"] for hit in found} == {documents[0]["url"], documents[1]["url"]}
    assert "The quoinpost stands." in {hit["content"] for hit in found}
    removed = {"urls": [f"{site.origin}/page/article"], "prefixes": ["file://handbook"]}
    assert (await operate(local, "POST", "/remove", removed)).json == {"removed": 3}
    assert (await local.get("/quoinpost", JSON)).status == 422
    assert (await operate(local, "GET", "/stats")).json["documents"] == before["documents"]


async def test_page_in_the_index_is_read_again_and_its_copy_stands_in(
    local: Asker, site: Site
) -> None:
    live, gone = f"{site.origin}/words/30", f"{site.origin}/silent"
    rows = [
        {"url": live, "title": "Ferrule", "content": "ferrule as it was", "date": "2020-01-01"},
        {"url": gone, "title": "Ferrule", "content": "ferrule as it was"},
    ]
    await operate(local, "POST", "/documents", {"documents": rows})
    # Content that was brought is kept as it is; only what the reader read is read again.
    found = (await local.get("/ferrule", JSON)).json["data"]
    assert {hit["content"] for hit in found} == {"ferrule as it was"}
    assert {hit.get("date") for hit in found} == {"2020-01-01", None}
    await operate(local, "POST", "/remove", {"urls": [live, gone]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"documents": "x"},
        {"documents": [{}]},
        {"documents": [{"url": 5}]},
        {"documents": [{"url": "a", "content": 5}]},
        {"documents": [{"url": "a"}] * 1001},
    ],
)
async def test_wrong_documents_are_refused(local: Asker, document: Any) -> None:
    assert (await operate(local, "POST", "/documents", document)).status == 400


async def test_no_client_of_the_gateway_reaches_the_index(local: Asker) -> None:
    for subject in ("k:1", "a:127.0.0.1"):
        # To them it is a search for the word.
        wanted = {"prefixes": ["https://docs.localhost"], "urls": ["https://docs.localhost/readme"]}
        answer = await operate(local, "POST", "/remove", wanted, subject)
        assert "removed" not in answer.text[:20]
    assert (await operate(local, "GET", "/nothing")).status == 404
    assert (await local.get("/sliding%20window")).status == 200


async def test_pages_of_searches_are_kept_where_the_setting_says_so(
    reader: Asker, site: Site, standin: Standin, tmp_path: Path
) -> None:
    standin.answers["/searxng keep"] = searxng(
        row(f"{site.origin}/page/article", "From the provider"), row(f"{site.origin}/missing")
    )
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_DATA_DIR": str(tmp_path),
        "SLUICE_SERVICE_READER_URL": reader.base,
        "SLUICE_SEARCH_URL": f"{standin.base}/searxng",
        "SLUICE_SEARCH_KEEP_PAGES": "yes",
    }
    with service("search", listen, settings):
        search = Asker(f"http://{listen}")
        kept = "/lock%20chamber?provider=local"
        await search.get("/keep", {"X-Target-Selector": "h1", **JSON})
        await search.get("/keep", {"DNT": "1", **JSON})
        await asyncio.sleep(0.3)
        assert "article" not in (await search.get(kept, JSON)).text
        await search.get("/keep", JSON)
        until = time.monotonic() + 60
        while "/page/article" not in (found := await search.get(kept, JSON)).text:
            assert time.monotonic() < until
        assert found.json["data"][0]["url"] == f"{site.origin}/page/article"
        stats = (await operate(search, "GET", "/stats")).json
        assert [one["documents"] for one in stats["origins"] if one["origin"] == "page"] == [1]


def test_service_is_ready_soon_and_stops_cleanly(tmp_path: Path) -> None:
    settings = {"SLUICE_DATA_DIR": str(tmp_path)}
    for _ in range(2):
        with service("search", f"unix:{tmp_path}/s.sock", settings) as process:
            # The promise is 1.5 s. What it worked for it is the same beside other tests; what it
            # waited is not.
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            assert ticks / os.sysconf("SC_CLK_TCK") < 1.5
        assert process.returncode == 0


def test_second_service_on_the_same_folder_says_why_it_ends(local: Asker, tmp_path: Path) -> None:
    assert local.socket is not None
    folder = str(Path(local.socket).parent)
    process = subprocess.run(
        [sys.executable, "-m", "services.search", "--listen", f"unix:{tmp_path}/x.sock"],
        env=environment({"SLUICE_DATA_DIR": folder}),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert process.returncode == 2
    assert "another process has the index" in process.stderr.decode()
    assert "Traceback" not in process.stderr.decode()


def test_wrong_settings_are_all_named() -> None:
    wrong = {
        "SLUICE_SEARCH_URL": "ftp://x",
        "SLUICE_SEARCH_PROVIDERS": "brave,altavista",
        "SLUICE_SEARCH_KEEP_PAGES": "perhaps",
        "SLUICE_SERVICE_READER_URL": "reader",
        "SLUICE_SEARCH_TIMEOUT_MS": "never",
    }
    with pytest.raises(SettingsError) as caught:
        load({"SLUICE_INTERNAL_SECRET": SECRET, **wrong})
    for name in wrong:
        assert any(name in mistake for mistake in caught.value.mistakes), name
    assert len(caught.value.mistakes) == 6


def test_providers_are_those_that_are_set_else_the_local_index() -> None:
    def order(**settings: str) -> tuple[str, ...]:
        named = {f"SLUICE_SEARCH_{name}": value for name, value in settings.items()}
        return load({"SLUICE_INTERNAL_SECRET": SECRET, **named}).search.providers

    assert order() == ("local",)
    assert order(URL="http://x/search") == ("searxng",)
    assert order(URL="http://x", BRAVE_KEY="k", SERPER_KEY="k") == ("serper", "brave", "searxng")
    assert order(PROVIDERS="arxiv, local") == ("arxiv", "local")


def test_secrets_of_providers_are_not_shown() -> None:
    settings = load({"SLUICE_INTERNAL_SECRET": SECRET, "SLUICE_SEARCH_BRAVE_KEY": "very-secret"})
    assert "very-secret" not in repr(settings)
