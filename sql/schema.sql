-- The whole truth about the database: every table, guard and function of Sluice.
-- Money lives here and nowhere else. Nothing but the functions below moves it; what they write
-- can't be changed or deleted afterwards. Tokens are integers, times are UTC.
-- A change is made here and in a new file of migrations/; a test proves that both give the same.

-- ------------------------------------------------------------------ who is who

create table migration (
    name text primary key,
    applied_at timestamptz not null default now()
);

-- What never changes about a key. Only an HMAC of the key is at rest.
create table api_key (
    key_id bigint primary key check (key_id > 0),
    key_hmac bytea not null unique,
    last_characters text not null,
    owner text not null default '',
    address_hmac bytea,
    created_at timestamptz not null
);
create index api_key_address on api_key (address_hmac, created_at);
create index api_key_last_characters on api_key (last_characters);
create index api_key_owner on api_key (lower(owner) text_pattern_ops) where owner <> '';

-- The projection of a key's moves. `seq` counts money moves (the chain), `version` any change.
-- The bound is 2^53 - 1: Lua and JSON readers hold no larger integer exactly.
create table key_balance (
    key_id bigint primary key references api_key,
    version bigint not null default 0,
    seq bigint not null default 0,
    trial bigint not null default 0 check (trial >= 0),
    paid bigint not null default 0 check (paid >= 0),
    status text not null default 'active' check (status in ('active', 'suspended', 'revoked')),
    tier text not null default 'key' check (tier in ('key', 'premium')),
    limits jsonb not null default '{}' check (jsonb_typeof(limits) = 'object'),
    constraint key_balance_exact check (trial + paid <= 9007199254740991),
    constraint key_balance_revoked_is_empty check (status <> 'revoked' or trial + paid = 0)
) with (fillfactor = 70);

-- What the gate needs and what every money function answers.
create view balance as
select key_id, version, trial, paid, status, tier, limits from key_balance;

-- A named refusal is a value: `refusal` is null when the call did what it says.
create type verdict as (
    refusal text, wait_s bigint, key_id bigint, version bigint, trial bigint, paid bigint,
    status text, tier text, limits jsonb
);

-- Keys whose balance row changed by another way than the shipper, until Redis has the version.
create table balance_outbox (
    key_id bigint primary key references api_key,
    version bigint not null,
    noted_at timestamptz not null default now()
);

-- A gateway process. At its last beat all its admissions from 1 to below `complete_below` had
-- ended, each as one outcome, or were `unused`: given back by a refusal, free for a later request.
create table instance (
    instance text primary key,
    started_at timestamptz not null default now(),
    beat_at timestamptz not null default now(),
    complete_below bigint not null default 1 check (complete_below >= 1),
    unused int8multirange not null default '{}',
    stopped boolean not null default false,
    drained boolean not null default false
);

-- ------------------------------------------------------------------ the books

create table account (
    account text primary key,
    purpose text not null
);
insert into account (account, purpose) values
    ('key_trial', 'free tokens of a key'),
    ('key_paid', 'paid tokens of a key'),
    ('grant_source', 'where trial grants come from'),
    ('credit_source', 'where credits by an operator come from'),
    ('stripe_clearing', 'bought with money that Stripe holds'),
    ('revenue_trial', 'trial tokens that were used'),
    ('revenue_paid', 'paid tokens that were used'),
    ('forfeit', 'what was left on revoked keys'),
    ('writeoff', 'given up by us'),
    ('owner_debt', 'owed to us after a dispute');

