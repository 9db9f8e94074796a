-- check_frame: how many differences the check between the brackets finds, and the first of them
select count(*) over () as differences, difference.* from (:check) difference
where $1::timestamptz is not null limit $2

-- chain_has_no_gap: every move of a key follows the one before it
select key_id, seq, before_seq, source from (
    select key_id, seq, source, lag(seq) over (partition by key_id order by seq) as before_seq
    from key_move where posted_at >= $1::timestamptz and month >= ($1::timestamptz - interval '32 days')::date) m
where seq > coalesce(before_seq + 1, case when $1::timestamptz = '-infinity' then 1 else seq end)

-- chain_has_no_fork: no two moves of a key have the same place
select key_id, seq, count(*) as moves, min(source) as source
from key_move where posted_at >= $1::timestamptz and month >= ($1::timestamptz - interval '32 days')::date
group by key_id, seq having count(*) > 1

-- chain_steps_are_right: what a move left is what was there before plus its step
select key_id, seq, before_trial, trial_step, trial_after, before_paid, paid_step, paid_after
from (
    select *, lag(trial_after, 1, first_trial) over w as before_trial,
        lag(paid_after, 1, first_paid) over w as before_paid
    from (select *, case when $1::timestamptz = '-infinity' then 0 end::bigint as first_trial,
                    case when $1::timestamptz = '-infinity' then 0 end::bigint as first_paid
          from key_move
          where posted_at >= $1::timestamptz and month >= ($1::timestamptz - interval '32 days')::date) bounded
    window w as (partition by key_id order by seq)) m
where trial_after <> before_trial + trial_step or paid_after <> before_paid + paid_step

-- head_of_chain_is_projection: the newest move of a key left what its balance says
select key_id, b.seq, h.seq as head_seq, b.trial, h.trial_after, b.paid, h.paid_after
from key_balance b full join (
    select distinct on (key_id) key_id, seq, trial_after, paid_after from key_move
    where posted_at >= $1::timestamptz and month >= ($1::timestamptz - interval '32 days')::date
    order by key_id, seq desc) h using (key_id)
where (b.seq, b.trial, b.paid) is distinct from (h.seq, h.trial_after, h.paid_after)
    and not (h.key_id is null and ($1::timestamptz > '-infinity' or (b.seq, b.trial, b.paid) = (0, 0, 0)))

-- sums_are_projection: all debits and credits of a key's accounts add up to its balance
select key_id, b.trial, m.trial as trial_sum, b.paid, m.paid as paid_sum
from key_balance b full join (
    select key_id, sum(trial_step) as trial, sum(paid_step) as paid
    from key_move where $1::timestamptz = '-infinity' group by key_id) m using (key_id)
where $1::timestamptz = '-infinity'
    and (b.trial, b.paid) is distinct from (coalesce(m.trial, 0), coalesce(m.paid, 0))

-- debits_are_credits: what the keys have is what all other accounts lack
select keys, others from (
    select (select coalesce(sum(trial + paid), 0) from key_balance) as keys,
        (select coalesce(sum(tokens) filter (where credit_key is null), 0)
              - coalesce(sum(tokens) filter (where debit_key is null), 0) from transfer)
        + (select coalesce(sum(from_trial + from_paid), 0) from outcome) as others) total
where $1::timestamptz = '-infinity' and keys + others <> 0

-- outcomes_have_known_keys: no outcome names a key that does not exist
select request_id::text, key_id from outcome o
where key_id is not null and posted_at >= $1::timestamptz and month >= ($1::timestamptz - interval '32 days')::date
    and not exists (select from api_key k where k.key_id = o.key_id)

