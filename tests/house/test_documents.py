"""What is written for people is what the code does."""

from ops.who_pays import TARGET, render


def test_the_published_table_of_who_pays_is_the_one_the_code_uses() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run `make docs`"