-- One row = one debit and one credit: `tokens` go from the debit account to the credit account.
-- For each key that it touches it stores the key's seq and buckets afterwards. `posted_at` is read
-- under the key's lock, so that what was posted since some time is the end of every chain.
create table transfer (
    transfer_id bigint generated always as identity primary key,
    kind text not null check (kind in ('grant', 'topup', 'transfer', 'forfeit', 'undelivered',
                                       'credit', 'refund', 'dispute', 'writeoff')),
    ref text not null check (ref <> ''),
    tokens bigint not null check (tokens > 0),
    debit_account text not null references account,
    debit_key bigint references api_key,
    debit_seq bigint check (debit_seq > 0),
    debit_trial_after bigint check (debit_trial_after >= 0),
    debit_paid_after bigint check (debit_paid_after >= 0),
    credit_account text not null references account,
    credit_key bigint references api_key,
    credit_seq bigint check (credit_seq > 0),
    credit_trial_after bigint check (credit_trial_after >= 0),
    credit_paid_after bigint check (credit_paid_after >= 0),
    posted_at timestamptz not null default clock_timestamp(),
    constraint transfer_once unique (kind, ref),
    constraint transfer_two_accounts check
        (debit_account <> credit_account or debit_key is distinct from credit_key),
    constraint transfer_two_keys check (debit_key <> credit_key),
    constraint transfer_debit_key check
        ((debit_account in ('key_trial', 'key_paid')) = (debit_key is not null)),
    constraint transfer_credit_key check
        ((credit_account in ('key_trial', 'key_paid')) = (credit_key is not null)),
    constraint transfer_debit_chain check
        (num_nulls(debit_key, debit_seq, debit_trial_after, debit_paid_after) in (0, 4)),
    constraint transfer_credit_chain check
        (num_nulls(credit_key, credit_seq, credit_trial_after, credit_paid_after) in (0, 4)),
    constraint transfer_trial_never_moves check
        (kind <> 'transfer' or (debit_account = 'key_paid' and credit_account = 'key_paid'))
);
create unique index transfer_debit_chain_once on transfer (debit_key, debit_seq)
    where debit_key is not null;
create unique index transfer_credit_chain_once on transfer (credit_key, credit_seq)
    where credit_key is not null;

-- The month in which a request began, read from its UUIDv7: one primary key for ever, by month.
create function outcome_month(request_id uuid) returns date
language sql immutable strict parallel safe
return date_trunc('month', timestamp '1970-01-01' + interval '1 millisecond' *
    ('x' || left(request_id::text, 8) || substr(request_id::text, 10, 4))::bit(48)::bigint)::date;

-- How a request ended: charged or void, in one table, so that it can't be both.
-- A charge debits key_trial and key_paid and credits revenue_trial and revenue_paid.
create table outcome (
    request_id uuid not null,
    key_id bigint,
    month date not null,
    http_status integer not null,
    cost_tokens bigint not null,
    from_trial bigint not null default 0,
    from_paid bigint not null default 0,
    shortfall bigint not null default 0,
    seq bigint,
    trial_after bigint,
    paid_after bigint,
    reported_tokens bigint,
    held_tokens bigint not null,
    admission_no bigint not null,
    admitted_ms bigint not null,
    decided_ms bigint not null,
    posted_at timestamptz not null default clock_timestamp(),
    kind text not null,
    product text not null,
    outcome text not null,
    rule text not null,
    instance text not null,
    primary key (request_id, month),
    constraint outcome_month_of_request check (month = outcome_month(request_id)),
    constraint outcome_kind check (kind in ('charge', 'void')),
    constraint outcome_sum check (cost_tokens = from_trial + from_paid + shortfall),
    constraint outcome_not_negative check (from_trial >= 0 and from_paid >= 0 and shortfall >= 0
        and held_tokens >= 0 and reported_tokens >= 0 and admission_no >= 0),
    constraint outcome_exact check (cost_tokens <= 9007199254740991),
    constraint outcome_void_is_free check (kind = 'charge' or cost_tokens = 0),
    constraint outcome_charge_has_key check (kind = 'void' or key_id is not null),
    constraint outcome_seq_iff_moved check ((seq is not null) = (from_trial + from_paid > 0)),
    constraint outcome_after_iff_cost check
        (num_nulls(trial_after, paid_after) = case when cost_tokens > 0 then 0 else 2 end),
    constraint outcome_after_not_negative check (trial_after >= 0 and paid_after >= 0),
    constraint outcome_trial_before_paid check (from_paid = 0 or trial_after = 0),
    constraint outcome_short_only_when_empty check
        (shortfall = 0 or (trial_after = 0 and paid_after = 0))
) partition by range (month);
create index outcome_of_key on outcome (key_id, request_id);

