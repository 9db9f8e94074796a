"""What `sluice up` prints when it is ready: addresses, a key, three commands to paste."""

from collections.abc import Sequence
from pathlib import Path


def addresses(door: str, operations: str, data_dir: Path, domain: str) -> Sequence[str]:
    """Where everything is."""
    return (
        "",
        f"  front door   {door}   (also by host: r.{domain}, api.{domain}, ...)",
        f"  operations   {operations}/metrics   (admin token: {data_dir / 'admin-token'})",
        f"  data         {data_dir}",
    )


def commands(door: str, key: str, page: str, failing_page: str) -> Sequence[str]:
    """Three lines of curl that work as pasted."""
    # Double quotes: where there is no fresh key, the shell shall put in the one of the customer.
    bearer = f'-H "Authorization: Bearer {key}"'
    return (
        "",
        "A page as Markdown; x-usage-tokens says what it cost:",
        f"  curl -sS -i {bearer} '{door}/r/{page}'",
        "The balance has fallen by exactly that:",
        f"  curl -sS {bearer} '{door}/v1/keys/me'",
        "A page that fails, and costs nothing:",
        f"  curl -sS -i {bearer} '{door}/r/{failing_page}'",
        "",
        "Ctrl-C stops everything.",
    )


def fresh_key(key: str) -> Sequence[str]:
    """The key that was just minted."""
    return ("", f"  trial key    {key}   (shown this once)")


def no_fresh_key(reason: str) -> Sequence[str]:
    """Why there is none this time, and what to do."""
    return ("", f"  no new trial key ({reason}): export KEY=<one printed earlier>")
