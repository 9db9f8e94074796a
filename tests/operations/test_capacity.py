"""The plan on paper: its table is that of now, and its sums are those of a person with a pencil."""

from ops.capacity import TARGET, Assumed, Plan, measured, plans, render

UNITS = {
    "redis_cpu_us": 80.0,
    "redis_in_bytes": 600.0,
    "redis_out_bytes": 150.0,
    "redis_copy_bytes": 200.0,
    "redis_full_bytes": 6_500.0,
    "postgres_cpu_us": 60.0,
    "wal_bytes": 800.0,
    "row_bytes": 220.0,
    "index_bytes": 130.0,
    "posted_bytes": 170.0,
    "spool_bytes": 160.0,
}


def test_the_table_in_the_document_is_written_from_the_sums() -> None:
    text = TARGET.read_text(encoding="utf-8")
    assert render(text) == text, "python -m ops.capacity"


def test_every_unit_was_measured() -> None:
    assert set(measured()) == set(UNITS)
    assert all(value > 0 for value in measured().values())


def test_the_sums_of_ten_thousand_requests_a_second() -> None:
    plan = Plan(10_000, UNITS, Assumed(gateway_cpu_us=150, shipped_per_s=46_000))
    assert plan.gateway_cores == 1.5
    assert plan.nodes == 3
    assert plan.redis_cores == 0.8
    assert plan.shards == 3
    assert plan.busy_keys == 20_000
    # 20,000 x 6,500 + 400,000 x 200 bytes.
    assert plan.redis_gb == 0.21
    assert plan.wal_mb_per_s == 8.0
    # 350 bytes x 10,000 x 86,400.
    assert plan.table_gb_per_day == 302.4
    assert plan.commits_per_s == 600
    assert plan.lost_with_a_disk == 200
    assert plan.ledgers == 1


def test_more_requests_never_need_less() -> None:
    small, middle, large = plans()
    for less, more in ((small, middle), (middle, large)):
        assert less.nodes <= more.nodes
        assert less.shards <= more.shards
        assert less.wal_mb_per_s < more.wal_mb_per_s
        assert less.ledgers <= more.ledgers