-- What ended per key, UTC day (of the decision) and product; tokens less what was given back.
-- Kept by the functions so that a year of a busy key is read in a millisecond.
create table usage_day (
    key_id bigint not null references api_key,
    day date not null,
    product text not null,
    requests bigint not null default 0,
    tokens bigint not null default 0,
    primary key (key_id, day, product)
) with (fillfactor = 70);

create function utc_day(unix_ms bigint) returns date
language sql immutable strict parallel safe
return date '1970-01-01' + (unix_ms / 86400000)::integer;

-- The trace of what was said and not done: an outcome that came again saying something else than
-- the one that was posted first, or that an answer was not delivered of which there is no outcome.
create table contradiction (
    request_id uuid not null,
    event jsonb not null,
    noted_at timestamptz not null default now(),
    primary key (request_id, event)
);

-- Every money move of every key, from both books: what the chain is proved from.
create view key_move as
select key_id, seq, -from_trial as trial_step, -from_paid as paid_step,
       trial_after, paid_after, posted_at, month, 'outcome ' || request_id as source
from outcome where seq is not null
union all
select debit_key, debit_seq, case debit_account when 'key_trial' then -tokens else 0 end,
       case debit_account when 'key_paid' then -tokens else 0 end,
       debit_trial_after, debit_paid_after, posted_at, 'infinity', 'transfer ' || transfer_id
from transfer where debit_key is not null
union all
select credit_key, credit_seq, case credit_account when 'key_trial' then tokens else 0 end,
       case credit_account when 'key_paid' then tokens else 0 end,
       credit_trial_after, credit_paid_after, posted_at, 'infinity', 'transfer ' || transfer_id
from transfer where credit_key is not null;

-- ------------------------------------------------------------------ guards

create function refuse() returns trigger language plpgsql as $$
begin
    raise exception '%: % on % is refused', tg_argv[0], tg_op, tg_table_name
        using errcode = 'SL003';
end $$;

create trigger transfer_append_only before update or delete on transfer
    for each row execute function refuse('append-only');
create trigger transfer_no_truncate before truncate on transfer
    for each statement execute function refuse('append-only');
create trigger outcome_append_only before update or delete on outcome
    for each row execute function refuse('append-only');
create trigger outcome_no_truncate before truncate on outcome
    for each statement execute function refuse('append-only');
create trigger api_key_append_only before update of key_id, key_hmac, created_at or delete
    on api_key for each row execute function refuse('append-only');
create trigger key_balance_stays before delete on key_balance
    for each row execute function refuse('a balance stays');
create trigger key_balance_no_truncate before truncate on key_balance
    for each statement execute function refuse('a balance stays');
create trigger key_balance_revoked_is_terminal before update on key_balance
    for each row when (old.status = 'revoked' and new.status <> 'revoked')
    execute function refuse('revoked is terminal');
create trigger key_balance_steps before update on key_balance
    for each row when (new.key_id <> old.key_id or new.version <> old.version + 1
        or new.seq < old.seq
        or (new.seq = old.seq) <> ((new.trial, new.paid) = (old.trial, old.paid)))
    execute function refuse('a change needs the next version and a move the next seq');

-- ------------------------------------------------------------------ partitions

-- Makes the partition of a month if it is missing; true if it was. Attached, not created in
-- place, because that would lock the whole table against the shipper.
create function ensure_outcome_month(p_month date) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_start date := date_trunc('month', p_month)::date;
    v_name text := to_char(p_month, '"outcome_y"YYYY"m"MM');
begin
    if to_regclass(v_name) is not null then
        return false;
    end if;
    if v_start not between date '2024-01-01' and (now() + interval '13 months')::date then
        raise exception 'no month like % is expected', v_start using errcode = 'SL002';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('ensure_outcome_month', 0));
    -- Not to_regclass: its cache may not know yet what the holder of the lock before us made.
    if exists (select from pg_class where relname = v_name
               and relnamespace = 'public'::regnamespace) then
        return false;
    end if;
    execute format('create table %I (like outcome including defaults including constraints)',
                   v_name);
    execute format('create trigger outcome_no_truncate before truncate on %I '
                   'for each statement execute function refuse(''append-only'')', v_name);
    execute format('alter table outcome attach partition %I for values from (%L) to (%L)',
                   v_name, v_start, (v_start + interval '1 month')::date);
    return true;
end $$;

