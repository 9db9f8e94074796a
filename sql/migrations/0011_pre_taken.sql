-- Usage counts what was taken, as balance and export do: a shortfall was not. What a balance cannot
-- hold of what comes back is written off and holds nothing up.

-- Whoever posts meanwhile waits, so that it is counted in one way or the other and not in both.
lock table usage_day in share row exclusive mode;

-- Posts a batch of outcomes (an array of arrays, see gateway/metering/event.py) in one go:
--   1. months and instances that are missing are made;
--   2. the keys are locked in ascending order; an unknown one refuses the whole batch (SL001);
--   3. outcomes that are already there are left out: the first one stands;
--   4. of each key's charges, in order, as much as the balance holds is taken, trial before
--      paid, what is missing becomes shortfall; a revoked key is empty, so all of it does;
--   5. answers the newest balance of every key named.
-- Every look-up is by primary key. The planner is told so, because its plan is made once per
-- connection, often while the month is empty, and a scan chosen then grows with the month:
-- 15,500 charges/s fell to 6,500 within 60,000 rows before these lines.
create or replace function post_outcomes(p_events jsonb) returns setof balance
language plpgsql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_keys bigint[];
    v_months date[];
    v_instances text[];
    v_count integer;
begin
    select array_agg(distinct (e ->> 2)::bigint) filter (where e ->> 2 is not null),
           array_agg(distinct outcome_month((e ->> 0)::uuid)), array_agg(distinct e ->> 13)
    into v_keys, v_months, v_instances from jsonb_array_elements(p_events) e;
    perform ensure_outcome_month(m) from unnest(v_months) m
    where to_regclass(to_char(m, '"outcome_y"YYYY"m"MM')) is null;
    insert into instance (instance) select i from unnest(v_instances) i
    where not exists (select from instance known where known.instance = i)
    on conflict do nothing;
    select count(*) into v_count from (
        select from key_balance where key_id = any (v_keys) order by key_id for no key update) l;
    if v_count < cardinality(v_keys) then
        raise exception 'unknown keys: %', (select array_agg(k) from unnest(v_keys) k
            where not exists (select from key_balance b where b.key_id = k))
            using errcode = 'SL001';
    end if;

    with event as (
        select distinct on (request_id) * from (
            select place, (e ->> 0)::uuid as request_id, e ->> 1 as kind,
                (e ->> 2)::bigint as key_id, e ->> 3 as product, (e ->> 4)::bigint as cost,
                (e ->> 5)::bigint as reported, (e ->> 6)::bigint as held, e ->> 7 as outcome,
                e ->> 8 as rule, (e ->> 9)::integer as http_status,
                (e ->> 10)::bigint as admission_no, (e ->> 11)::bigint as admitted_ms,
                (e ->> 12)::bigint as decided_ms, e ->> 13 as instance,
                outcome_month((e ->> 0)::uuid) as month
            from jsonb_array_elements(p_events) with ordinality as given (e, place)) parsed
        order by request_id, place
    ), running as (
        -- upto: what this key's new charges cost, this one included
        select e.*, b.seq, coalesce(b.trial, 0) as trial,
            coalesce(b.trial + b.paid, 0) as total,
            (sum(e.cost) over (partition by e.key_id order by e.place))::bigint as upto
        from event e left join key_balance b on b.key_id = e.key_id
        where not exists (
            select from outcome o where o.request_id = e.request_id and o.month = e.month)
    ), step as (
        select r.*, least(upto, trial) - least(upto - cost, trial) as from_trial,
            least(upto, total) - least(upto - cost, total) as taken,
            trial - least(upto, trial) as trial_after,
            total - least(upto, total) as total_after
        from running r
    ), posted as (
        insert into outcome (request_id, month, kind, key_id, product, cost_tokens, from_trial,
            from_paid, shortfall, seq, trial_after, paid_after, reported_tokens, held_tokens,
            outcome, rule, http_status, admission_no, admitted_ms, decided_ms, instance)
        select request_id, month, kind, key_id, product, cost, from_trial, taken - from_trial,
            cost - taken,
            case when taken > 0 then seq + count(*) filter (where taken > 0)
                over (partition by key_id order by place) end,
            case when cost > 0 then trial_after end,
            case when cost > 0 then total_after - trial_after end,
            reported, held, outcome, rule, http_status, admission_no, admitted_ms, decided_ms,
            instance
        from step order by place
        returning key_id, seq, from_trial, from_paid, product, decided_ms
    ), used as (
        insert into usage_day as u (key_id, day, product, requests, tokens)
        select key_id, utc_day(decided_ms), product, count(*),
            sum(from_trial + from_paid)::bigint
        from posted where key_id is not null group by 1, 2, 3
        on conflict (key_id, day, product) do update
        set requests = u.requests + excluded.requests, tokens = u.tokens + excluded.tokens
    ), moved as (
        update key_balance b set version = b.version + 1, seq = b.seq + m.moves,
            trial = b.trial - m.trial, paid = b.paid - m.paid
        from (select key_id, count(*) as moves, sum(from_trial)::bigint as trial,
                     sum(from_paid)::bigint as paid
              from posted where seq is not null group by key_id) m
        where b.key_id = m.key_id
    )
    select count(*) into v_count from posted;

    if v_count < jsonb_array_length(p_events) then
        insert into contradiction (request_id, event)
        select o.request_id, e from jsonb_array_elements(p_events) e
        join outcome o on o.request_id = (e ->> 0)::uuid
            and o.month = outcome_month((e ->> 0)::uuid)
        where (o.kind, o.cost_tokens) <> (e ->> 1, (e ->> 4)::bigint)
            or o.key_id is distinct from (e ->> 2)::bigint
        order by 1, 2 on conflict do nothing;
    end if;
    return query select b.* from balance b where b.key_id = any (v_keys);
