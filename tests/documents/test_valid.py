"""The document is OpenAPI 3.1, and what it says of limits and examples is right."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

from gateway.control.documents.building import OPERATIONS, build, schemas
from gateway.control.documents.origins import Origins
from gateway.control.documents.prompt import KEY_NAME, llms, meta_prompt
from gateway.control.documents.reference import FOLDER, laid_out
from gateway.control.web.texts import Texts
from gateway.products.builtin import load_catalogue
from gateway.products.catalogue import load
from gateway.products.product import Limits

CATALOGUE = load_catalogue(None)
NAMED = Origins("https", "example.org", named=True)
BARE = Origins("http", "127.0.0.1:8080", named=False)
BOTH = pytest.mark.parametrize("origins", [NAMED, BARE], ids=["hosts", "paths"])
SMALL = """
[segment]
host = "api"
path = "/v1/segment"
methods = ["GET", "POST"]
service = "segmenter"
family = "api"
counts = "free"
holds = "nothing"
usage = ["header"]
usage_fields = ["usage.tokens"]
anonymous = { rpm = 3 }
key = { rpm = 4, tpm = 5 }
premium = { rpm = 6, concurrency = 2 }
max_request_bytes = 1000
max_answer_bytes = 1000
deadline_ms = 1000
first_byte_ms = 1000
headers = ["accept"]

[limits]
free_trial_tokens = 1
max_inputs_per_request = 2
max_tokens_per_input = 3
zero_shot_max_labels = 4
few_shot_max_labels = 5
few_shot_max_classifiers = 6
deepsearch_max_attachment_bytes = 7
"""


@BOTH
def test_the_document_is_openapi(origins: Origins) -> None:
    validator = Draft202012Validator(OPENAPI_31)
    wrong = [f"{e.json_path}: {e.message[:200]}" for e in validator.iter_errors(_plain(origins))]
    assert wrong == []


@BOTH
def test_every_schema_is_one_and_every_reference_leads_somewhere(origins: Origins) -> None:
    document = _plain(origins)
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name
    for place in _references(document):
        node = document
        for part in place.removeprefix("#/").split("/"):
            node = node[part]


@BOTH
def test_every_component_is_used(origins: Origins) -> None:
    document = _plain(origins)
    used = {place.rpartition("/")[2] for place in _references(document)}
    spoken = {"ReadPage", "ChatChunk", "ExportLine"}  # of streams, which are named in words
    hosts = {name for name in document["components"]["schemas"] if name.startswith("Dash")}
    assert document["components"]["schemas"].keys() - used - spoken <= hosts


def test_names_of_operations_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


def test_limits_are_those_of_the_catalogue() -> None:
    paths = build(CATALOGUE, BARE)["paths"]
    told = {
        product: rates
        for methods in paths.values()
        for operation in methods.values()
        for product, rates in operation.get("x-rate-limits", {}).items()
    }
    assert told.keys() == CATALOGUE.products.keys()
    for name, product in CATALOGUE.products.items():
        for tier in ("anonymous", "key", "premium"):
            limits = getattr(product, tier)
            assert told[name][tier] == ("blocked" if limits is None else _rate(limits))


def test_another_catalogue_is_another_document() -> None:
    document = build(load(SMALL), BARE)
    assert "/v1/embeddings" not in document["paths"]
    segment = document["paths"]["/v1/segment"]["post"]
    assert segment["x-rate-limits"]["segment"] == {
        "anonymous": {"rpm": 3, "concurrency": 3},
        "key": {"rpm": 4, "tpm": 5, "concurrency": 4},
        "premium": {"rpm": 6, "concurrency": 2},
    }
    assert document["x-hard-limits"]["max_inputs_per_request"] == 2
    text = llms(load(SMALL), BARE)
    assert "3 requests" in text
    assert "embeddings" not in meta_prompt(load(SMALL), BARE).partition("# Products")[2]


def test_examples_satisfy_their_schemas() -> None:
    known = {"components": {"schemas": schemas()}}
    for operation in OPERATIONS:
        if operation.body is None:
            continue
        validator = Draft202012Validator({**known, **operation.body.schema})
        for example in operation.body.examples.values():
            validator.validate(example)


@BOTH
def test_nobody_elses_host_is_named(origins: Origins) -> None:
    texts = [json.dumps(_plain(origins)), llms(CATALOGUE, origins), meta_prompt(CATALOGUE, origins)]
    for text in texts:
        assert ".jina.ai" not in text
        assert "JINA_API_KEY" not in text


@BOTH
def test_the_prompt_has_rules_schemas_and_limits(origins: Origins) -> None:
    text = meta_prompt(CATALOGUE, origins)
    for word in (KEY_NAME, "Accept: application/json", "POST", "Retry-After", "EmbeddingsRequest:"):
        assert word in text
    assert f"{origins.of(['api'])[0]}/v1/embeddings" in text
    for name in CATALOGUE.products:
        assert f"- {name}: " in text


def test_llms_txt_begins_with_title_and_summary() -> None:
    lines = llms(CATALOGUE, NAMED).splitlines()
    assert lines[0].startswith("# ")
    assert lines[2].startswith("> ")
    assert any(line.startswith("- [OpenAPI 3.1](https://api.example.org/") for line in lines)


@BOTH
def test_the_reference_has_every_operation_and_schema(origins: Origins) -> None:
    data = laid_out(CATALOGUE, origins)
    shown = {each["id"] for area in data["areas"] for each in area["operations"]}
    document = _plain(origins)
    described = {
        operation["operationId"] for methods in document["paths"].values()
        for operation in methods.values()
    }  # fmt: skip
    assert shown == described
    names = {each["name"] for each in data["schemas"]}
    assert {name for name in schemas() if not name.endswith("Request")} - names == {"ErrorCode"}


def test_every_language_has_every_word_of_the_frame() -> None:
    texts = Texts(FOLDER)
    languages = [code for code, _ in texts.languages]
    assert languages == ["en", "fr", "ja", "zh"]
    english = texts.of("en")
    for code in languages[1:]:
        same = [n for n, word in texts.of(code).items() if word == english[n] and word]
        # Some words are the same in French.
        assert set(same) <= {"type", "premium"}, code


def _plain(origins: Origins) -> Any:
    """As it is sent."""
    return json.loads(json.dumps(build(CATALOGUE, origins)))


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [place for value in node.values() for place in _references(value)]
    if isinstance(node, list):
        return [place for value in node for place in _references(value)]
    return []


def _rate(limits: Limits) -> dict[str, int]:
    rate = {"rpm": limits.rpm, "concurrency": limits.concurrency}
    return rate if limits.tpm is None else {**rate, "tpm": limits.tpm}
