"""Asks a running gateway what its OpenAPI document allows, and what it does not, with schemathesis.

    python -m tests.documents.fuzz 100

starts `sluice up` beside a stand-in for Stripe and asks every operation so many times in both
modes, and what schemathesis takes for the edges of each schema besides. Every answer must have a
documented status, content type, headers and schema, closed against fields that are not in it;
nothing may be answered with a 5xx. The reports, of a bare host and of dash., are JSON on stdout.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from tests.documents.running import Running, running

SEED = 20261120
CHECKED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
PATIENCE_S = 60
# A deepsearch that is given all it may ask for works for minutes.
BUDGET_TOKENS = 2_000
OPTIONS_AT_ONCE = 3
# Their answers end the key that asks, so each gets one of its own.
DEADLY = frozenset({"revoke_key"})
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


Tamper = Callable[[dict[str, Any]], object]


@dataclass
class Report:
    """What was asked and what was wrong; `failures` has each kind once, with how to repeat it."""

    requests: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every answer closed: a field that it does not name is a difference."""
    for name, schema in document["components"]["schemas"].items():
        if not name.endswith("Request"):
            for node in _objects(schema):
                node.setdefault("additionalProperties", False)
    return document


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "object" and "required" in node:
            yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)


class Fuzzer:
    """Sends cases to one gateway with a key that has wide limits, and notes what comes back."""

    def __init__(self, gateway: Running, label: str = "", tampered: Tamper | None = None) -> None:
        load_all_checks()
        self.report = Report()
        self._gateway = gateway
        self._label = label
        self._session = requests.Session()
        self._key = gateway.wide_key()
        self._checks: list[Any] = [CHECKS.get_one(name) for name in CHECKED]
        self._host = {"Host": f"{label}.localhost"} if label else {}
        url = f"{gateway.base}/openapi.json"
        document = self._session.get(url, headers=self._host, timeout=PATIENCE_S).json()
        if tampered is not None:
            tampered(document)
        self._schema = schemathesis.openapi.from_dict(closed(document))

    def run(self, examples: int, *, edges: bool) -> Report:
        """Every operation in both modes, so many examples each."""
        report, began = self.report, time.monotonic()
        for result in self._schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation, started = result.ok(), time.monotonic()
            if not self._is_here(operation):
                continue
            for mode in MODES:
                self._by_chance(operation, mode, examples)
            if edges:
                self._edges(operation)
            report.slowest[operation.label] = round(time.monotonic() - started, 1)
        report.slowest = dict(sorted(report.slowest.items(), key=lambda each: -each[1])[:5])
        report.seconds = round(time.monotonic() - began, 1)
        return report

    def _is_here(self, operation: Any) -> bool:
        """With a label only what is on that host and on no other."""
        servers = [each["url"] for each in operation.definition.raw.get("servers", ())]
        return not self._label or servers == [f"http://{self._label}.localhost"]

    def _by_chance(self, operation: Any, mode: GenerationMode, examples: int) -> None:
        @seed(SEED)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def asked(case: Case[Any]) -> None:
            self._send(case)

        try:
            asked()
        except Unsatisfiable:
            # What takes nothing cannot be given something wrong.
            return

    def _edges(self, operation: Any) -> None:
        config = self._schema.config.generation_for(operation=operation)
        cases = self._schema.iter_coverage_cases(
            operation, generation_modes=MODES, generation_config=config
        )
        for case in cases:
            self._send(case)

    def _send(self, case: Case[Any]) -> None:
        label = case.operation.label
        _bounded(case, self._gateway.page)
        deadly = case.operation.definition.raw.get("operationId") in DEADLY
        key = self._gateway.wide_key() if deadly else self._key
        self.report.requests += 1
        try:
            response = case.call(
                base_url=self._gateway.base,
                session=self._session,
                headers={**self._host, "Authorization": f"Bearer {key}"},
                timeout=PATIENCE_S,
            )
            self.report.statuses[f"{label} {response.status_code}"] += 1
            if response.status_code >= 500:
                self._note(case, f"{response.status_code} {response.text[:200]}")
            case.validate_response(response, checks=self._checks)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._note(case, _told(failure))
        except Failure as failure:
            self._note(case, _told(failure))
        except requests.RequestException as fault:
            self._note(case, f"no answer: {type(fault).__name__} {fault}"[:200])

    def _note(self, case: Case[Any], what: str) -> None:
        self.report.failures.setdefault(
            f"{case.operation.label}: {what}", case.as_curl_command()[:2_000]
        )


def _bounded(case: Case[Any], page: str) -> None:
    """What would work for minutes is made to work for seconds, and some of it to succeed.

    With all its options at once no page is ever read, so a few are kept; nobody outside is asked.
    """
    label = case.operation.label
    if label.endswith("/v1/chat/completions") and isinstance(case.body, dict):
        case.body["budget_tokens"] = BUDGET_TOKENS
    if not label.partition(" ")[2].startswith(("/r/", "/s/")):
        return
    chance = random.Random(f"{case.headers!r}{case.body!r}")
    options = sorted(name for name in case.headers if name.lower().startswith("x-"))
    for name in chance.sample(options, max(0, len(options) - OPTIONS_AT_ONCE)):
        del case.headers[name]
    if isinstance(case.body, dict):
        fields = sorted(case.body.keys() - {"q", "url", "html"})
        for name in chance.sample(fields, max(0, len(fields) - OPTIONS_AT_ONCE)):
            del case.body[name]
    if chance.random() < 0.5:
        if "url" in case.path_parameters:
            case.path_parameters["url"] = page
        elif isinstance(case.body, dict) and "/r/" in label:
            case.body = {**case.body, "url": page}


def _told(failure: BaseException) -> str:
    title = getattr(failure, "title", type(failure).__name__)
    return f"{title}: {getattr(failure, 'message', failure)}"[:600]


def main() -> None:
    """The command."""
    examples, edges = int(sys.argv[1]), "--edges" in sys.argv
    with (
        tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as folder,
        running(Path(folder) / "data") as gateway,
    ):
        reports = [Fuzzer(gateway, label).run(examples, edges=edges) for label in ("", "dash")]
    told = [vars(report) for report in reports]
    sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    sys.exit(1 if any(report.failures for report in reports) else 0)


if __name__ == "__main__":
    main()