end $$;

-- Gives back what was taken for answers that never reached their client, to the buckets it came
-- from; for a revoked key to forfeit, and what its balance cannot hold to writeoff, so that nobody
-- else's waits for it. Once per request. Where no outcome is posted nothing was taken, so nothing
-- is given; as that should not be, it leaves a trace.
create or replace function refund_undelivered(p_requests uuid[]) returns setof balance
language plpgsql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_posted uuid[];
    v_keys bigint[];
    v_key bigint;
    o record;
begin
    -- Read once: what is posted from here on names keys that are not locked below.
    select array_agg(f.request_id), array_agg(distinct f.key_id) into v_posted, v_keys
    from unnest(p_requests) r join outcome f on f.request_id = r and f.month = outcome_month(r);
    perform from key_balance where key_id = any (v_keys) order by key_id for no key update;
    for o in
        select c.key_id, c.request_id || '/' || leg.bucket as ref, leg.bucket, leg.tokens,
            b.status = 'revoked' as revoked, utc_day(c.decided_ms) as day, c.product
        from outcome c join key_balance b on b.key_id = c.key_id,
            lateral (values ('trial', c.from_trial), ('paid', c.from_paid)) leg (bucket, tokens)
        where (c.request_id, c.month) in (select r, outcome_month(r) from unnest(v_posted) r)
            and leg.tokens > 0
            and not exists (select from transfer t where t.kind = 'undelivered'
                            and t.ref = c.request_id || '/' || leg.bucket)
        order by c.key_id, c.request_id
    loop
        v_key := (select k.key_id from key_balance k where k.key_id = o.key_id
            and not o.revoked and o.tokens <= 9007199254740991 - k.trial - k.paid);
        perform post_transfer('undelivered', o.ref, o.tokens, 'revenue_' || o.bucket, null,
            case when v_key is not null then 'key_' || o.bucket when o.revoked then 'forfeit'
                else 'writeoff' end, v_key);
        update usage_day u set tokens = u.tokens - o.tokens
        where u.key_id = o.key_id and u.day = o.day and u.product = o.product;
        perform note_change(o.key_id);
    end loop;
    insert into contradiction (request_id, event)
    select distinct r, jsonb '{"undelivered": "no outcome is posted"}' from unnest(p_requests) r
    where r <> all (coalesce(v_posted, '{}')) order by r on conflict do nothing;
    return query select b.* from balance b where b.key_id = any (v_keys);
end $$;

-- Tokens of an order come to its key: what the key owes is paid first; a revoked key gets nothing.
-- What the balance cannot hold is written off: an order that waited for room would not be settled.
create or replace function give_to_key(p_key_id bigint, p_kind text, p_ref text, p_tokens bigint)
returns void language plpgsql set search_path = public, pg_temp as $$
declare
    v_revoked boolean := (select status = 'revoked' from key_balance where key_id = p_key_id);
    v_held bigint := (select least(p_tokens, 9007199254740991 - trial - paid)
        from key_balance where key_id = p_key_id);
    v_debt bigint := least(v_held,
        coalesce((select tokens from key_debt where key_id = p_key_id), 0));
begin
    if not v_revoked then
        if v_held > 0 then
            perform post_transfer(p_kind, p_ref, v_held, 'stripe_clearing', null,
                                  'key_paid', p_key_id);
        end if;
        if p_tokens > v_held then
            perform post_transfer(p_kind, p_ref || '/beyond', p_tokens - v_held,
                                  'stripe_clearing', null, 'writeoff', null);
        end if;
    elsif p_tokens > v_debt then
        perform post_transfer(p_kind, p_ref, p_tokens - v_debt, 'stripe_clearing', null,
                              'forfeit', null);
    end if;
    if v_debt > 0 then
        perform post_transfer('debt', p_ref, v_debt,
            case when v_revoked then 'stripe_clearing' else 'key_paid' end,
            case when v_revoked then null else p_key_id end, 'owner_debt', null);
        update key_debt set tokens = tokens - v_debt where key_id = p_key_id;
    end if;
end $$;

update usage_day u set tokens = u.tokens - s.shortfall
from (select key_id, utc_day(decided_ms) as day, product, sum(shortfall)::bigint as shortfall
      from outcome where shortfall > 0 group by 1, 2, 3) s
where (u.key_id, u.day, u.product) = (s.key_id, s.day, s.product);
