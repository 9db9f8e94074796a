"""Writes ops/who-pays.md from the table that the code uses.

`make docs` runs it, a test compares.
"""

from pathlib import Path

from gateway.metering.outcomes import WHO_PAYS

TARGET = Path(__file__).with_name("who-pays.md")
_HEAD = """# Who pays

Written by `make docs` from `gateway/metering/outcomes.py`, the table that the code uses. `0` is a
value, and nothing reported is not `0`. A request that the gateway refuses (400, 401, 402, 413, 429,
503) is not charged and counts for nothing. One that the gateway tried again is charged once, for
the attempt that was delivered. The name is what `GET /v1/requests/{id}` and the metrics call it.

| how it ended | name | charged | counts for requests/min | counts for tokens/min |
|---|---|---|---|---|
"""


def render() -> str:
    """The document."""
    rows = []
    for outcome, ending in WHO_PAYS.items():
        requests = "yes" if ending.counts_rpm else "no"
        tokens = "what was used" if ending.counts_tpm else "0"
        charged = ending.charge.value
        rows.append(f"| {ending.text} | `{outcome.value}` | {charged} | {requests} | {tokens} |")
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
