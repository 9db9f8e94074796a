"""Alert rules as far as Python can tell; `make rules` fires each of them with promtool."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from ops.grafana.expressions import expressions
from ops.grafana.pages import files
from tests.control.rig import Door
from tests.house.tree import ROOT
from tests.operations.promql import declared, selected, wrong_in

RULES = ROOT / "ops/prometheus"
HEADING = re.compile(r"^### (Sluice[A-Za-z]+)$", re.MULTILINE)
SEVERITIES = {"page", "ticket"}


def _rules(name: str) -> list[dict[str, Any]]:
    groups = _read(RULES / name)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _recorded() -> dict[str, set[str]]:
    """Each recorded series with the labels that its outermost sum keeps."""
    found = {}
    for rule in _rules("recording.yml"):
        by = re.search(r"by \(([^)]*)\)", rule["expr"])
        assert by is not None, rule
        found[rule["record"]] = {each.strip() for each in by[1].split(",")} - {"le"}
    return found


def test_rules_and_dashboards_name_only_metrics_and_labels_that_there_are() -> None:
    recorded = _recorded()
    places = {
        **{rule["record"]: rule["expr"] for rule in _rules("recording.yml")},
        **{rule["alert"]: rule["expr"] for rule in _rules("alerts.yml")},
        **{f"{place} {number}": text for number, (place, text) in enumerate(expressions())},
    }
    wrong = {place: wrong_in(text, recorded) for place, text in places.items()}
    assert {place: told for place, told in wrong.items() if told} == {}


async def test_every_metric_that_is_declared_is_on_the_metrics_of_a_running_gateway(
    door: Door,
) -> None:
    text = (await door.ops("GET", "/metrics", token=None)).text
    shown = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
    }
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in declared()}
    assert plain == shown


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    asked = [text for _, text in expressions()]
    asked += [rule["expr"] for name in ("recording.yml", "alerts.yml") for rule in _rules(name)]
    named = {re.sub(r"_(bucket|sum|count)$", "", n) for text in asked for n, _ in selected(text)}
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in declared()}
    assert plain - named == set()


def test_every_alert_says_how_bad_it_is_and_where_the_runbook_tells_what_to_do() -> None:
    headings = HEADING.findall((ROOT / "ops/runbook.md").read_text(encoding="utf-8"))
    assert len(headings) == len(set(headings))
    named = []
    for rule in _rules("alerts.yml"):
        assert rule["labels"]["severity"] in SEVERITIES, rule
        assert 10 < len(rule["annotations"]["summary"]) < 100, rule
        named.append(rule["annotations"]["runbook"])
    assert sorted(named) == sorted(headings)


def test_the_runbook_says_the_same_severity_as_the_rule() -> None:
    text = (ROOT / "ops/runbook.md").read_text(encoding="utf-8")
    for rule in _rules("alerts.yml"):
        _, _, section = text.partition(f"\n### {rule['annotations']['runbook']}\n")
        assert section.startswith(f"{rule['labels']['severity']}. "), rule["alert"]


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_clears() -> None:
    fired, cleared = set(), set()
    for test in _read(RULES / "tests.yml")["tests"]:
        for asked in test["promql_expr_test"]:
            assert asked["expr"].startswith('ALERTS{alertstate="firing"')
            told = [re.search(r'alertname="(\w+)"', one["labels"]) for one in asked["exp_samples"]]
            if told:
                assert [each is not None and each[1] for each in told] == [test["name"]]
                fired.add(test["name"])
            elif test["name"] in fired:
                cleared.add(test["name"])
    alerts = {rule["alert"] for rule in _rules("alerts.yml")}
    assert fired == cleared == alerts


def test_the_rules_that_are_loaded_are_those_that_are_tested() -> None:
    config, tests = _read(RULES / "prometheus.yml"), _read(RULES / "tests.yml")
    assert config["rule_files"] == tests["rule_files"]
    assert {path.name for path in RULES.glob("*.yml")} == {
        *config["rule_files"],
        "prometheus.yml",
        "tests.yml",
    }


def test_every_alert_that_is_inhibited_or_inhibits_is_one_of_ours() -> None:
    alerts = {rule["alert"] for rule in _rules("alerts.yml")}
    example = _read(ROOT / "ops/alertmanager/alertmanager.yml")
    for rule in example["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            name, operator, text = matcher.split(" ", 2)
            assert (name, operator in ("=", "=~")) == ("alertname", True)
            for part in text.strip('"').split("|"):
                assert any(re.fullmatch(part, alert) for alert in alerts), part
    receivers = {each["name"] for each in example["receivers"]}
    routes = example["route"]["routes"]
    assert {example["route"]["receiver"], *(each["receiver"] for each in routes)} == receivers


def test_the_dashboards_are_those_that_the_code_draws() -> None:
    assert set((ROOT / "ops/grafana").glob("*.json")) == set(files())
    for path, content in files().items():
        assert path.read_text(encoding="utf-8") == content, "run `make dashboards`"


def test_the_check_without_promtool_says_so_and_fails_only_where_it_must(tmp_path: Path) -> None:
    """A machine with neither promtool nor apt: nothing on PATH but a shell's own needs."""
    for name in ("sh", "dirname", "id", "mkdir", "rm"):
        (tmp_path / name).symlink_to(Path("/usr/bin") / name)
    script = tmp_path / "ops/prometheus/check.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes((RULES / "check.sh").read_bytes())
    script.chmod(0o755)
    for needs, code in (("", 0), ("1", 1)):
        done = subprocess.run(
            ["/bin/sh", str(script)],
            env={"PATH": str(tmp_path), "SLUICE_NEEDS_PROMTOOL": needs},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, "NOT CHECKED" in done.stderr) == (code, True), done.stderr