-- Makes the partitions of this month and of the months ahead; answers how many were missing.
create function ensure_outcome_months(p_months_ahead integer) returns integer
language sql security definer set search_path = public, pg_temp
return (select count(*) filter (where ensure_outcome_month(
            (date_trunc('month', now() at time zone 'UTC') + n * interval '1 month')::date))
        from generate_series(0, least(p_months_ahead, 12)) n);

-- ------------------------------------------------------------------ money

create function verdict_on(p_key_id bigint, p_refusal text default null, p_wait_s bigint default null)
returns verdict language sql stable set search_path = public, pg_temp
begin atomic
    select p_refusal, p_wait_s, b.key_id, b.version, b.trial, b.paid, b.status, b.tier, b.limits
    from (values (1)) as always (one) left join key_balance b on b.key_id = p_key_id;
end;

create function note_change(p_key_id bigint) returns void
language sql set search_path = public, pg_temp
begin atomic
    insert into balance_outbox (key_id, version)
    select b.key_id, b.version from key_balance b where b.key_id = p_key_id
    on conflict (key_id) do update set version = excluded.version, noted_at = now();
end;

-- The one way in which a transfer is written. The caller has locked its keys in ascending order.
create function post_transfer(p_kind text, p_ref text, p_tokens bigint, p_debit_account text,
    p_debit_key bigint, p_credit_account text, p_credit_key bigint) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    d key_balance;
    c key_balance;
begin
    update key_balance set version = version + 1, seq = seq + 1,
        trial = trial - case p_debit_account when 'key_trial' then p_tokens else 0 end,
        paid = paid - case p_debit_account when 'key_paid' then p_tokens else 0 end
    where key_id = p_debit_key returning * into d;
    update key_balance set version = version + 1, seq = seq + 1,
        trial = trial + case p_credit_account when 'key_trial' then p_tokens else 0 end,
        paid = paid + case p_credit_account when 'key_paid' then p_tokens else 0 end
    where key_id = p_credit_key returning * into c;
    insert into transfer (kind, ref, tokens,
        debit_account, debit_key, debit_seq, debit_trial_after, debit_paid_after,
        credit_account, credit_key, credit_seq, credit_trial_after, credit_paid_after)
    values (p_kind, p_ref, p_tokens,
        p_debit_account, p_debit_key, d.seq, d.trial, d.paid,
        p_credit_account, p_credit_key, c.seq, c.trial, c.paid);
end $$;

-- A new key with its grant. At most p_limit keys per address in any 24 hours; the lock makes
-- that exact. p_address_hmac null: minted by an operator, no limit. Repeating it is harmless.
create function mint_key(p_key_id bigint, p_key_hmac bytea, p_last_characters text,
    p_address_hmac bytea, p_grant_tokens bigint, p_limit integer) returns verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_now timestamptz;
    v_blocking timestamptz;
begin
    if p_address_hmac is not null then
        perform pg_advisory_xact_lock(hashtextextended(encode(p_address_hmac, 'hex'), 1));
    end if;
    if exists (select from api_key where key_id = p_key_id and key_hmac = p_key_hmac) then
        return verdict_on(p_key_id);
    end if;
    v_now := clock_timestamp();
    if p_address_hmac is not null and p_limit <= 0 then
        return verdict_on(null, 'MINT_LIMIT', 86400);
    elsif p_address_hmac is not null then
        select created_at into v_blocking from api_key
        where address_hmac = p_address_hmac and created_at > v_now - interval '24 hours'
        order by created_at desc offset p_limit - 1 limit 1;
        if found then
            return verdict_on(null, 'MINT_LIMIT', greatest(1, ceil(extract(epoch from
                v_blocking + interval '24 hours' - v_now)))::bigint);
        end if;
    end if;
    insert into api_key (key_id, key_hmac, last_characters, address_hmac, created_at)
    values (p_key_id, p_key_hmac, p_last_characters, p_address_hmac, v_now);
    insert into key_balance (key_id) values (p_key_id);
    if p_grant_tokens > 0 then
        perform post_transfer('grant', p_key_id::text, p_grant_tokens,
                              'grant_source', null, 'key_trial', p_key_id);
    end if;
    return verdict_on(p_key_id);
