"""What takes months, for the pictures: usage by day, and the canary's history. Only SQL.

Refuses to be near a real ledger: the balances of the pictures do not add up with this usage.
"""

from typing import Final

USAGE: Final = """
insert into usage_day (key_id, day, product, requests, tokens)
select owned.key_id, (now() at time zone 'utc')::date - ago, product,
    (share * wave / 900)::bigint + 1, (share * wave)::bigint
from account_key owned,
    generate_series(1, 29) ago,
    (values ('reader', 52000), ('search', 30000), ('deepsearch', 61000), ('embeddings', 24000),
        ('rerank', 9000)) as sold (product, share),
    lateral (select case when extract(dow from now() - ago * interval '1 day') in (0, 6)
        then 0.25 else 1 end * (1.1 + sin(ago * 0.55 + share)) as wave) shape
on conflict do nothing
"""

CANARY: Final = """
insert into canary_hour (hour, subject, runs, failures, ms_sum, ms_most, last_at, last_ok, last_ms,
    last_text)
select date_trunc('hour', now()) - hours * interval '1 hour', subject, 60,
    case when hours between 300 and 304 and subject in ('search', 'deepsearch') then 41
        when hours = 1130 and subject = 'reader' then 2 else 0 end,
    60 * ms, 3 * ms, now() - hours * interval '1 hour', true, ms, ''
from generate_series(0, 89 * 24) hours,
    (values ('reader', 14), ('search', 21), ('deepsearch', 2250), ('embeddings', 17),
        ('rerank', 13), ('train', 32), ('classify_few_shot', 9), ('classify_zero_shot', 16),
        ('segment', 6), ('a failure is free', 5), ('limits limit', 4), ('revocation', 21))
    as seen (subject, ms)
where subject <> 'train' or hours < 40 * 24
on conflict do nothing
"""