-- admissions_are_not_lost: all numbers that an instance says have ended, ended or are unused
select instance, lower(hole) as first_number, upper(hole) - 1 as last_number from (
    select i.instance, unnest(
        int8multirange(int8range(g.low, least(g.high, i.complete_below))) - i.unused) as hole
    from instance i join (
        select instance, number + 1 as low, coalesce(lead(number) over (
            partition by instance order by number), 9223372036854775807) as high
        from (
            select instance, 0::bigint as number from instance
            union all
            select o.instance, o.admission_no from outcome o
            where o.instance in (select instance from instance where beat_at >= $1::timestamptz)
                and o.month >= (select (min(started_at) - interval '32 days')::date from instance
                                where beat_at >= $1::timestamptz)) known) g using (instance)
    where i.beat_at >= $1::timestamptz and g.low < least(g.high, i.complete_below)) h

-- admissions_end_once: no number of an instance ended twice
select instance, admission_no, count(*) as outcomes, min(request_id::text) as request_id
from outcome where posted_at >= $1::timestamptz and month >= ($1::timestamptz - interval '32 days')::date
group by instance, admission_no having count(*) > 1

-- grants_are_unique: no key was given its trial tokens twice
select credit_key as key_id, count(*) as grants from transfer
where kind = 'grant' group by credit_key having count(*) > 1 and max(posted_at) >= $1::timestamptz

-- given_back_was_taken: what was given back is what the request had cost, from the same bucket
select t.ref, t.tokens, o.from_trial, o.from_paid, o.key_id, t.credit_key
from transfer t left join outcome o on o.request_id = split_part(t.ref, '/', 1)::uuid
    and o.month = outcome_month(split_part(t.ref, '/', 1)::uuid)
where t.kind = 'undelivered' and t.posted_at >= $1::timestamptz
    and (t.tokens, t.debit_account) is distinct from (
        case split_part(t.ref, '/', 2) when 'trial' then o.from_trial when 'paid' then o.from_paid
        end, 'revenue_' || split_part(t.ref, '/', 2))

-- usage_is_outcomes: the daily usage that a customer sees is what was taken, less what was given back
select key_id, day::text, product, u.requests, x.requests as requests_found,
       u.tokens, x.tokens as tokens_found
from (select * from usage_day where day >= ($1::timestamptz at time zone 'UTC')::date) u full join (
    select o.key_id, utc_day(o.decided_ms) as day, o.product, count(*) as requests,
        sum(o.from_trial + o.from_paid - coalesce(t.tokens, 0)) as tokens
    from outcome o left join (
        select split_part(ref, '/', 1) as request_id, sum(tokens) as tokens from transfer
        where kind = 'undelivered' group by 1) t on t.request_id = o.request_id::text
    where o.key_id is not null and o.month >= ($1::timestamptz - interval '32 days')::date
        and utc_day(o.decided_ms) >= ($1::timestamptz at time zone 'UTC')::date
    group by 1, 2, 3) x
    using (key_id, day, product)
where (u.requests, u.tokens) is distinct from (x.requests, x.tokens)

-- closed_days_recompute: the lines of a closed day are still those that its digest was made of
with recent as materialized (
    select k.* from closed_key_day k join closed_day d using (day)
    where d.closed_at >= $1::timestamptz
)
select c.key_id, c.day::text, c.lines, x.lines as lines_found, c.tokens, x.tokens as tokens_found
from recent c, lateral (
    select count(*) as lines, coalesce(sum(l.tokens), 0)::bigint as tokens,
        usage_chain(usage_seed(c.key_id, c.day, c.previous), usage_text(l.seq, l.kind,
            l.request_id, l.product, l.outcome, l.rule, l.tokens, l.trial, l.paid, l.shortfall,
            l.reported_tokens, l.decided_ms, l.posted_at) order by l.seq) as digest
    from usage_line l
    where l.key_id = c.key_id and l.seq > c.after_seq and l.seq <= c.upto_seq) x
where (c.lines, c.tokens, c.digest) is distinct from (x.lines, x.tokens, x.digest)