end $$;

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
create function post_outcomes(p_events jsonb) returns setof balance
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
        returning key_id, seq, from_trial, from_paid, cost_tokens, product, decided_ms
    ), used as (
        insert into usage_day as u (key_id, day, product, requests, tokens)
        select key_id, utc_day(decided_ms), product, count(*), sum(cost_tokens)::bigint
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
-- from; for a revoked key to forfeit. Once per request. Where no outcome is posted nothing was
-- taken, so nothing is given; as that should not be, it leaves a trace.
create function refund_undelivered(p_requests uuid[]) returns setof balance
language plpgsql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_posted uuid[];
    v_keys bigint[];
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
        perform post_transfer('undelivered', o.ref, o.tokens, 'revenue_' || o.bucket, null,
            case when o.revoked then 'forfeit' else 'key_' || o.bucket end,
            case when o.revoked then null else o.key_id end);
        update usage_day u set tokens = u.tokens - o.tokens
        where u.key_id = o.key_id and u.day = o.day and u.product = o.product;
        perform note_change(o.key_id);
    end loop;
    insert into contradiction (request_id, event)
    select distinct r, jsonb '{"undelivered": "no outcome is posted"}' from unnest(p_requests) r
    where r <> all (coalesce(v_posted, '{}')) order by r on conflict do nothing;
    return query select b.* from balance b where b.key_id = any (v_keys);
end $$;

-- Adds tokens to a bucket, once per ref; paid tokens make the key premium.
create function credit_key(p_key_id bigint, p_tokens bigint, p_bucket text, p_ref text)
returns verdict language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
    t transfer;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_ref, 2));
    select * into t from transfer where kind = 'credit' and ref = p_ref;
    if found then
        return verdict_on(p_key_id, case when (t.credit_key, t.tokens, t.credit_account)
            <> (p_key_id, p_tokens, 'key_' || p_bucket) then 'REF_USED_OTHERWISE' end);
    end if;
    select * into b from key_balance where key_id = p_key_id for no key update;
    if not found then
        return verdict_on(null, 'UNKNOWN_KEY');
    elsif b.status = 'revoked' then
        return verdict_on(p_key_id, 'REVOKED');
    elsif p_tokens > 9007199254740991 - b.trial - b.paid then
        return verdict_on(p_key_id, 'TOO_MUCH');
    end if;
    perform post_transfer('credit', p_ref, p_tokens, 'credit_source', null,
                          'key_' || p_bucket, p_key_id);
    update key_balance set tier = 'premium', version = version + 1
    where key_id = p_key_id and p_bucket = 'paid' and tier <> 'premium';
    perform note_change(p_key_id);
    return verdict_on(p_key_id);
end $$;

-- Ends a key for ever; what is left goes to forfeit. Repeating it changes nothing.
create function revoke_key(p_key_id bigint) returns verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
begin
    select * into b from key_balance where key_id = p_key_id for no key update;
    if not found then
        return verdict_on(null, 'UNKNOWN_KEY');
    elsif b.status = 'revoked' then
        return verdict_on(p_key_id);
    end if;
    if b.trial > 0 then
        perform post_transfer('forfeit', p_key_id || '/trial', b.trial,
                              'key_trial', p_key_id, 'forfeit', null);
    end if;
    if b.paid > 0 then
        perform post_transfer('forfeit', p_key_id || '/paid', b.paid,
                              'key_paid', p_key_id, 'forfeit', null);
    end if;
    update key_balance set status = 'revoked', version = version + 1 where key_id = p_key_id;
    perform note_change(p_key_id);
    return verdict_on(p_key_id);
end $$;

-- active <-> suspended; a revoked key refuses both.
create function set_key_status(p_key_id bigint, p_status text) returns verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
begin
    select * into b from key_balance where key_id = p_key_id for no key update;
    if not found then
        return verdict_on(null, 'UNKNOWN_KEY');
    elsif b.status = 'revoked' then
        return verdict_on(p_key_id, 'REVOKED');
    elsif p_status not in ('active', 'suspended') then
        return verdict_on(p_key_id, 'NOT_A_STATUS');
    elsif b.status <> p_status then
        update key_balance set status = p_status, version = version + 1
        where key_id = p_key_id;
        perform note_change(p_key_id);
    end if;
    return verdict_on(p_key_id);
