#!/bin/sh
# Checks the rules, their tests and the routes with promtool and amtool, which are no Python
# packages: those on PATH are taken; else, as root on Debian, the packages are fetched and unpacked
# into .tools/ (nothing is installed, nothing runs). Where they cannot be had it says so and ends
# well: `make test` has checked everything but the firing of the alerts.
# SLUICE_NEEDS_PROMTOOL=1: not to have promtool is a failure.
set -eu
cd "$(dirname "$0")/../.."
tools=$PWD/.tools/debian

say() { printf 'rules: %s\n' "$*" >&2; }

# The path of a program of a package, or nothing.
find_tool() {
    command -v "$1" && return
    if [ ! -x "$tools/usr/bin/$1" ]; then
        [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null ||
            return 0
        mkdir -p "$tools/fetched"
        (
            cd "$tools/fetched"
            fetch "$2" || { timeout 60 apt-get -qq update && fetch "$2"; }
            dpkg-deb -x "$2"_*.deb "$tools"
        ) > /dev/null 2>&1 || return 0
        rm -rf "$tools/fetched"
    fi
    # One that does not run here is none.
    ! "$tools/usr/bin/$1" --version > /dev/null 2>&1 || echo "$tools/usr/bin/$1"
}
fetch() { timeout 60 apt-get -qq -o APT::Sandbox::User=root download "$1"; }

promtool=$(find_tool promtool prometheus)
amtool=
[ -z "$promtool" ] || amtool=$(find_tool amtool prometheus-alertmanager)
if [ -z "$promtool" ]; then
    say "NOT CHECKED: there is no promtool, and the package prometheus cannot be fetched"
    [ "${SLUICE_NEEDS_PROMTOOL:-}" != 1 ] || exit 1
else
    "$promtool" check config ops/prometheus/prometheus.yml
    # What the dashboards ask is checked as if it were rules.
    .venv/bin/python -m ops.grafana.expressions > .tools/dashboards.yml
    "$promtool" check rules .tools/dashboards.yml
    (cd ops/prometheus && "$promtool" test rules tests.yml)
fi
if [ -z "$amtool" ]; then
    say "NOT CHECKED: there is no amtool, and the package prometheus-alertmanager cannot be fetched"
else
    "$amtool" check-config ops/alertmanager/alertmanager.yml
    "$amtool" config routes test --config.file=ops/alertmanager/alertmanager.yml \
        --verify.receivers=on-call severity=page alertname=SluiceDown
    "$amtool" config routes test --config.file=ops/alertmanager/alertmanager.yml \
        --verify.receivers=tickets severity=ticket alertname=SluiceSlow
fi
