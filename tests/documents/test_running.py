"""The document is true of the gateway that runs: whatever is sent, and its examples as pasted."""

import re
import shlex
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from tests.documents import fuzz
from tests.documents.running import PATIENCE_S, Running

HTML = {"Accept": "text/html"}
MOST_PAGE_BYTES = 150_000


@pytest.fixture(scope="module")
def document(gateway: Running) -> Any:
    """The document of the bare host."""
    return requests.get(f"{gateway.base}/openapi.json", timeout=PATIENCE_S).json()


@pytest.mark.parametrize("label", ["", "dash"])
def test_whatever_is_sent_is_answered_as_the_document_says(gateway: Running, label: str) -> None:
    report = fuzz.Fuzzer(gateway, label).run(2, edges=False)
    assert report.failures == {}
    assert report.requests > 20


def test_an_answer_that_is_not_as_the_document_says_is_found(gateway: Running) -> None:
    def tampered(document: dict[str, Any]) -> None:
        key = document["components"]["schemas"]["Key"]
        del key["properties"]["tier"]
        key["required"].remove("tier")
        del document["paths"]["/v1/closed-days"]["get"]["responses"]["422"]
        for path in set(document["paths"]) - {"/v1/keys/me", "/v1/closed-days"}:
            del document["paths"][path]

    report = fuzz.Fuzzer(gateway, tampered=tampered).run(5, edges=False)
    found = {failure.partition(": ")[0] for failure in report.failures}
    assert {"GET /v1/keys/me", "GET /v1/closed-days"} <= found


def test_other_examples_work(gateway: Running, document: Any) -> None:
    owner = {"Authorization": f"Bearer {gateway.wide_key()}"}
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            # The first of each is in a command of the reference, which another test pastes.
            for name, example in list(media.get("examples", {}).items())[1:]:
                body = _near(example["value"], gateway.page)
                told = requests.request(
                    method, gateway.base + path, json=body, headers=owner, timeout=PATIENCE_S
                )
                assert told.status_code in (200, 201), (path, name, told.text)
                tried += 1
    assert tried >= 4


def test_commands_of_the_reference_work_as_pasted(gateway: Running) -> None:
    page = requests.get(f"{gateway.base}/docs", headers=HTML, timeout=PATIENCE_S).text
    commands = [
        _unescaped(found) for found in re.findall(r"<pre[^>]*><code>(curl .*?)</code>", page, re.S)
    ]
    key = gateway.wide_key()
    for command in commands:
        if "DELETE" in command or "01a1f936" in command or "b2c1f0de" in command:
            continue  # for ever, or of a thing that only its owner has
        told = _pasted(command.replace("$SLUICE_API_KEY", key), gateway.page)
        assert told.status_code in (200, 201), (command, told.text)
    assert len(commands) > 25


def test_pages_read_in_every_form(gateway: Running) -> None:
    owner = {"Authorization": f"Bearer {gateway.wide_key()}"}
    for form in ("text/plain", "application/json", "text/event-stream"):
        accept = {**owner, "Accept": form}
        told = requests.get(f"{gateway.base}/r/{gateway.page}", headers=accept, timeout=PATIENCE_S)
        assert told.headers["content-type"].startswith(form)
        url = f"{gateway.base}/s/search?q=sluice&num=2"
        told = requests.get(url, headers=accept, timeout=PATIENCE_S)
        assert told.headers["content-type"].startswith(form)


@pytest.mark.parametrize("label", ["api", "dash"])
def test_on_a_named_host_the_servers_are_hosts(gateway: Running, label: str) -> None:
    host = {"Host": f"{label}.example.net", "X-Forwarded-Proto": "https"}
    told = requests.get(f"{gateway.base}/openapi.json", headers=host, timeout=PATIENCE_S)
    assert told.headers["content-type"] == "application/json"
    shown = told.json()
    assert shown["servers"] == [{"url": "https://api.example.net"}]
    read = shown["paths"]["/{url}"]["get"]["servers"]
    assert read == [{"url": "https://r.example.net"}]
    text = requests.get(f"{gateway.base}/llms.txt", headers=host, timeout=PATIENCE_S).text
    assert "https://deepsearch.example.net/v1/chat/completions" in text