end $$;

-- Replaces the limits of the products named; null for a product, or for all, resets.
create function set_key_limits(p_key_id bigint, p_changes jsonb) returns verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
    v_limits jsonb := '{}';
begin
    select * into b from key_balance where key_id = p_key_id for no key update;
    if not found then
        return verdict_on(null, 'UNKNOWN_KEY');
    elsif b.status = 'revoked' then
        return verdict_on(p_key_id, 'REVOKED');
    end if;
    if jsonb_typeof(p_changes) = 'object' then
        select coalesce(jsonb_object_agg(product, wanted), '{}') into v_limits
        from jsonb_each(b.limits || p_changes) as merged (product, wanted)
        where jsonb_typeof(wanted) <> 'null';
    end if;
    if b.limits <> v_limits then
        update key_balance set limits = v_limits, version = version + 1
        where key_id = p_key_id;
        perform note_change(p_key_id);
    end if;
    return verdict_on(p_key_id);
end $$;

-- Notes whose key it is, so that it can be found by that; '' for nobody's. False: no such key.
create function set_key_owner(p_key_id bigint, p_owner text) returns boolean
language sql security definer set search_path = public, pg_temp
begin atomic
    with changed as (
        update api_key set owner = p_owner where key_id = p_key_id returning 1)
    select exists (select from changed);
end;

-- ------------------------------------------------------------------ instances and the outbox

-- An instance says that it lives and below which number all of its admissions have ended.
create function beat_instance(p_instance text, p_complete_below bigint, p_unused bigint[],
    p_stopped boolean, p_drained boolean) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    insert into instance (instance, complete_below, unused, stopped, drained)
    values (p_instance, greatest(p_complete_below, 1),
        coalesce((select range_agg(int8range(n, n, '[]')) from unnest(p_unused) n), '{}'),
        p_stopped, p_drained)
    on conflict (instance) do update set beat_at = now(),
        -- Who drains the spool of a dead instance does not know its numbers: its own word stays.
        (complete_below, unused) = (select said.complete_below, said.unused from (values
            (excluded.complete_below, excluded.unused),
            (instance.complete_below, instance.unused)) said (complete_below, unused)
            order by excluded.drained and said.complete_below < instance.complete_below limit 1),
        stopped = excluded.stopped, drained = excluded.drained;
end;

-- Forgets the notes whose version, or a newer one, has reached Redis.
create function clear_outbox(p_keys bigint[], p_versions bigint[]) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_count bigint;
begin
    -- In the order in which refund_undelivered notes them.
    perform from balance_outbox where key_id = any (p_keys) order by key_id for update;
    delete from balance_outbox o using unnest(p_keys, p_versions) as done (key_id, version)
    where o.key_id = done.key_id and o.version <= done.version;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- ------------------------------------------------------------------ the role of the gateway

-- It reads tables and calls functions; it writes to no table.
do $$ begin
    create role sluice_runtime nologin;
exception when duplicate_object or unique_violation then
    null; -- roles belong to the server: another database made it
end $$;
do $$ begin
    execute format('grant sluice_runtime to %I', current_user);
exception when others then
    raise notice 'sluice_runtime could not be granted: %', sqlerrm;
end $$;
revoke create on schema public from public;
revoke all on all tables in schema public from public;
revoke execute on all functions in schema public from public;
grant usage on schema public to sluice_runtime;
grant select on all tables in schema public to sluice_runtime;
grant execute on function outcome_month(uuid), utc_day(bigint), ensure_outcome_months(integer),
    mint_key(bigint, bytea, text, bytea, bigint, integer), post_outcomes(jsonb),
    refund_undelivered(uuid[]), credit_key(bigint, bigint, text, text), revoke_key(bigint),
    set_key_status(bigint, text), set_key_limits(bigint, jsonb), set_key_owner(bigint, text),
    beat_instance(text, bigint, bigint[], boolean, boolean), clear_outbox(bigint[], bigint[])
to sluice_runtime;

-- ------------------------------------------------------------------ classifiers

