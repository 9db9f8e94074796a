-- next_day_to_close: the first UTC day that is not closed; null while there is no key
select next_day_to_close() as day, (clock_timestamp() at time zone 'UTC') as now;

-- close_day: closes the next day, for ever
select close_day($1);

-- usage_export_bounds: between which moves of a key its lines from one day to another are
select coalesce((select max(upto_seq) from closed_key_day where key_id = $1 and day < $2), 0)
           as after_seq,
       case when $3 <= (select max(day) from closed_day) then
           coalesce((select max(upto_seq) from closed_key_day where key_id = $1 and day <= $3), 0)
       else (select seq from key_balance where key_id = $1) end as upto_seq;

-- usage_export: the lines of a key's export between two moves, each in its canonical form
select usage_text(l.seq, l.kind, l.request_id, l.product, l.outcome, l.rule, l.tokens,
    l.trial, l.paid, l.shortfall, l.reported_tokens, l.decided_ms, l.posted_at) as line
from usage_line l left join lateral (
    select k.day from closed_key_day k where k.key_id = l.key_id and k.upto_seq >= l.seq
    order by k.upto_seq limit 1) closed on true
where l.key_id = $1 and l.seq > $2 and l.seq <= $3
    and coalesce(closed.day, greatest((l.posted_at at time zone 'UTC')::date,
        (select max(day) + 1 from closed_day))) between $4 and $5
order by l.seq;

-- closed_key_days: the closed days of a key, each with its way to the root of the day
select to_char(k.day, 'YYYY-MM-DD') as day, k.after_seq, k.upto_seq, k.lines, k.tokens,
    k.previous, k.digest, path.hashes, path.on_the_left
from closed_key_day k, lateral (
    select coalesce(array_agg(n.hash order by n.level), '{}') as hashes,
        coalesce(array_agg(n.place % 2 = 0 order by n.level), '{}') as on_the_left
    from generate_series(0, 62) as rung (level)
    join closed_node n on n.day = k.day and n.level = rung.level
        and n.place = ((k.place >> rung.level) # 1)) path
where k.key_id = $1 and k.day between $2 and $3 order by k.day limit $4;

-- closed_days: what is published of the closed days
select to_char(day, 'YYYY-MM-DD') as day, previous, root, digest
from closed_day where day between $1 and $2 order by day limit $3;

-- note_canary: adds a round of the canary to its hour
select note_canary($1::text::jsonb);

-- canary_latest: every subject of the canary as it was seen last
select distinct on (subject) subject, last_ok as ok, last_ms as ms, last_text as text,
    (extract(epoch from last_at) * 1000)::bigint as at_ms
from canary_hour order by subject, hour desc;

-- canary_spans: what the canary saw per subject and day or hour
select subject, (extract(epoch from date_trunc($1::text, hour, 'UTC')) * 1000)::bigint as start_ms,
    sum(runs)::bigint as runs, sum(failures)::bigint as failures,
    (sum(ms_sum) / sum(runs))::bigint as mean_ms, max(ms_most) as most_ms
from canary_hour where runs > 0
    and hour >= date_trunc('day', now(), 'UTC') - ($2::integer - 1) * interval '1 day'
group by 1, 2 order by 2, 1;

-- orders_with_payments: what our orders say of their payments, for the comparison with Stripe
select payment_id, order_id::text, state, coalesce((facts ->> 'received_minor')::bigint, 0) as charge,
    refunded_minor as refund, disputed_minor as dispute,
    extract(epoch from created_at)::bigint as created_s,
    extract(epoch from changed_at)::bigint as changed_s
from topup_order where payment_id is not null and created_at >= to_timestamp($1::bigint);