-- closed_days_are_chained: no closed day is missing, and each refers to the one before and its keys
with recent as (
    select day from closed_day where closed_at >= $1::timestamptz
), key_day as (
    select *, lag(digest, 1, decode(repeat('00', 32), 'hex')) over w as digest_before,
        lag(upto_seq, 1, 0::bigint) over w as seq_before
    from closed_key_day window w as (partition by key_id order by day)
), node as (
    select n.*, max(level) over (partition by day) as top,
        count(*) over (partition by day, level) as width
    from closed_node n where day in (select day from recent)
), grown as (
    select day, 0 as level, place, sha256('\x00'::bytea || digest) as hash
    from closed_key_day where day in (select day from recent)
    union all
    select day, level + 1, place / 2,
        case count(*) when 1 then string_agg(hash, ''::bytea)
        else sha256('\x01'::bytea || string_agg(hash, ''::bytea order by place)) end
    from node where width > 1 group by day, level, place / 2
)
select 'day' as what, d.day::text, null::bigint as key_id from (
    select *, lag(day) over w as day_before,
        lag(digest, 1, decode(repeat('00', 32), 'hex')) over w as digest_before
    from closed_day window w as (order by day)) d
where d.previous <> d.digest_before or d.day <> d.day_before + 1
    or d.digest <> day_digest(d.day, d.previous, d.root)
    or d.day in (select day from recent) and (
        d.keys <> (select count(*) from closed_key_day k where k.day = d.day)
        or d.root <> coalesce((select n.hash from node n where n.day = d.day and n.level = n.top),
            decode(repeat('00', 32), 'hex')))
union all
select 'day of a key', day::text, key_id from key_day
where day in (select day from recent)
    and (previous <> digest_before or after_seq <> seq_before)
union all
select 'tree', coalesce(n.day, g.day)::text, null
from grown g full join node n using (day, level, place)
where g.hash is distinct from n.hash
union all
select 'key of no closed day', k.day::text, k.key_id from closed_key_day k
where not exists (select from closed_day d where d.day = k.day)

-- orders_are_transfers: an order gave its tokens once, and has given what its money stands for
select o.order_id::text, t.order_id as order_found, o.state, o.tokens, o.granted_tokens, t.topups,
       t.given
from topup_order o full join (
    select split_part(ref, '/', 1) as order_id,
        coalesce(sum(tokens) filter (where kind = 'topup'), 0)::bigint as topups,
        min(credit_key) filter (where kind = 'topup') as key_id,
        coalesce(sum(case 'stripe_clearing' when debit_account then tokens
            when credit_account then -tokens end), 0)::bigint as given
    from transfer where kind in ('topup', 'refund', 'dispute', 'debt')
        or 'stripe_clearing' in (debit_account, credit_account)
    group by 1) t on t.order_id = o.order_id::text
where o.order_id is null
    or (o.topped_up, o.topped_up) is distinct from (coalesce(t.topups, 0) = o.tokens,
        o.state in ('paid', 'partly_refunded', 'refunded', 'disputed', 'dispute_lost'))
    or o.topped_up and t.key_id is distinct from o.key_id
    or not o.topped_up and t.order_id is not null
    or o.granted_tokens <> coalesce(t.given, 0)
    or o.topped_up and o.paid_minor > 0 and o.granted_tokens <> o.tokens
        - div(o.tokens::numeric * least(o.refunded_minor + o.disputed_minor, o.paid_minor),
              o.paid_minor)

-- debts_are_owner_debt: what keys owe is what the books say was lent to them
select key_id, d.tokens, m.tokens as tokens_found
from key_debt d full join (
    select o.key_id, sum(case t.debit_account when 'owner_debt' then t.tokens else -t.tokens end)
        ::bigint as tokens
    from transfer t left join topup_order o on o.order_id::text = split_part(t.ref, '/', 1)
    where 'owner_debt' in (t.debit_account, t.credit_account) group by 1) m using (key_id)
where coalesce(d.tokens, 0) <> coalesce(m.tokens, 0)

-- statuses_have_causes: a key is suspended while something suspends it, and revoked once it was
select b.key_id, b.status from key_balance b
where (b.status = 'revoked') <> exists (select from revocation r where r.key_id = b.key_id)
    or b.status <> 'revoked' and (b.status = 'suspended') <> exists (
        select from key_suspension s where s.key_id = b.key_id and s.ended_at is null)