-- What a few-shot classifier has learned. No sample is kept: `weights` are the decision (per label
-- one row of dimension_count + 1 float32, the last is the bias), `statistics` the sums that the
-- next update adds to. `version` +1 per update: who writes says which version was read.
-- The gateway vouches for `owner_key`, so no foreign key: the service may stand elsewhere.
create table classifier (
    classifier_id uuid primary key,
    owner_key bigint not null check (owner_key > 0),
    version bigint not null default 1 check (version > 0),
    access text not null check (access in ('private', 'public')),
    model text not null check (model <> ''),
    dimension_count integer not null check (dimension_count between 1 and 16384),
    labels text[] not null check (cardinality(labels) between 2 and 16),
    weights bytea not null,
    statistics bytea not null,
    updated_number bigint not null default 0 check (updated_number >= 0),
    used_number bigint not null default 0 check (used_number >= 0),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    used_at timestamptz,
    constraint classifier_weights_fit
        check (octet_length(weights) = 4 * cardinality(labels) * (dimension_count + 1))
);
-- Floats do not compress; trying costs time at every update.
alter table classifier alter column weights set storage external;
alter table classifier alter column statistics set storage external;
create index classifier_of_owner on classifier (owner_key, created_at);

-- A new classifier; false when the owner has `p_most` already. Two at once take turns.
create function create_classifier(
    p_classifier_id uuid, p_owner_key bigint, p_access text, p_model text, p_dimension_count integer,
    p_labels text[], p_weights bytea, p_statistics bytea, p_most integer
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('classifier', p_owner_key));
    if (select count(*) from classifier where owner_key = p_owner_key) >= p_most then
        return false;
    end if;
    insert into classifier (classifier_id, owner_key, access, model, dimension_count, labels,
        weights, statistics)
    values (p_classifier_id, p_owner_key, p_access, p_model, p_dimension_count, p_labels,
        p_weights, p_statistics);
    return true;
end $$;

-- What an update learned, if the version that it read still stands: DONE, CHANGED or GONE.
create function update_classifier(
    p_classifier_id uuid, p_owner_key bigint, p_version bigint,
    p_labels text[], p_weights bytea, p_statistics bytea
) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_version bigint;
begin
    select version into v_version from classifier
    where classifier_id = p_classifier_id and owner_key = p_owner_key for update;
    if not found then
        return 'GONE';
    end if;
    if v_version <> p_version then
        return 'CHANGED';
    end if;
    update classifier set version = version + 1, labels = p_labels, weights = p_weights,
        statistics = p_statistics, updated_number = updated_number + 1,
        updated_at = clock_timestamp()
    where classifier_id = p_classifier_id;
    return 'DONE';
end $$;

-- What `p_caller_key` may classify with: his own, or a public one whose owner's key is not revoked.
-- The weights are null when the caller has those of this version already.
create function usable_classifier(p_classifier_id uuid, p_caller_key bigint, p_version bigint)
returns table (version bigint, model text, dimension_count integer, labels text[], weights bytea)
language sql stable security definer set search_path = public, pg_temp as $$
    select c.version, c.model, c.dimension_count, c.labels,
        case when c.version is distinct from p_version then c.weights end
    from classifier c
    where c.classifier_id = p_classifier_id and (
        c.owner_key = p_caller_key
        or c.access = 'public' and not exists (
            select from key_balance b where b.key_id = c.owner_key and b.status = 'revoked'))
$$;

-- Uses since the last call, of many classifiers at once; those that are gone are passed over.
create function count_classifier_uses(p_ids uuid[], p_uses bigint[], p_last timestamptz[])
returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from classifier where classifier_id = any (p_ids) order by classifier_id for update;
    update classifier c set used_number = used_number + u.uses,
        used_at = greatest(c.used_at, u.last)
    from unnest(p_ids, p_uses, p_last) as u (id, uses, last) where c.classifier_id = u.id;
end $$;