def test_what_chance_does_not_find_is_as_the_document_says(gateway: Running) -> None:
    """Things of one's own: what is asked for by an id, or needs two keys or a pack."""
    key, other = gateway.wide_key(), gateway.wide_key()
    ask = _Asking(gateway, {"Authorization": f"Bearer {key}"})
    moved = ask("POST", "/v1/keys/me/transfer", "Transfer", {"to_api_key": other, "tokens": 5})
    assert moved["moved_tokens"] == 5
    examples = [{"text": "late parcel", "label": "a"}, {"text": "wrong bill", "label": "b"}]
    body = {"model": "jina-embeddings-v3", "input": examples}
    trained = ask("POST", "/v1/train", "Trained", body)
    place = f"/v1/classifiers/{trained['classifier_id']}"
    ask("GET", place, "Classifier")
    few = {"classifier_id": trained["classifier_id"], "input": ["a parcel"]}
    ask("POST", "/v1/classify", "Classifications", few)
    ask("GET", f"/v1/requests/{ask.request_id}", "RequestRecord")
    ask("DELETE", place, "DeletedClassifier")
    question = {"messages": [{"role": "user", "content": "Hi"}], "budget_tokens": 1_000}
    ask("POST", "/v1/chat/completions", "Chat", question)
    ask("GET", f"/v1/requests/{ask.request_id}/trace", "Trace")
    pack = ask("GET", "/v1/billing/packs", "Packs")["items"][0]
    words = {"pack": pack["pack"], "currency": next(iter(pack["prices"]))}
    ask("POST", "/v1/billing/checkout", "Checkout", words)
    assert ask("GET", "/v1/billing/orders", "Orders")["items"]
    dash = _Asking(gateway, {"Host": "dash.localhost", "Authorization": f"Bearer {key}"})
    dash("GET", f"/api/v1/api_key/user?api_key={key}", "DashUser")
    dash("GET", f"/api/v1/api_key/fe_user?api_key={key}", "DashUser")
    price = {"price_id": f"{words['pack']}.{words['currency']}"}
    dash("POST", "/api/v1/checkout_session", "DashCheckout", price)


@pytest.mark.parametrize("language", ["en", "zh", "ja", "fr"])
def test_the_reference_is_one_small_page_without_scripts_of_others(
    gateway: Running, language: str
) -> None:
    url = f"{gateway.base}/docs?lang={language}"
    told = requests.get(url, headers={**HTML, "Accept-Encoding": "identity"}, timeout=PATIENCE_S)
    assert told.status_code == 200
    assert len(told.content) <= MOST_PAGE_BYTES
    assert f'<html lang="{language}">' in told.text
    assert not re.search(r"<script[^>]+src=\"(?!/static/)", told.text)
    ids = set(re.findall(r' id="([^"]+)"', told.text))
    assert set(re.findall(r'href="#([^"]+)"', told.text)) <= ids
    assert len(ids) == len(re.findall(r' id="([^"]+)"', told.text))


def test_security_txt_names_whom_to_tell(gateway: Running) -> None:
    url = f"{gateway.base}/.well-known/security.txt"
    told = requests.get(url, timeout=PATIENCE_S)
    assert told.text.startswith("Contact: mailto:us@example.org\nExpires: 20")


def _near(body: Any, page: str) -> Any:
    """Examples name a public page; here one of our own is read."""
    if isinstance(body, dict) and body.get("url") == "https://example.com/":
        return {**body, "url": page}
    return body


def _unescaped(text: str) -> str:
    for entity, mark in (("&#39;", "'"), ("&#34;", '"'), ("&gt;", ">"), ("&lt;", "<")):
        text = text.replace(entity, mark)
    return text.replace("&amp;", "&")


def _pasted(command: str, page: str) -> requests.Response:
    """What curl would send."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["curl", "-sS"]
    method, headers, body, url = "GET", {}, None, ""
    rest = iter(words[2:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest).replace("https://example.com/", page).encode()
        else:
            url = word.replace("https://example.com/", page)
    return requests.request(method, url, headers=headers, data=body, timeout=PATIENCE_S)


class _Asking:
    """Asks, and holds the answer against a closed schema of the document."""

    def __init__(self, gateway: Running, headers: dict[str, str]) -> None:
        self.request_id = ""
        self._base, self._headers = gateway.base, headers
        host = {"Host": headers["Host"]} if "Host" in headers else {}
        url = f"{gateway.base}/openapi.json"
        self._document = fuzz.closed(requests.get(url, headers=host, timeout=PATIENCE_S).json())

    def __call__(self, method: str, path: str, schema: str, body: Any = None) -> Any:
        told = requests.request(
            method, self._base + path, json=body, headers=self._headers, timeout=PATIENCE_S
        )
        assert told.status_code == 200, (path, told.text)
        self.request_id = told.headers["x-request-id"]
        components = {"components": self._document["components"]}
        whole = {**components, "$ref": f"#/components/schemas/{schema}"}
        Draft202012Validator(whole).validate(told.json())
        return told.json()