-- Whether there was one of this owner to delete.
create function delete_classifier(p_classifier_id uuid, p_owner_key bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from classifier where classifier_id = p_classifier_id and owner_key = p_owner_key;
    return found;
end $$;

-- The service's own role: it reads classifiers and changes them by these functions, and sees
-- nothing of the books.
do $$ begin
    create role sluice_classifier nologin;
exception when duplicate_object or unique_violation then
    null; -- roles belong to the server: another database made it
end $$;
do $$ begin
    execute format('grant sluice_classifier to %I', current_user);
exception when others then
    raise notice 'sluice_classifier could not be granted: %', sqlerrm;
end $$;
revoke all on classifier from public;
revoke execute on function
    create_classifier(uuid, bigint, text, text, integer, text[], bytea, bytea, integer),
    update_classifier(uuid, bigint, bigint, text[], bytea, bytea),
    usable_classifier(uuid, bigint, bigint),
    count_classifier_uses(uuid[], bigint[], timestamptz[]), delete_classifier(uuid, bigint)
from public;
grant usage on schema public to sluice_classifier;
grant select on classifier to sluice_classifier;
grant execute on function
    create_classifier(uuid, bigint, text, text, integer, text[], bytea, bytea, integer),
    update_classifier(uuid, bigint, bigint, text[], bytea, bytea),
    usable_classifier(uuid, bigint, bigint),
    count_classifier_uses(uuid[], bigint[], timestamptz[]), delete_classifier(uuid, bigint)
to sluice_classifier;

-- ------------------------------------------------------------------ traces

-- What one deepsearch request did, step by step, for its owner and for a week. No text of a page,
-- no answer and no key: kinds, times, tokens, outcomes. The gateway vouches for `subject`.
create table deepsearch_trace (
    request_id uuid primary key,
    subject text not null check (subject <> '' and length(subject) <= 200),
    model text not null check (length(model) <= 200),
    began_at timestamptz not null,
    finish text not null check (finish <> '' and length(finish) <= 40),
    took_ms bigint not null check (took_ms >= 0),
    budget_tokens bigint not null check (budget_tokens >= 0),
    prompt_tokens bigint not null check (prompt_tokens >= 0),
    completion_tokens bigint not null check (completion_tokens >= 0),
    steps jsonb not null check (jsonb_typeof(steps) = 'array' and pg_column_size(steps) <= 1048576)
);
create index deepsearch_trace_age on deepsearch_trace (began_at);

-- Keeps the trace of one request; the first one stands.
create function keep_trace(
    p_request_id uuid, p_subject text, p_model text, p_began_at timestamptz, p_finish text,
    p_took_ms bigint, p_budget_tokens bigint, p_prompt_tokens bigint, p_completion_tokens bigint,
    p_steps jsonb
) returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into deepsearch_trace (request_id, subject, model, began_at, finish, took_ms,
        budget_tokens, prompt_tokens, completion_tokens, steps)
    values (p_request_id, p_subject, p_model, p_began_at, p_finish, p_took_ms, p_budget_tokens,
        p_prompt_tokens, p_completion_tokens, p_steps)
    on conflict (request_id) do nothing
$$;

-- Forgets at most p_most traces that are older than p_age; how many there were.
create function drop_traces(p_age interval, p_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_count integer;
begin
    delete from deepsearch_trace where request_id in (
        select request_id from deepsearch_trace where began_at < clock_timestamp() - p_age
        order by began_at limit p_most for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- The service's own role: it keeps and reads traces, and sees nothing of the books.
do $$ begin
    create role sluice_deepsearch nologin;
exception when duplicate_object or unique_violation then
    null; -- roles belong to the server: another database made it
end $$;
do $$ begin
    execute format('grant sluice_deepsearch to %I', current_user);
exception when others then
    raise notice 'sluice_deepsearch could not be granted: %', sqlerrm;
end $$;
revoke all on deepsearch_trace from public;
revoke execute on function
    keep_trace(uuid, text, text, timestamptz, text, bigint, bigint, bigint, bigint, jsonb),
    drop_traces(interval, integer)
from public;
grant usage on schema public to sluice_deepsearch;
grant select on deepsearch_trace to sluice_deepsearch;
grant execute on function
    keep_trace(uuid, text, text, timestamptz, text, bigint, bigint, bigint, bigint, jsonb),
    drop_traces(interval, integer)
to sluice_deepsearch;

select ensure_outcome_months(3);
insert into migration (name) values
    ('0001_pre_initial.sql'), ('0002_pre_key_owner.sql'), ('0003_pre_classifiers.sql'),
    ('0004_pre_traces.sql');
