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

-- What a transfer or a revocation did, or why it did nothing. `tokens` went from sender to receiver,
-- `forfeited` are gone; both keys as they are afterwards; `again`: it was done before, told again.
create type deed_verdict as (
    refusal text, tokens bigint, forfeited bigint, again boolean, sender balance, receiver balance
);

-- What an owner had done under an Idempotency-Key of his: asked again, the same answer is told.
create table deed (
    key_id bigint not null references api_key,
    name text not null check (length(name) between 1 and 255),
    asked text not null,
    answer jsonb not null,
    done_at timestamptz not null default clock_timestamp(),
    primary key (key_id, name)
);

-- When a key was revoked, so that Redis can be told again after it lost its memory.
create table revocation (
    key_id bigint primary key references api_key,
    revoked_at timestamptz not null default clock_timestamp()
);
create index revocation_at on revocation (revoked_at);

-- What a client wants to have done once under an Idempotency-Key: who is at it, and when that is
-- over the answer, for a day. `running` until it is known how it ended; `kept`: the answer is here;
-- `not_kept`: it was charged, and its answer can't be told again.
create table kept_answer (
    key_id bigint not null references api_key,
    name text not null check (length(name) between 1 and 255),
    digest bytea not null,
    request_id uuid not null,
    instance text not null,
    state text not null default 'running' check (state in ('running', 'kept', 'not_kept')),
    claimed_at timestamptz not null default clock_timestamp(),
    over_at timestamptz not null,
    http_status integer,
    header_lines bytea,
    body bytea,
    kept_bytes bigint not null default 0,
    primary key (key_id, name),
    constraint kept_answer_is_whole
        check (num_nulls(http_status, header_lines, body) = case state when 'kept' then 0 else 3 end),
    constraint kept_answer_takes_room check ((kept_bytes > 0) = (state = 'kept'))
);
create index kept_answer_claimed_at on kept_answer (claimed_at);
create index kept_answer_oldest on kept_answer (key_id, claimed_at) where state = 'kept';

-- How much the kept answers of a key take. Whoever changes it holds its row before theirs.
create table kept_room (
    key_id bigint primary key references api_key,
    bytes bigint not null check (bytes >= 0)
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
                                       'credit', 'refund', 'dispute', 'writeoff', 'debt')),
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

-- What ended per key, UTC day (of the decision) and product; tokens that were taken (no shortfall)
-- less what was given back.
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
create trigger deed_append_only before update or delete on deed
    for each row execute function refuse('append-only');
create trigger deed_no_truncate before truncate on deed
    for each statement execute function refuse('append-only');
create trigger revocation_append_only before update or delete on revocation
    for each row execute function refuse('append-only');
create trigger revocation_no_truncate before truncate on revocation
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
create function refund_undelivered(p_requests uuid[]) returns setof balance
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

-- Why paid tokens of d can't go to c; null when they can. `p_tokens` null: all that may move, which
-- is what is there and, as Redis knows, held for no request (`p_most`).
create function transfer_refusal(d key_balance, c key_balance, p_tokens bigint, p_most bigint)
returns text language sql immutable set search_path = public, pg_temp
return case
    when d.key_id is null or c.key_id is null then 'UNKNOWN_KEY'
    when d.key_id = c.key_id then 'SAME_KEY'
    when d.status = 'revoked' then 'REVOKED'
    when d.status <> 'active' then 'SUSPENDED'
    when c.status <> 'active' then 'RECEIVER_NOT_ACTIVE'
    when d.tier <> 'premium' then 'NOT_PREMIUM'
    when c.tier <> 'premium' then 'RECEIVER_NOT_PREMIUM'
    when p_tokens > least(d.paid, p_most) then 'NOT_ENOUGH'
    when coalesce(p_tokens, least(d.paid, p_most)) < 1 then 'NOTHING_TO_MOVE'
    when coalesce(p_tokens, least(d.paid, p_most)) > 9007199254740991 - c.trial - c.paid
        then 'TOO_MUCH'
end;

create function deed_done(p_tokens bigint, p_forfeited bigint, p_sender bigint, p_receiver bigint)
returns deed_verdict language sql stable set search_path = public, pg_temp
begin atomic
    select null::text, p_tokens, p_forfeited, false, s, r
    from balance s left join balance r on r.key_id = p_receiver where s.key_id = p_sender;
end;

-- What transfer_paid would answer now; changes nothing. The balances are those of before.
create function preview_transfer(p_from bigint, p_to bigint, p_tokens bigint, p_most bigint)
returns deed_verdict language plpgsql stable security definer
set search_path = public, pg_temp as $$
declare
    d key_balance;
    c key_balance;
    v deed_verdict;
begin
    select * into d from key_balance where key_id = p_from;
    select * into c from key_balance where key_id = p_to;
    v := deed_done(coalesce(p_tokens, greatest(least(d.paid, p_most), 0)), 0, p_from, p_to);
    v.refusal := transfer_refusal(d, c, p_tokens, p_most);
    return v;
end $$;

-- Moves paid tokens from one key to another: all that may move, or the number. With a name (the
-- owner's Idempotency-Key) it is done once: again it gives the same answer, for something else a
-- refusal. `p_ref` is unique to the call, `p_asked` says what was asked under the name.
create function transfer_paid(p_from bigint, p_to bigint, p_tokens bigint, p_most bigint,
    p_ref text, p_name text, p_asked text) returns deed_verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    d key_balance;
    c key_balance;
    done deed;
    v deed_verdict;
begin
    if p_name is not null then
        perform pg_advisory_xact_lock(hashtextextended(p_from || '/' || p_name, 3));
        select * into done from deed where key_id = p_from and name = p_name;
        if found then
            v := jsonb_populate_record(null::deed_verdict, done.answer);
            v.again := true;
            v.refusal := case when done.asked <> p_asked then 'REF_USED_OTHERWISE' end;
            return v;
        end if;
    end if;
    perform from key_balance where key_id in (p_from, p_to) order by key_id for no key update;
    select * into d from key_balance where key_id = p_from;
    select * into c from key_balance where key_id = p_to;
    v := deed_done(coalesce(p_tokens, least(d.paid, p_most)), 0, p_from, p_to);
    v.refusal := transfer_refusal(d, c, p_tokens, p_most);
    if v.refusal is not null then
        return v;
    end if;
    perform post_transfer('transfer', p_ref, v.tokens, 'key_paid', p_from, 'key_paid', p_to);
    perform note_change(k) from (select unnest(array[p_from, p_to]) k order by k) both_keys;
    v := deed_done(v.tokens, 0, p_from, p_to);
    if p_name is not null then
        insert into deed (key_id, name, asked, answer) values (p_from, p_name, p_asked, to_jsonb(v));
    end if;
    return v;
end $$;

-- Ends a key for ever. With `p_to` its paid tokens that may move go there first; if they can't, the
-- key stays as it is. What is left goes to forfeit. Repeating it changes nothing.
create function revoke_key(p_key_id bigint, p_to bigint default null, p_most bigint default 0)
returns deed_verdict language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
    c key_balance;
    v deed_verdict;
    v_moved bigint := 0;
begin
    perform from key_balance where key_id in (p_key_id, p_to) order by key_id for no key update;
    select * into b from key_balance where key_id = p_key_id;
    if not found then
        v.refusal := 'UNKNOWN_KEY';
        return v;
    elsif b.status = 'revoked' then
        return deed_done(0, 0, p_key_id, p_to);
    end if;
    if p_to is not null then
        select * into c from key_balance where key_id = p_to;
        v := deed_done(0, 0, p_key_id, p_to);
        v.refusal := nullif(transfer_refusal(b, c, null, p_most), 'NOTHING_TO_MOVE');
        if v.refusal is not null then
            return v;
        end if;
        v_moved := greatest(least(b.paid, p_most), 0);
        if v_moved > 0 then
            perform post_transfer('transfer', 'revoke/' || p_key_id, v_moved,
                                  'key_paid', p_key_id, 'key_paid', p_to);
        end if;
    end if;
    if b.trial > 0 then
        perform post_transfer('forfeit', p_key_id || '/trial', b.trial,
                              'key_trial', p_key_id, 'forfeit', null);
    end if;
    if b.paid > v_moved then
        perform post_transfer('forfeit', p_key_id || '/paid', b.paid - v_moved,
                              'key_paid', p_key_id, 'forfeit', null);
    end if;
    update key_balance set status = 'revoked', version = version + 1 where key_id = p_key_id;
    insert into revocation (key_id) values (p_key_id);
    perform note_change(k) from (
        select unnest(array_remove(array[p_key_id, case when v_moved > 0 then p_to end], null)) k
        order by k) changed;
    return deed_done(v_moved, b.trial + b.paid - v_moved, p_key_id, p_to);
end $$;

-- active <-> suspended; a revoked key refuses both. The operator's word that a key is active ends
-- whatever suspends it, a dispute too.
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
    elsif p_status = 'suspended' then
        insert into key_suspension as s (key_id, cause) values (p_key_id, 'operator')
        on conflict (key_id, cause, ref) do update set since = now(), ended_at = null
        where s.ended_at is not null;
    else
        update key_suspension set ended_at = now() where key_id = p_key_id and ended_at is null;
    end if;
    perform refresh_key_status(p_key_id);
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

-- ------------------------------------------------------------------ requests done once

-- Drops the answers of these names of a key; what they were charged for stays charged.
create function free_room(p_key_id bigint, p_names text[]) returns void
language plpgsql set search_path = public, pg_temp as $$
begin
    perform from kept_room where key_id = p_key_id for update;
    update kept_room set bytes = bytes - (
        select coalesce(sum(kept_bytes), 0) from kept_answer
        where key_id = p_key_id and name = any (p_names)) where key_id = p_key_id;
    update kept_answer set state = 'not_kept', http_status = null, header_lines = null,
        body = null, kept_bytes = 0
    where key_id = p_key_id and name = any (p_names) and state = 'kept';
end $$;

-- Takes a name of a key for a request, or says why not:
--   CLAIMED   it is this request's from now on; a charge whose answer was lost was given back
--   KEPT      it was done; with the answer
--   NOT_KEPT  it was done and charged; its answer can't be told again
--   RUNNING   it is being done, or nobody knows yet how it ended
--   OTHER     the name is that of another request
--   REVOKED, SUSPENDED  the key may have nothing
-- A charge can only have been lost when its gateway is dead and drained, or long over: an answer
-- is kept before its last byte is sent. Then it is given back, so that a name is charged once.
create function claim_answer(p_key_id bigint, p_name text, p_digest bytea, p_request uuid,
    p_instance text, p_lives_ms bigint)
returns table (verdict text, request_id uuid, http_status integer, header_lines bytea, body bytea)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_status text;
    k kept_answer;
    o outcome;
    v_verdict text := 'CLAIMED';
    v_drained boolean;
    v_silent boolean;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_key_id || '/' || p_name, 4));
    select status into v_status from key_balance where key_id = p_key_id;
    select * into k from kept_answer a where a.key_id = p_key_id and a.name = p_name;
    if v_status is distinct from 'active' then
        v_verdict := upper(coalesce(v_status, 'revoked'));
    elsif k.key_id is not null and k.claimed_at > clock_timestamp() - interval '24 hours' then
        select i.drained, i.beat_at < now() - interval '5 s' into v_drained, v_silent
        from instance i where i.instance = k.instance;
        select * into o from outcome f
        where f.request_id = k.request_id and f.month = outcome_month(k.request_id);
        if k.digest <> p_digest then
            v_verdict := 'OTHER';
        elsif k.request_id = p_request then
            v_verdict := 'CLAIMED';
        elsif o.from_trial + o.from_paid > 0 and exists (select from transfer t
                where t.kind = 'undelivered' and t.ref in
                    (k.request_id || '/trial', k.request_id || '/paid')) then
            v_verdict := 'CLAIMED'; -- what it cost was given back: it was not done
        elsif k.state = 'not_kept' then
            v_verdict := 'NOT_KEPT';
        elsif k.state = 'kept' then
            -- Of a gateway that died a moment ago nobody knows yet whether it was delivered.
            v_verdict := case when not v_drained and v_silent then 'RUNNING' else 'KEPT' end;
        elsif o.request_id is null then
            v_verdict := case when v_drained then 'CLAIMED' else 'RUNNING' end;
        elsif o.cost_tokens > 0 and not coalesce(v_drained, false)
                and k.over_at > clock_timestamp() then
            v_verdict := 'RUNNING';
        elsif o.cost_tokens > 0 then
            perform refund_undelivered(array[k.request_id]);
        end if;
    end if;
    if v_verdict = 'CLAIMED' and k.key_id is not null then
        -- Whatever it was when it was read: it may have been kept in between.
        perform free_room(p_key_id, array[p_name]);
    end if;
    if v_verdict = 'CLAIMED' then
        insert into kept_answer as a (key_id, name, digest, request_id, instance, over_at)
        values (p_key_id, p_name, p_digest, p_request, p_instance,
                clock_timestamp() + p_lives_ms * interval '1 ms')
        on conflict (key_id, name) do update set digest = excluded.digest,
            request_id = excluded.request_id, instance = excluded.instance, state = 'running',
            claimed_at = excluded.claimed_at, over_at = excluded.over_at,
            http_status = null, header_lines = null, body = null, kept_bytes = 0;
    end if;
    return query select v_verdict, k.request_id,
        case when v_verdict = 'KEPT' then k.http_status end,
        case when v_verdict = 'KEPT' then k.header_lines end,
        case when v_verdict = 'KEPT' then k.body end;
end $$;

-- Keeps the answer of a request that has the name; false when it has it no more. A key has so much
-- room: where it is full, its oldest answers are dropped, and their names stay as charged.
create function keep_answer(p_key_id bigint, p_name text, p_request uuid, p_http_status integer,
    p_header_lines bytea, p_body bytea, p_room bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_size bigint := octet_length(p_body) + octet_length(p_header_lines) + 1024;
    v_used bigint;
begin
    insert into kept_room as r (key_id, bytes) values (p_key_id, v_size)
    on conflict (key_id) do update set bytes = r.bytes + v_size returning bytes into v_used;
    update kept_answer set state = 'kept', http_status = p_http_status,
        header_lines = p_header_lines, body = p_body, kept_bytes = v_size
    where key_id = p_key_id and name = p_name and request_id = p_request and state = 'running';
    if not found then
        update kept_room set bytes = bytes - v_size where key_id = p_key_id;
        return exists (select from kept_answer where key_id = p_key_id and name = p_name
            and request_id = p_request and state = 'kept');
    end if;
    if v_used > p_room then
        -- A tenth more than is needed, so that the next ones find room.
        perform free_room(p_key_id, array(
            select o.name from (
                select a.name, sum(a.kept_bytes) over (order by a.claimed_at, a.name)
                    - a.kept_bytes as older
                from (select * from kept_answer where key_id = p_key_id and state = 'kept'
                          and name <> p_name order by claimed_at limit 1000) a) o
            where o.older < v_used - p_room * 9 / 10));
    end if;
    return true;
end $$;

-- The request that has the name ended without an answer to keep: the name is free again, unless
-- something was charged that stays charged.
create function end_answer(p_key_id bigint, p_name text, p_request uuid, p_charged boolean)
returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if p_charged then
        update kept_answer set state = 'not_kept' where key_id = p_key_id and name = p_name
            and request_id = p_request and state = 'running';
    else
        delete from kept_answer where key_id = p_key_id and name = p_name
            and request_id = p_request and state = 'running';
    end if;
end $$;

-- Forgets names that are a day old, and those of revoked keys; answers how many.
create function forget_answers(p_limit integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_day_ago timestamptz := clock_timestamp() - interval '24 hours';
    v_key bigint;
    v_names text[];
    v_count bigint := 0;
begin
    for v_key in
        select o.key_id from (select key_id from kept_answer where claimed_at <= v_day_ago
                              order by claimed_at limit p_limit) o
        union
        select r.key_id from revocation r where r.revoked_at > v_day_ago - interval '1 hour'
            and exists (select from kept_answer a where a.key_id = r.key_id)
        order by 1
    loop
        v_names := array(
            select a.name from kept_answer a where a.key_id = v_key and (a.claimed_at <= v_day_ago
                or exists (select from revocation r where r.key_id = v_key))
            limit p_limit);
        perform free_room(v_key, v_names);
        -- Looked at again: a name may have been taken since.
        delete from kept_answer a where a.key_id = v_key and a.name = any (v_names)
            and (a.claimed_at <= v_day_ago
                or exists (select from revocation r where r.key_id = v_key));
        v_count := v_count + cardinality(v_names);
    end loop;
    return v_count;
end $$;

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

-- In the order in which clear_outbox locks them. The time of the first note stays.
create function note_balances(p_keys bigint[]) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    insert into balance_outbox (key_id, version)
    select b.key_id, b.version from key_balance b where b.key_id = any (p_keys) order by b.key_id
    on conflict (key_id) do update
        set version = greatest(balance_outbox.version, excluded.version);
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
    refund_undelivered(uuid[]), credit_key(bigint, bigint, text, text), revoke_key(bigint, bigint, bigint),
    transfer_paid(bigint, bigint, bigint, bigint, text, text, text),
    preview_transfer(bigint, bigint, bigint, bigint),
    claim_answer(bigint, text, bytea, uuid, text, bigint),
    keep_answer(bigint, text, uuid, integer, bytea, bytea, bigint),
    end_answer(bigint, text, uuid, boolean), forget_answers(integer),
    set_key_status(bigint, text), set_key_limits(bigint, jsonb), set_key_owner(bigint, text),
    beat_instance(text, bigint, bigint[], boolean, boolean), clear_outbox(bigint[], bigint[]),
    note_balances(bigint[])
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

-- ------------------------------------------------------------------ closed days

-- Takes a key's moves in their order: the closing, the export and the proof of the chain.
create index outcome_of_chain on outcome (key_id, seq) where seq is not null;

-- What was taken from a key for a request, or given back to it: the lines of its usage export.
-- A charge that took nothing (usage of 0, or an empty balance) is no line.
create view usage_line as
select o.key_id, o.seq, 'charge' as kind, o.request_id, o.product, o.outcome, o.rule,
    o.from_trial + o.from_paid as tokens, o.from_trial as trial, o.from_paid as paid,
    o.shortfall, o.reported_tokens, o.decided_ms, o.posted_at
from outcome o where o.seq is not null
union all
select t.credit_key, t.credit_seq, 'refund', o.request_id, o.product, o.outcome, o.rule,
    -t.tokens, case t.credit_account when 'key_trial' then -t.tokens else 0 end,
    case t.credit_account when 'key_paid' then -t.tokens else 0 end, 0, null, o.decided_ms,
    t.posted_at
from transfer t join outcome o on o.request_id = split_part(t.ref, '/', 1)::uuid
    and o.month = outcome_month(split_part(t.ref, '/', 1)::uuid)
where t.kind = 'undelivered' and t.credit_key is not null;

create function usage_moment(p_at timestamptz) returns text
language sql stable strict
return to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- The canonical form of a line: its fields with tabs between them, in this order, for ever.
create function usage_text(p_seq bigint, p_kind text, p_request_id uuid, p_product text,
    p_outcome text, p_rule text, p_tokens bigint, p_trial bigint, p_paid bigint,
    p_shortfall bigint, p_reported_tokens bigint, p_decided_ms bigint, p_posted_at timestamptz)
returns text language sql stable
return concat_ws(E'\t', p_seq, p_kind, p_request_id, translate(p_product, E'\t\r\n', '   '),
    translate(p_outcome, E'\t\r\n', '   '), translate(p_rule, E'\t\r\n', '   '), p_tokens,
    p_trial, p_paid, p_shortfall, coalesce(p_reported_tokens::text, ''),
    usage_moment(timestamptz 'epoch' + p_decided_ms * interval '1 millisecond'),
    usage_moment(p_posted_at));

-- One step of a chain: the digest so far (the seed before the first line), and the next line.
create function usage_link(p_digest bytea, p_seed bytea, p_line text) returns bytea
language sql immutable
return sha256(coalesce(p_digest, p_seed) || convert_to(p_line, 'UTF8'));

create aggregate usage_chain(p_seed bytea, p_line text) (sfunc = usage_link, stype = bytea);

create function usage_seed(p_key_id bigint, p_day date, p_previous bytea) returns bytea
language sql stable
return sha256(convert_to(format(E'sluice-usage-1\n%s\n%s\n%s\n', p_key_id,
    to_char(p_day, 'YYYY-MM-DD'), encode(p_previous, 'hex')), 'UTF8'));

create function day_digest(p_day date, p_previous bytea, p_root bytea) returns bytea
language sql stable
return sha256(convert_to(format(E'sluice-day-1\n%s\n%s\n%s\n', to_char(p_day, 'YYYY-MM-DD'),
    encode(p_previous, 'hex'), encode(p_root, 'hex')), 'UTF8'));

-- A closed UTC day of all keys. `root` is the top of a tree of hashes whose leaves are the keys'
-- digests of that day; `digest` is what is published, and names the day before it.
create table closed_day (
    day date primary key,
    previous bytea not null check (octet_length(previous) = 32),
    root bytea not null check (octet_length(root) = 32),
    digest bytea not null check (octet_length(digest) = 32),
    keys bigint not null check (keys >= 0),
    closed_at timestamptz not null default clock_timestamp()
);

-- A closed day of one key: its usage lines above `after_seq` up to `upto_seq`. A key's moves are
-- committed in the order of their seq, so nothing can come into a closed day afterwards; what is
-- posted late belongs to a later day. A day without a line has no row. Only close_day writes here,
-- so no foreign key is paid for.
create table closed_key_day (
    key_id bigint not null,
    day date not null,
    place bigint not null check (place >= 0),
    after_seq bigint not null,
    upto_seq bigint not null,
    lines bigint not null check (lines > 0),
    tokens bigint not null,
    previous bytea not null check (octet_length(previous) = 32),
    digest bytea not null check (octet_length(digest) = 32),
    primary key (key_id, day),
    constraint closed_key_day_forward check (upto_seq > after_seq)
);
create unique index closed_key_day_place on closed_key_day (day, place);
create unique index closed_key_day_upto on closed_key_day (key_id, upto_seq);

-- The tree of a day: level 0 are the leaves in the order of key_id, the last level is the root.
create table closed_node (
    day date not null,
    level integer not null check (level >= 0),
    place bigint not null check (place >= 0),
    hash bytea not null check (octet_length(hash) = 32),
    primary key (day, level, place)
);

create trigger closed_day_append_only before update or delete on closed_day
    for each row execute function refuse('append-only');
create trigger closed_day_no_truncate before truncate on closed_day
    for each statement execute function refuse('append-only');
create trigger closed_key_day_append_only before update or delete on closed_key_day
    for each row execute function refuse('append-only');
create trigger closed_key_day_no_truncate before truncate on closed_key_day
    for each statement execute function refuse('append-only');
create trigger closed_node_append_only before update or delete on closed_node
    for each row execute function refuse('append-only');
create trigger closed_node_no_truncate before truncate on closed_node
    for each statement execute function refuse('append-only');

-- The first day that is not closed; null while no key was ever made.
create function next_day_to_close() returns date
language sql stable security definer set search_path = public, pg_temp
return coalesce((select max(day) + 1 from closed_day),
    (select (min(created_at) at time zone 'UTC')::date from api_key));

-- Builds the tree of a day over its leaves and answers the root: 32 zero bytes without a leaf.
create function grow_tree(p_day date) returns bytea
language plpgsql set search_path = public, pg_temp as $$
declare
    v_level integer := 0;
    v_count bigint;
begin
    insert into closed_node (day, level, place, hash)
    select p_day, 0, c.place, sha256('\x00'::bytea || c.digest)
    from closed_key_day c where c.day = p_day;
    get diagnostics v_count = row_count;
    while v_count > 1 loop
        -- A node without a neighbour goes up as it is.
        insert into closed_node (day, level, place, hash)
        select p_day, v_level + 1, n.place / 2,
            case count(*) when 1 then string_agg(n.hash, ''::bytea)
            else sha256('\x01'::bytea || string_agg(n.hash, ''::bytea order by n.place)) end
        from closed_node n where n.day = p_day and n.level = v_level group by n.place / 2;
        get diagnostics v_count = row_count;
        v_level := v_level + 1;
    end loop;
    return coalesce((select n.hash from closed_node n
        where n.day = p_day and n.level = v_level), decode(repeat('00', 32), 'hex'));
end $$;

-- Closes the next UTC day, for ever: of each key the usage lines that were posted before its end
-- and are in no earlier day. Only a day that is over, and only in order (SL004); a closed one
-- again changes nothing. It takes no lock that a charge would wait for.
create function close_day(p_day date) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_zero constant bytea := decode(repeat('00', 32), 'hex');
    v_end constant timestamptz := (p_day + 1)::timestamp at time zone 'UTC';
    v_previous bytea;
    v_root bytea;
begin
    perform pg_advisory_xact_lock(hashtextextended('close_day', 0));
    if exists (select from closed_day where day = p_day) then
        return;
    elsif p_day is distinct from next_day_to_close() or v_end > clock_timestamp() then
        raise exception '% is not the next day that is over', p_day using errcode = 'SL004';
    end if;
    v_previous := coalesce((select digest from closed_day where day = p_day - 1), v_zero);
    insert into closed_key_day (key_id, day, place, after_seq, upto_seq, lines, tokens, previous,
        digest)
    with open as (
        select b.key_id, coalesce(c.upto_seq, 0) as after_seq,
            coalesce(c.digest, v_zero) as previous
        from key_balance b left join lateral (
            select k.upto_seq, k.digest from closed_key_day k
            where k.key_id = b.key_id order by k.day desc limit 1) c on true
        where b.seq > coalesce(c.upto_seq, 0)
    ), ended as materialized (
        select o.key_id, o.after_seq, o.previous, max(l.seq) as upto_seq
        from open o join usage_line l on l.key_id = o.key_id and l.seq > o.after_seq
        where l.posted_at < v_end group by 1, 2, 3
    )
    select e.key_id, p_day, row_number() over (order by e.key_id) - 1, e.after_seq, e.upto_seq,
        count(*), sum(l.tokens)::bigint, e.previous,
        usage_chain(usage_seed(e.key_id, p_day, e.previous),
            usage_text(l.seq, l.kind, l.request_id, l.product, l.outcome, l.rule, l.tokens,
                l.trial, l.paid, l.shortfall, l.reported_tokens, l.decided_ms, l.posted_at)
            order by l.seq)
    from ended e join usage_line l on l.key_id = e.key_id
        and l.seq > e.after_seq and l.seq <= e.upto_seq
    group by e.key_id, e.after_seq, e.upto_seq, e.previous;
    v_root := grow_tree(p_day);
    insert into closed_day (day, previous, root, digest, keys)
    values (p_day, v_previous, v_root, day_digest(p_day, v_previous, v_root),
        (select count(*) from closed_key_day where day = p_day));
end $$;

-- ------------------------------------------------------------------ the canary's history

-- What the canary saw of a product (or of one of its other checks), folded by the hour; `last_ok`
-- null: it is not deployed, which counts for no run.
create table canary_hour (
    hour timestamptz not null,
    subject text not null,
    runs bigint not null default 0,
    failures bigint not null default 0,
    ms_sum bigint not null default 0,
    ms_most bigint not null default 0,
    last_at timestamptz not null,
    last_ok boolean,
    last_ms bigint not null,
    last_text text not null,
    primary key (hour, subject)
);

-- Notes one round of the canary ([subject, ok, ms, text], ...) and forgets what is 90 days old.
create function note_canary(p_samples jsonb) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from canary_hour where hour < now() - interval '90 days';
    insert into canary_hour as h
    select date_trunc('hour', now()), s ->> 0, (ok is not null)::integer, (ok is false)::integer,
        case when ok is not null then ms else 0 end, case when ok is not null then ms else 0 end,
        now(), ok, ms, left(s ->> 3, 300)
    from jsonb_array_elements(p_samples) s,
        lateral (select (s ->> 1)::boolean as ok, (s ->> 2)::bigint as ms) seen order by s ->> 0
    on conflict (hour, subject) do update set runs = h.runs + excluded.runs,
        failures = h.failures + excluded.failures, ms_sum = h.ms_sum + excluded.ms_sum,
        ms_most = greatest(h.ms_most, excluded.ms_most), last_at = excluded.last_at,
        last_ok = excluded.last_ok, last_ms = excluded.last_ms, last_text = excluded.last_text;
end $$;

revoke all on usage_line, closed_day, closed_key_day, closed_node, canary_hour from public;
revoke execute on function usage_moment(timestamptz), usage_text(bigint, text, uuid, text, text,
    text, bigint, bigint, bigint, bigint, bigint, bigint, timestamptz),
    usage_link(bytea, bytea, text), usage_chain(bytea, text), usage_seed(bigint, date, bytea),
    day_digest(date, bytea, bytea), next_day_to_close(), grow_tree(date), close_day(date),
    note_canary(jsonb)
from public;
grant select on usage_line, closed_day, closed_key_day, closed_node, canary_hour
to sluice_runtime;
grant execute on function usage_moment(timestamptz), usage_text(bigint, text, uuid, text, text,
    text, bigint, bigint, bigint, bigint, bigint, bigint, timestamptz),
    usage_link(bytea, bytea, text), usage_chain(bytea, text), usage_seed(bigint, date, bytea),
    day_digest(date, bytea, bytea), next_day_to_close(), close_day(date), note_canary(jsonb)
to sluice_runtime;

-- ------------------------------------------------------------------ billing

-- Why a key is suspended. It is suspended while a row of it has not ended: an operator's word and
-- each dispute count for themselves, so that the end of one never lifts another.
create table key_suspension (
    key_id bigint not null references api_key,
    cause text not null check (cause in ('operator', 'dispute', 'budget')),
    ref text not null default '',
    since timestamptz not null default now(),
    ended_at timestamptz,
    primary key (key_id, cause, ref)
);

-- Tokens that a key owes after a refund or a dispute of what it had spent already: the part of
-- owner_debt that is its own. The next top-up pays it first.
create table key_debt (
    key_id bigint primary key references api_key,
    tokens bigint not null default 0 check (tokens >= 0)
);

-- What was asked to be bought, and what Stripe said of it since. `facts` is all that Stripe said,
-- as gateway/billing/facts.py merges it; `granted_tokens` is what the key has of this order now.
-- `return_due`: the key was revoked before the money came, so the money goes back. `released`: what
-- an operator decided about money that was held.
create table topup_order (
    order_id uuid primary key,
    key_id bigint not null references api_key,
    origin text not null check (origin in ('checkout', 'recharge')),
    idempotency_key text not null check (length(idempotency_key) between 1 and 255),
    body_digest bytea not null,
    pack text not null check (pack <> ''),
    tokens bigint not null check (tokens between 1 and 9007199254740991),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    price_minor bigint not null check (price_minor > 0),
    livemode boolean not null,
    request jsonb not null default '{}',
    state text not null default 'created' check (state in ('created', 'awaiting', 'pending',
        'expired', 'failed', 'held', 'returning', 'returned', 'paid', 'partly_refunded',
        'refunded', 'disputed', 'dispute_lost')),
    version bigint not null default 0,
    session_id text unique,
    session_url text,
    payment_id text unique,
    customer_id text,
    payment_method text,
    invoice_url text,
    facts jsonb not null default '{}',
    paid_minor bigint check (paid_minor >= 0),
    refunded_minor bigint not null default 0 check (refunded_minor >= 0),
    disputed_minor bigint not null default 0 check (disputed_minor >= 0),
    topped_up boolean not null default false,
    return_due boolean not null default false,
    granted_tokens bigint not null default 0,
    note text not null default '',
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    changed_at timestamptz not null default now(),
    looked_at timestamptz not null default now(),
    released text not null default '' check (released in ('', 'credit', 'return')),
    constraint topup_order_once unique (key_id, idempotency_key),
    constraint topup_order_granted check (granted_tokens between 0 and tokens),
    constraint topup_order_granted_for_money
        check (not topped_up or (paid_minor is not null and not return_due)),
    constraint topup_order_only_when_topped_up check (topped_up or granted_tokens = 0)
);
create index topup_order_of_key on topup_order (key_id, created_at);
create index topup_order_open on topup_order (looked_at)
    where state in ('created', 'awaiting', 'pending', 'returning');
create index topup_order_for_a_person on topup_order (state, created_at)
    where state in ('held', 'returning');

create trigger topup_order_stays before delete on topup_order
    for each row execute function refuse('an order stays');
create trigger topup_order_no_truncate before truncate on topup_order
    for each statement execute function refuse('an order stays');
create trigger topup_order_is_what_was_asked before update on topup_order
    for each row when ((new.order_id, new.key_id, new.origin, new.pack, new.tokens, new.currency,
            new.price_minor, new.livemode)
        is distinct from (old.order_id, old.key_id, old.origin, old.pack, old.tokens, old.currency,
            old.price_minor, old.livemode)
        or new.payment_id is distinct from old.payment_id and old.payment_id is not null
        or new.session_id is distinct from old.session_id and old.session_id is not null
        or old.topped_up and not new.topped_up or old.return_due and not new.return_due
        or new.version < old.version)
    execute function refuse('an order keeps what was asked, and what was done for it');

-- What Stripe told us, once per event; the worker looks at the object itself.
create table stripe_inbox (
    event_id text primary key,
    kind text not null,
    order_hint uuid,
    session_hint text,
    payment_hint text,
    received_at timestamptz not null default now(),
    attempts integer not null default 0,
    next_at timestamptz not null default now(),
    done_at timestamptz,
    verdict text not null default ''
);
create index stripe_inbox_open on stripe_inbox (next_at) where done_at is null;

-- Whom a key pays as, and with what he agreed to be charged while he is away.
create table key_customer (
    key_id bigint not null references api_key,
    livemode boolean not null,
    customer_id text not null,
    payment_method text,
    primary key (key_id, livemode)
);

-- An owner's word that his key may be topped up by itself.
create table recharge (
    key_id bigint primary key references api_key,
    enabled boolean not null,
    stopped text not null default '',
    pack text not null,
    currency text not null,
    threshold_tokens bigint not null check (threshold_tokens > 0),
    monthly_cap_minor bigint not null check (monthly_cap_minor > 0),
    notify_url text,
    notify_secret text,
    failures integer not null default 0,
    next_at timestamptz not null default now(),
    in_flight uuid references topup_order,
    changed_at timestamptz not null default now()
);
create index recharge_enabled on recharge (next_at) where enabled and in_flight is null;

-- What an owner's webhook is still to be told.
create table owner_notice (
    notice_id bigint generated always as identity primary key,
    key_id bigint not null references api_key,
    kind text not null,
    body jsonb not null,
    attempts integer not null default 0,
    next_at timestamptz not null default now(),
    done_at timestamptz,
    outcome text not null default '',
    created_at timestamptz not null default now()
);
create index owner_notice_open on owner_notice (next_at) where done_at is null;

-- How far Stripe's own list of events has been read, and who reads on.
create table billing_sweep (
    one boolean primary key default true check (one),
    claimed_at timestamptz not null default '-infinity',
    read_until timestamptz not null default now()
);
insert into billing_sweep default values;

-- Suspended while anything is open that suspends; the caller has locked the key.
create function refresh_key_status(p_key_id bigint) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    v_status text := case when exists (select from key_suspension
        where key_id = p_key_id and ended_at is null) then 'suspended' else 'active' end;
begin
    update key_balance set status = v_status, version = version + 1
    where key_id = p_key_id and status not in (v_status, 'revoked');
    if found then
        perform note_change(p_key_id);
    end if;
end $$;

-- A new order of a key: NEW; KNOWN if there is one under this idempotency key with the same body;
-- else why not. An order is 'created' until Stripe has been asked.
create function begin_order(p_order_id uuid, p_key_id bigint, p_idempotency_key text,
    p_digest bytea, p_pack text, p_tokens bigint, p_currency text, p_price_minor bigint,
    p_livemode boolean, p_request jsonb, p_lifetime_s integer, p_most_open integer) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
    v_digest bytea;
begin
    select * into b from key_balance where key_id = p_key_id for no key update;
    if not found then
        return 'UNKNOWN_KEY';
    elsif b.status = 'revoked' then
        return 'REVOKED';
    elsif b.status = 'suspended' then
        return 'SUSPENDED';
    end if;
    select body_digest into v_digest from topup_order
    where key_id = p_key_id and idempotency_key = p_idempotency_key;
    if found then
        return case when v_digest = p_digest then 'KNOWN' else 'OTHER_BODY' end;
    elsif p_tokens > 9007199254740991 - b.trial - b.paid then
        return 'TOO_MUCH';
    elsif p_most_open <= (select count(*) from topup_order where key_id = p_key_id
            and state in ('created', 'awaiting') and expires_at > now()) then
        return 'TOO_MANY';
    end if;
    insert into topup_order (order_id, key_id, origin, idempotency_key, body_digest, pack, tokens,
        currency, price_minor, livemode, request, expires_at)
    values (p_order_id, p_key_id, 'checkout', p_idempotency_key, p_digest, p_pack, p_tokens,
        p_currency, p_price_minor, p_livemode, p_request,
        date_trunc('second', now()) + p_lifetime_s * interval '1 second');
    return 'NEW';
end $$;

-- Stripe made a session for the order. Again with the same session: nothing changes.
create function note_session(p_order_id uuid, p_session_id text, p_url text) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update topup_order set session_id = p_session_id, session_url = p_url, version = version + 1,
        state = case state when 'created' then 'awaiting' else state end, changed_at = now()
    where order_id = p_order_id and session_id is distinct from p_session_id;
end;

-- An order that Stripe was never asked about, or whose answer nobody was told, is over.
create function abandon_order(p_order_id uuid, p_version bigint, p_note text) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    o topup_order;
begin
    perform from key_balance where key_id =
        (select key_id from topup_order where order_id = p_order_id) for no key update;
    update topup_order set state = 'expired', note = p_note, version = version + 1,
        changed_at = now(), looked_at = now()
    where order_id = p_order_id and version = p_version and state in ('created', 'awaiting')
        and not topped_up
    returning * into o;
    if not found then
        return false;
    end if;
    perform end_recharge(o);
    return true;
end $$;

-- Tokens of an order come to its key: what the key owes is paid first; a revoked key gets nothing.
-- What the balance cannot hold is written off: an order that waited for room would not be settled.
create function give_to_key(p_key_id bigint, p_kind text, p_ref text, p_tokens bigint)
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

-- Tokens of an order are taken back: what the key still has, and the rest is owed.
create function take_from_key(p_key_id bigint, p_kind text, p_ref text, p_tokens bigint)
returns void language plpgsql set search_path = public, pg_temp as $$
declare
    v_there bigint := least(p_tokens, (select paid from key_balance where key_id = p_key_id));
begin
    if v_there > 0 then
        perform post_transfer(p_kind, p_ref || '/key', v_there, 'key_paid', p_key_id,
                              'stripe_clearing', null);
    end if;
    if p_tokens > v_there then
        perform post_transfer(p_kind, p_ref || '/owed', p_tokens - v_there, 'owner_debt', null,
                              'stripe_clearing', null);
        insert into key_debt as d (key_id, tokens) values (p_key_id, p_tokens - v_there)
        on conflict (key_id) do update set tokens = d.tokens + excluded.tokens;
    end if;
end $$;

-- What a recharge that has ended means for the next one; its owner is told.
create function end_recharge(o topup_order) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    v_failed boolean := o.state in ('failed', 'expired');
    r recharge;
begin
    update recharge set in_flight = null, changed_at = now(),
        failures = case when v_failed then failures + 1 else 0 end,
        -- 1 h, 6 h, 36 h; the fourth decline in a row ends it.
        next_at = case when v_failed then now() + interval '1 hour' * power(6, least(failures, 4))
            else now() end,
        enabled = enabled and not (v_failed and failures >= 3),
        stopped = case when enabled and v_failed and failures >= 3 then 'declined'
            else stopped end
    where key_id = o.key_id and in_flight = o.order_id returning * into r;
    if not found then
        return;
    end if;
    insert into owner_notice (key_id, kind, body) values (o.key_id,
        case when v_failed then 'recharge.failed' else 'recharge.' || o.state end,
        jsonb_build_object('order_id', o.order_id, 'state', o.state, 'note', o.note,
            'tokens', o.tokens, 'currency', o.currency, 'price_minor', o.price_minor,
            'auto_recharge', case when r.enabled then 'on' else 'off' end));
end $$;

-- Brings an order, its key and the books to what Stripe says of it (`p_seen`, see
-- gateway/billing/till.py), if nobody did since `p_version` was read; else the refusal CHANGED.
--   1. Not paid for: only the state changes.
--   2. Paid for the first time: all its tokens come to the key, which becomes premium. The key is
--      revoked: nothing is moved, and the money is due to be returned.
--   3. Of p money, r refunded or in dispute: the key keeps tokens - floor(tokens * r / p) of it.
--      The difference to what was granted before is one move, whatever came in between.
--   4. Each dispute that is open or lost suspends the key; one that was won does not any more.
create function settle_order(p_order_id uuid, p_version bigint, p_seen jsonb) returns verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    o topup_order;
    n topup_order;
    b key_balance;
    v_target bigint;
    v_kind text;
    v_ref text;
begin
    select k.* into b from key_balance k
    where k.key_id = (select key_id from topup_order where order_id = p_order_id)
    for no key update;
    select * into o from topup_order where order_id = p_order_id for update;
    if not found then
        return verdict_on(null, 'UNKNOWN_ORDER');
    elsif o.version <> p_version then
        return verdict_on(o.key_id, 'CHANGED');
    end if;
    n := jsonb_populate_record(o, p_seen - 'bad_disputes' - 'won_disputes');
    n.refunded_minor := coalesce(n.refunded_minor, 0);
    n.disputed_minor := coalesce(n.disputed_minor, 0);
    v_ref := p_order_id || '/' || (o.version + 1);

    if n.paid_minor is not null and not o.topped_up then
        if o.return_due or b.status = 'revoked' then
            n.return_due := true;
            -- What the bank took back in a dispute is not with us to be returned.
            n.state := case when n.refunded_minor + n.disputed_minor >= n.paid_minor
                then 'returned' else 'returning' end;
        elsif o.tokens > 9007199254740991 - b.trial - b.paid then
            n.state := 'held';
            n.note := 'no balance can hold that many tokens';
        else
            perform give_to_key(o.key_id, 'topup', p_order_id::text, o.tokens);
            update key_balance set tier = 'premium', version = version + 1
            where key_id = o.key_id and tier <> 'premium';
            n.topped_up := true;
            n.granted_tokens := o.tokens;
        end if;
    end if;
    if n.topped_up then
        v_target := o.tokens - case when n.paid_minor > 0 then div(o.tokens::numeric
            * least(n.refunded_minor + n.disputed_minor, n.paid_minor), n.paid_minor)::bigint
            else 0 end;
        v_kind := case when n.disputed_minor <> o.disputed_minor then 'dispute' else 'refund' end;
        if v_target < n.granted_tokens then
            perform take_from_key(o.key_id, v_kind, v_ref, n.granted_tokens - v_target);
        elsif v_target > n.granted_tokens then
            perform give_to_key(o.key_id, v_kind, v_ref, v_target - n.granted_tokens);
        end if;
        n.granted_tokens := v_target;
        insert into key_suspension (key_id, cause, ref)
        select o.key_id, 'dispute', d from jsonb_array_elements_text(p_seen -> 'bad_disputes') d
        on conflict do nothing;
        update key_suspension set ended_at = now() where key_id = o.key_id and cause = 'dispute'
            and ended_at is null and ref in (
                select jsonb_array_elements_text(p_seen -> 'won_disputes'));
        perform refresh_key_status(o.key_id);
        if n.customer_id is not null and not o.topped_up then
            insert into key_customer as c (key_id, livemode, customer_id, payment_method)
            values (o.key_id, o.livemode, n.customer_id, n.payment_method)
            on conflict (key_id, livemode) do update set customer_id = excluded.customer_id,
                payment_method = case when c.customer_id = excluded.customer_id
                    then coalesce(excluded.payment_method, c.payment_method)
                    else excluded.payment_method end;
            -- He paid, and saved with what: what was declined before is over.
            update recharge set failures = 0, next_at = least(next_at, now())
            where key_id = o.key_id and failures > 0 and o.origin = 'checkout'
                and n.payment_method is not null;
        end if;
    end if;

    if n is distinct from o then
        n.version := o.version + 1;
        n.changed_at := now();
        update topup_order set state = n.state, version = n.version, payment_id = n.payment_id,
            session_id = n.session_id, customer_id = n.customer_id,
            payment_method = n.payment_method, invoice_url = n.invoice_url, facts = n.facts,
            paid_minor = n.paid_minor, refunded_minor = n.refunded_minor,
            disputed_minor = n.disputed_minor, topped_up = n.topped_up, return_due = n.return_due,
            granted_tokens = n.granted_tokens, note = n.note, changed_at = n.changed_at,
            looked_at = now()
        where order_id = p_order_id;
        if o.state in ('created', 'awaiting', 'pending')
            and n.state not in ('created', 'awaiting', 'pending') then
            perform end_recharge(n);
        end if;
    else
        update topup_order set looked_at = now() where order_id = p_order_id;
    end if;
    if b.version <> (select version from key_balance where key_id = o.key_id) then
        perform note_change(o.key_id);
    end if;
    return verdict_on(o.key_id);
end $$;

-- An event of Stripe, once; false if it is known already.
create function note_event(p_event_id text, p_kind text, p_order_hint uuid, p_session_hint text,
    p_payment_hint text) returns boolean
language sql security definer set search_path = public, pg_temp
begin atomic
    with noted as (
        insert into stripe_inbox (event_id, kind, order_hint, session_hint, payment_hint)
        values (p_event_id, p_kind, p_order_hint, p_session_hint, p_payment_hint)
        on conflict do nothing returning 1)
    select exists (select from noted);
end;

-- Events to work at, oldest first. Who takes one has `p_lease_s` for it; a worker that died
-- meanwhile is followed by another.
create function take_inbox(p_limit integer, p_lease_s integer) returns setof stripe_inbox
language sql security definer set search_path = public, pg_temp
begin atomic
    update stripe_inbox i set attempts = i.attempts + 1,
        next_at = now() + p_lease_s * interval '1 second'
    where i.event_id in (
        select event_id from stripe_inbox where done_at is null and next_at <= now()
        order by next_at, received_at limit p_limit for update skip locked)
    returning i.*;
end;

-- The event is dealt with (`p_later_s` null), or has to wait.
create function end_event(p_event_id text, p_verdict text, p_later_s integer) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update stripe_inbox set verdict = p_verdict,
        done_at = case when p_later_s is null then now() end,
        next_at = now() + coalesce(p_later_s, 0) * interval '1 second'
    where event_id = p_event_id and done_at is null;
end;

-- From when on Stripe's list of events is to be read; null while it was claimed lately.
create function claim_sweep(p_every_s integer) returns timestamptz
language sql security definer set search_path = public, pg_temp
begin atomic
    update billing_sweep set claimed_at = now()
    where claimed_at <= now() - p_every_s * interval '1 second' returning read_until;
end;

create function end_sweep(p_read_until timestamptz) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update billing_sweep set read_until = greatest(read_until, p_read_until);
end;

-- Stripe does not know this customer any more: orders that it was not asked about yet, and later
-- ones, make another one.
create function forget_customer(p_key_id bigint, p_customer_id text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from key_balance where key_id = p_key_id for no key update;
    delete from key_customer where key_id = p_key_id and customer_id = p_customer_id;
    update topup_order set request = request || '{"customer": null, "anew": true}',
        version = version + 1, changed_at = now()
    where key_id = p_key_id and state = 'created' and request ->> 'customer' = p_customer_id;
end $$;

-- The saved way to pay is gone at Stripe.
create function forget_method(p_key_id bigint, p_method text) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update key_customer set payment_method = null
    where key_id = p_key_id and payment_method = p_method;
end;

-- Somebody looks at the order now: whoever looks at what waited longest comes to the others first.
create function note_look(p_order_id uuid) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update topup_order set looked_at = now() where order_id = p_order_id;
end;

-- What an operator decided about money that is held: its tokens come to the key, or it goes back.
-- Once; the worker looks at the order again and does it. RELEASED, or why not.
create function release_order(p_order_id uuid, p_decision text) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    o topup_order;
begin
    perform from key_balance where key_id =
        (select key_id from topup_order where order_id = p_order_id) for no key update;
    select * into o from topup_order where order_id = p_order_id for update;
    if not found then
        return 'UNKNOWN_ORDER';
    elsif o.released = p_decision then
        return 'RELEASED';
    elsif o.released <> '' then
        return 'DECIDED';
    elsif o.state <> 'held' then
        return 'NOT_HELD';
    end if;
    update topup_order set released = p_decision, return_due = p_decision = 'return',
        version = version + 1, changed_at = now() where order_id = p_order_id;
    perform note_event('release/' || p_order_id, 'release', p_order_id, o.session_id, o.payment_id);
    return 'RELEASED';
end $$;

-- An owner's settings. What was declined in a row still counts, and its pause goes on: saying it
-- again must not charge a card again. A purchase that saves a way to pay ends both.
create function set_recharge(p_key_id bigint, p_pack text, p_currency text, p_threshold bigint,
    p_cap_minor bigint, p_notify_url text, p_notify_secret text, p_livemode boolean) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_declined_at timestamptz := (select max(changed_at) from topup_order
        where key_id = p_key_id and origin = 'recharge' and state in ('failed', 'expired'));
begin
    perform from key_balance where key_id = p_key_id for no key update;
    if not exists (select from key_customer where key_id = p_key_id
                   and livemode = p_livemode and payment_method is not null) then
        return 'NO_PAYMENT_METHOD';
    end if;
    insert into recharge as r (key_id, enabled, pack, currency, threshold_tokens,
        monthly_cap_minor, notify_url, notify_secret)
    values (p_key_id, true, p_pack, p_currency, p_threshold, p_cap_minor, p_notify_url,
        case when p_notify_url is not null then p_notify_secret end)
    on conflict (key_id) do update set enabled = true, stopped = '', pack = excluded.pack,
        currency = excluded.currency, threshold_tokens = excluded.threshold_tokens,
        monthly_cap_minor = excluded.monthly_cap_minor, notify_url = excluded.notify_url,
        notify_secret = case when r.notify_url = excluded.notify_url then r.notify_secret
            else excluded.notify_secret end,
        failures = least(r.failures, 3), changed_at = now(),
        next_at = case when r.failures = 0 or v_declined_at is null then now()
            else greatest(now(), v_declined_at
                + interval '1 hour' * power(6, least(r.failures, 3) - 1)) end;
    return 'DONE';
end $$;

-- No further recharge; one that is in flight runs to its end. False if there was none to stop.
create function stop_recharge(p_key_id bigint, p_why text) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update recharge set enabled = false, stopped = p_why, changed_at = now()
    where key_id = p_key_id and enabled;
    if found and p_why <> 'owner' then
        insert into owner_notice (key_id, kind, body)
        values (p_key_id, 'recharge.stopped', jsonb_build_object('why', p_why));
    end if;
    return found;
end $$;

-- The order of a recharge that is due: NEW, else why not. One in flight; what was bought by itself
-- in this UTC month stays within the cap. What was bought in another currency counts as what as many
-- tokens cost in this one.
create function begin_recharge(p_order_id uuid, p_key_id bigint, p_pack text, p_tokens bigint,
    p_currency text, p_price_minor bigint, p_livemode boolean, p_lifetime_s integer) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    b key_balance;
    r recharge;
    c key_customer;
    v_month timestamptz := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC';
begin
    select * into b from key_balance where key_id = p_key_id for no key update;
    select * into r from recharge where key_id = p_key_id for update;
    if not found or not r.enabled or r.in_flight is not null or r.next_at > now()
        or b.status <> 'active' or b.trial + b.paid >= r.threshold_tokens
        or (r.pack, r.currency) <> (p_pack, p_currency) then
        return 'NOT_DUE';
    end if;
    select * into c from key_customer
    where key_id = p_key_id and livemode = p_livemode and payment_method is not null;
    if not found then
        perform stop_recharge(p_key_id, 'no_payment_method');
        return 'STOPPED';
    end if;
    if p_price_minor > r.monthly_cap_minor - (
            select coalesce(sum(case when currency = p_currency then price_minor
                    else ceil(p_price_minor::numeric * tokens / p_tokens) end), 0)
            from topup_order where key_id = p_key_id and origin = 'recharge'
                and created_at >= v_month and state not in ('failed', 'expired')) then
        update recharge set next_at = v_month + interval '1 month' where key_id = p_key_id;
        insert into owner_notice (key_id, kind, body) values (p_key_id, 'recharge.cap_reached',
            jsonb_build_object('monthly_cap_minor', r.monthly_cap_minor, 'currency', r.currency));
        return 'CAP';
    end if;
    insert into topup_order (order_id, key_id, origin, idempotency_key, body_digest, pack, tokens,
        currency, price_minor, livemode, customer_id, payment_method, expires_at)
    values (p_order_id, p_key_id, 'recharge', 'recharge/' || p_order_id, '', p_pack, p_tokens,
        p_currency, p_price_minor, p_livemode, c.customer_id, c.payment_method,
        date_trunc('second', now()) + p_lifetime_s * interval '1 second');
    update recharge set in_flight = p_order_id, changed_at = now() where key_id = p_key_id;
    return 'NEW';
end $$;

create function take_notices(p_limit integer, p_lease_s integer) returns setof owner_notice
language sql security definer set search_path = public, pg_temp
begin atomic
    update owner_notice o set attempts = o.attempts + 1,
        next_at = now() + p_lease_s * interval '1 second'
    where o.notice_id in (
        select notice_id from owner_notice where done_at is null and next_at <= now()
        order by next_at limit p_limit for update skip locked)
    returning o.*;
end;

-- The notice is dealt with (`p_later_s` null), or will be tried again.
create function end_notice(p_notice_id bigint, p_outcome text, p_later_s integer) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update owner_notice set outcome = p_outcome,
        done_at = case when p_later_s is null then now() end,
        next_at = now() + coalesce(p_later_s, 0) * interval '1 second'
    where notice_id = p_notice_id and done_at is null;
end;

revoke all on key_suspension, key_debt, topup_order, stripe_inbox, key_customer, recharge,
    owner_notice, billing_sweep from public;
grant select on key_suspension, key_debt, topup_order, stripe_inbox, key_customer, recharge,
    owner_notice, billing_sweep to sluice_runtime;
revoke execute on function refresh_key_status(bigint),
    begin_order(uuid, bigint, text, bytea, text, bigint, text, bigint, boolean, jsonb, integer,
        integer),
    note_session(uuid, text, text), abandon_order(uuid, bigint, text),
    give_to_key(bigint, text, text, bigint), take_from_key(bigint, text, text, bigint),
    end_recharge(topup_order), settle_order(uuid, bigint, jsonb),
    note_event(text, text, uuid, text, text), take_inbox(integer, integer),
    end_event(text, text, integer), claim_sweep(integer), end_sweep(timestamptz),
    forget_customer(bigint, text), forget_method(bigint, text), note_look(uuid),
    release_order(uuid, text),
    set_recharge(bigint, text, text, bigint, bigint, text, text, boolean), stop_recharge(bigint, text),
    begin_recharge(uuid, bigint, text, bigint, text, bigint, boolean, integer),
    take_notices(integer, integer), end_notice(bigint, text, integer)
from public;
grant execute on function
    begin_order(uuid, bigint, text, bytea, text, bigint, text, bigint, boolean, jsonb, integer,
        integer),
    note_session(uuid, text, text), abandon_order(uuid, bigint, text),
    settle_order(uuid, bigint, jsonb), note_event(text, text, uuid, text, text),
    take_inbox(integer, integer), end_event(text, text, integer), claim_sweep(integer),
    end_sweep(timestamptz), forget_customer(bigint, text), forget_method(bigint, text),
    note_look(uuid), release_order(uuid, text),
    set_recharge(bigint, text, text, bigint, bigint, text, text, boolean),
    stop_recharge(bigint, text),
    begin_recharge(uuid, bigint, text, bigint, text, bigint, boolean, integer),
    take_notices(integer, integer), end_notice(bigint, text, integer)
to sluice_runtime;

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

-- ------------------------------------------------------------------ web sessions and accounts

-- A person who owns keys. `email` is where letters go; it was proved by a link or by a provider.
create table web_account (
    account_id uuid primary key default gen_random_uuid(),
    email text check (length(email) between 3 and 254),
    language text not null default 'en' check (language ~ '^[a-z]{2}$'),
    created_at timestamptz not null default now()
);

-- How a person is known: 'mail' and his address, or an issuer and its word for him.
create table account_identity (
    provider text not null check (length(provider) between 1 and 500),
    subject text not null check (length(subject) between 1 and 500),
    account_id uuid not null references web_account on delete cascade,
    primary key (provider, subject)
);
create index account_identity_account on account_identity (account_id);

-- A key in an account: who has typed it once, or had it made there, may look after it from then on.
-- `budget_told` and `low_told` remember which alert was sent, so that each is sent once.
create table account_key (
    account_id uuid not null references web_account on delete cascade,
    key_id bigint not null references api_key,
    name text not null default '' check (length(name) <= 60),
    alert_percent integer check (alert_percent between 1 and 100),
    alert_low_tokens bigint check (alert_low_tokens between 1 and 9007199254740991),
    budget_told text not null default '',
    low_told boolean not null default false,
    added_at timestamptz not null default clock_timestamp(),
    primary key (account_id, key_id)
);
create index account_key_key on account_key (key_id);

-- What a key may spend in a UTC month by the word of its owner. `seen_*`: what was weighed last.
create table key_budget (
    key_id bigint primary key references api_key,
    monthly_tokens bigint not null check (monthly_tokens between 1 and 9007199254740991),
    seen_version bigint not null default -1,
    seen_month date,
    seen_used bigint not null default 0
);

-- A browser that is signed in: by a key, as an account, or both. Of the cookie only a hash.
create table web_session (
    session_hash bytea primary key,
    account_id uuid references web_account on delete cascade,
    key_id bigint references api_key,
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    constraint web_session_is_somebody check (num_nonnulls(account_id, key_id) > 0)
);
create index web_session_seen_at on web_session (seen_at);
create index web_session_account on web_session (account_id);

-- What can be used once to sign in: a link in a letter, or a way to a provider and back.
create table sign_in_ticket (
    ticket_hash bytea primary key,
    kind text not null check (kind in ('mail', 'provider')),
    email text,
    made_at timestamptz not null default now(),
    over_at timestamptz not null
);
create index sign_in_ticket_over_at on sign_in_ticket (over_at);

-- Attempts to sign in that were let through, by HMAC of the address, until their window is over.
create table web_attempt (
    subject_hmac bytea not null,
    at timestamptz not null default clock_timestamp(),
    over_at timestamptz not null
);
create index web_attempt_subject on web_attempt (subject_hmac, at);
create index web_attempt_over_at on web_attempt (over_at);

-- Alerts to an account's owner; delivered once, or given up after some attempts.
create table account_notice (
    notice_id bigint generated always as identity primary key,
    account_id uuid not null references web_account on delete cascade,
    key_id bigint not null references api_key,
    kind text not null check (kind in ('budget_share', 'budget_reached', 'balance_low')),
    facts jsonb not null,
    attempts integer not null default 0,
    next_at timestamptz not null default now(),
    done_at timestamptz
);
create index account_notice_open on account_notice (next_at) where done_at is null;
create index account_notice_account on account_notice (account_id);

create function open_session(p_hash bytea, p_account uuid, p_key bigint) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    insert into web_session (session_hash, account_id, key_id) values (p_hash, p_account, p_key);
end;

-- The session if it is alive: seen within p_idle_s and begun within p_most_s. Being seen keeps it
-- alive, noted once a minute.
create function touch_session(p_hash bytea, p_idle_s integer, p_most_s integer)
returns setof web_session
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update web_session set seen_at = now() where session_hash = p_hash
        and seen_at between now() - p_idle_s * interval '1 second' and now() - interval '1 minute'
        and created_at > now() - p_most_s * interval '1 second';
    return query select * from web_session where session_hash = p_hash
        and seen_at > now() - p_idle_s * interval '1 second'
        and created_at > now() - p_most_s * interval '1 second';
end $$;

-- The session looks at another key of its account, or (null) at none; false: it may not.
create function choose_session_key(p_hash bytea, p_key bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update web_session s set key_id = p_key where session_hash = p_hash
        and account_id is not null and (p_key is null or exists (select from account_key k
            where k.account_id = s.account_id and k.key_id = p_key));
    return found;
end $$;

create function close_session(p_hash bytea) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    delete from web_session where session_hash = p_hash;
end;

-- Notes an attempt; null if it is one of at most p_most in any p_window_s seconds, else the wait.
create function note_attempt(p_subject bytea, p_most integer, p_window_s integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_window interval := p_window_s * interval '1 second';
    v_free timestamptz;
begin
    perform pg_advisory_xact_lock(hashtextextended('attempt ' || encode(p_subject, 'hex'), 0));
    select at + v_window into v_free from web_attempt
    where subject_hmac = p_subject and at > clock_timestamp() - v_window
    order by at desc offset p_most - 1 limit 1;
    if v_free is not null then
        return greatest(1, ceil(extract(epoch from v_free - clock_timestamp())))::integer;
    end if;
    insert into web_attempt (subject_hmac, over_at) values (p_subject, clock_timestamp() + v_window);
    return null;
end $$;

create function keep_ticket(p_hash bytea, p_kind text, p_email text, p_life_s integer) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    insert into sign_in_ticket (ticket_hash, kind, email, over_at)
    values (p_hash, p_kind, p_email, now() + p_life_s * interval '1 second');
end;

-- The ticket, which is used up by that; no row if there is none, or not any more.
create function use_ticket(p_hash bytea, p_kind text) returns setof sign_in_ticket
language sql security definer set search_path = public, pg_temp
begin atomic
    delete from sign_in_ticket where ticket_hash = p_hash and kind = p_kind and over_at > now()
    returning *;
end;

-- The account of who proved this identity, made if it is new. An address that a provider vouches
-- for is the same person as who read a letter there.
create function sign_in(p_provider text, p_subject text, p_email text, p_language text)
returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_account uuid;
begin
    perform pg_advisory_xact_lock(hashtextextended(
        'account ' || coalesce(p_email, p_provider || ' ' || p_subject), 0));
    select account_id into v_account from account_identity
    where (provider, subject) = (p_provider, p_subject);
    if found then
        if p_email is not null then
            update web_account set email = p_email
            where account_id = v_account and email is distinct from p_email;
        end if;
        return v_account;
    end if;
    if p_email is not null then
        select account_id into v_account from account_identity
        where (provider, subject) = ('mail', p_email);
    end if;
    if v_account is null then
        insert into web_account (email, language) values (p_email, p_language)
        returning account_id into v_account;
    end if;
    insert into account_identity (provider, subject, account_id)
    select distinct provider, subject, v_account from (values (p_provider, p_subject),
        ('mail', p_email)) as known (provider, subject) where subject is not null
    on conflict do nothing;
    return v_account;
end $$;

-- Puts a key into an account; false if it has p_most of them already.
create function add_account_key(p_account uuid, p_key bigint, p_name text, p_most integer)
returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from web_account where account_id = p_account for update;
    if (select count(*) from account_key where account_id = p_account and key_id <> p_key) >= p_most
    then
        return false;
    end if;
    insert into account_key (account_id, key_id, name) values (p_account, p_key, p_name)
    on conflict (account_id, key_id) do update set name = excluded.name where excluded.name <> '';
    return true;
end $$;

-- Name and alerts of a key in an account; false: it is not there.
create function set_account_key(p_account uuid, p_key bigint, p_name text, p_percent integer,
    p_low bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update account_key set name = p_name, alert_percent = p_percent, alert_low_tokens = p_low,
        budget_told = case when alert_percent is distinct from p_percent then '' else budget_told
            end,
        low_told = low_told and alert_low_tokens is not distinct from p_low
    where account_id = p_account and key_id = p_key;
    return found;
end $$;

-- Takes a key out of an account, and out of the account's sessions; the key itself stays as it is.
create function drop_account_key(p_account uuid, p_key bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from account_key where account_id = p_account and key_id = p_key;
    if not found then
        return false;
    end if;
    update web_session set key_id = null where account_id = p_account and key_id = p_key;
    return true;
end $$;

-- The account with all that belongs to it and to nobody else; its keys go on without it.
create function drop_account(p_account uuid) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    delete from web_account where account_id = p_account;
end;

create function set_account_language(p_account uuid, p_language text) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update web_account set language = p_language
    where account_id = p_account and language <> p_language;
end;

-- Tokens that a key has been charged in the current UTC month.
create function month_tokens(p_key_id bigint) returns bigint
language sql stable set search_path = public, pg_temp
return (select coalesce(sum(tokens), 0)::bigint from usage_day where key_id = p_key_id
    and day >= date_trunc('month', timezone('utc', now()))::date);

-- Suspends a key whose budget of this month is used up, and lifts what a budget had suspended when
-- it is not any more. An operator's word that the key is active stands until budget or month change.
create function weigh_budget(p_key_id bigint) returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    v_month date := date_trunc('month', timezone('utc', now()))::date;
    v_budget bigint;
    v_used bigint := 0;
    v_spent boolean;
    v_ref text;
begin
    perform from key_balance where key_id = p_key_id for no key update;
    select monthly_tokens into v_budget from key_budget where key_id = p_key_id;
    if v_budget is not null then
        v_used := month_tokens(p_key_id);
    end if;
    v_spent := coalesce(v_used >= v_budget, false);
    v_ref := coalesce(to_char(v_month, 'YYYY-MM') || '/' || v_budget, '');
    delete from key_suspension where key_id = p_key_id and cause = 'budget'
        and (not v_spent or ref <> v_ref);
    if v_spent then
        insert into key_suspension (key_id, cause, ref) values (p_key_id, 'budget', v_ref)
        on conflict do nothing;
    end if;
    perform refresh_key_status(p_key_id);
    update key_budget set seen_month = v_month, seen_used = v_used,
        seen_version = (select version from key_balance where key_id = p_key_id)
    where key_id = p_key_id;
end $$;

-- Sets or (null) ends the budget of a key, in force with the answer.
create function set_key_budget(p_key_id bigint, p_tokens bigint) returns verdict
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_status text;
begin
    select status into v_status from key_balance where key_id = p_key_id for no key update;
    if not found then
        return verdict_on(null, 'UNKNOWN_KEY');
    elsif v_status = 'revoked' then
        return verdict_on(p_key_id, 'REVOKED');
    elsif p_tokens is null then
        delete from key_budget where key_id = p_key_id;
    else
        insert into key_budget (key_id, monthly_tokens) values (p_key_id, p_tokens)
        on conflict (key_id) do update set monthly_tokens = excluded.monthly_tokens;
    end if;
    perform weigh_budget(p_key_id);
    return verdict_on(p_key_id);
end $$;

-- Weighs budgets of keys that changed since, at most p_most of them; answers how many.
create function weigh_budgets(p_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_key bigint;
    v_count integer := 0;
begin
    for v_key in
        select b.key_id from key_budget b join key_balance k using (key_id)
        where k.status <> 'revoked' and (b.seen_version <> k.version or b.seen_month is distinct
            from date_trunc('month', timezone('utc', now()))::date)
        order by b.key_id limit p_most
    loop
        perform weigh_budget(v_key);
        v_count := v_count + 1;
    end loop;
    return v_count;
end $$;

-- Notes the alerts that are due, each once: per month and budget, and per fall below the mark.
create function note_alerts() returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_month text := to_char(timezone('utc', now()), 'YYYY-MM');
    v_count integer;
begin
    with watched as (
        select a.account_id, a.key_id, a.budget_told, b.monthly_tokens,
            case when b.seen_month = date_trunc('month', timezone('utc', now()))::date
                then b.seen_used else 0 end as used,
            v_month || '/' || b.monthly_tokens as mark, coalesce(a.alert_percent, 100) as percent
        from account_key a join key_budget b using (key_id) join key_balance k using (key_id)
        where k.status <> 'revoked'
    ), due as (
        select *, case when used >= monthly_tokens then 'budget_reached' else 'budget_share' end
            as kind
        from watched where used * 100 >= monthly_tokens * percent::numeric
    ), told as (
        update account_key a set budget_told = d.mark || '/' || d.kind from due d
        where a.account_id = d.account_id and a.key_id = d.key_id
            and a.budget_told not in (d.mark || '/' || d.kind, d.mark || '/budget_reached')
        returning a.account_id, a.key_id, d.kind, d.used, d.monthly_tokens
    ), low as (
        update account_key a set low_told = k.trial + k.paid < a.alert_low_tokens
        from key_balance k where k.key_id = a.key_id and k.status <> 'revoked'
            and a.alert_low_tokens is not null
            and a.low_told <> (k.trial + k.paid < a.alert_low_tokens)
            -- One row is changed once: what both say is noted the next time.
            and (a.account_id, a.key_id) not in (select account_id, key_id from told)
        returning a.account_id, a.key_id, a.low_told, k.trial + k.paid as left_tokens,
            a.alert_low_tokens
    )
    insert into account_notice (account_id, key_id, kind, facts)
    select account_id, key_id, kind,
        jsonb_build_object('used_tokens', used, 'budget_tokens', monthly_tokens) from told
    union all
    select account_id, key_id, 'balance_low',
        jsonb_build_object('left_tokens', left_tokens, 'mark_tokens', alert_low_tokens)
    from low where low_told;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- Open notices with a lease: who takes one and dies leaves it to the next after p_lease_s.
create function take_account_notices(p_limit integer, p_lease_s integer)
returns setof account_notice
language sql security definer set search_path = public, pg_temp
begin atomic
    update account_notice set attempts = attempts + 1,
        next_at = now() + p_lease_s * interval '1 second'
    where notice_id in (
        select notice_id from account_notice where done_at is null and next_at <= now()
        order by next_at limit p_limit for update skip locked)
    returning *;
end;

-- Done, or to be tried again in p_later_s.
create function end_account_notice(p_notice bigint, p_later_s integer) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update account_notice set done_at = case when p_later_s is null then now() end,
        next_at = now() + coalesce(p_later_s, 0) * interval '1 second'
    where notice_id = p_notice and done_at is null;
end;

-- Forgets sessions, tickets, attempts and notices that are over; answers how many.
create function forget_web(p_idle_s integer, p_most_s integer, p_limit integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_some integer;
    v_all integer := 0;
begin
    delete from web_session where session_hash in (select session_hash from web_session
        where seen_at < now() - p_idle_s * interval '1 second'
            or created_at < now() - p_most_s * interval '1 second' limit p_limit);
    get diagnostics v_some = row_count;
    v_all := v_all + v_some;
    delete from sign_in_ticket where ticket_hash in (select ticket_hash from sign_in_ticket
        where over_at < now() limit p_limit);
    get diagnostics v_some = row_count;
    v_all := v_all + v_some;
    delete from web_attempt where ctid in (select ctid from web_attempt
        where over_at < now() limit p_limit);
    get diagnostics v_some = row_count;
    v_all := v_all + v_some;
    delete from account_notice where notice_id in (select notice_id from account_notice
        where done_at < now() - interval '30 days' limit p_limit);
    get diagnostics v_some = row_count;
    return v_all + v_some;
end $$;

revoke all on web_account, account_identity, account_key, key_budget, web_session, sign_in_ticket,
    web_attempt, account_notice from public;
grant select on web_account, account_identity, account_key, key_budget, web_session,
    account_notice to sluice_runtime;
revoke execute on function open_session(bytea, uuid, bigint),
    touch_session(bytea, integer, integer), choose_session_key(bytea, bigint),
    close_session(bytea), note_attempt(bytea, integer, integer),
    keep_ticket(bytea, text, text, integer), use_ticket(bytea, text),
    sign_in(text, text, text, text), add_account_key(uuid, bigint, text, integer),
    set_account_key(uuid, bigint, text, integer, bigint), drop_account_key(uuid, bigint),
    drop_account(uuid), set_account_language(uuid, text), month_tokens(bigint),
    weigh_budget(bigint), set_key_budget(bigint, bigint), weigh_budgets(integer), note_alerts(),
    take_account_notices(integer, integer), end_account_notice(bigint, integer),
    forget_web(integer, integer, integer)
from public;
grant execute on function open_session(bytea, uuid, bigint),
    touch_session(bytea, integer, integer), choose_session_key(bytea, bigint),
    close_session(bytea), note_attempt(bytea, integer, integer),
    keep_ticket(bytea, text, text, integer), use_ticket(bytea, text),
    sign_in(text, text, text, text), add_account_key(uuid, bigint, text, integer),
    set_account_key(uuid, bigint, text, integer, bigint), drop_account_key(uuid, bigint),
    drop_account(uuid), set_account_language(uuid, text), month_tokens(bigint),
    set_key_budget(bigint, bigint), weigh_budgets(integer), note_alerts(),
    take_account_notices(integer, integer), end_account_notice(bigint, integer),
    forget_web(integer, integer, integer)
to sluice_runtime;

select ensure_outcome_months(3);
insert into migration (name) values
    ('0001_pre_initial.sql'), ('0002_pre_key_owner.sql'), ('0003_pre_classifiers.sql'),
    ('0004_pre_traces.sql'), ('0005_pre_billing.sql'), ('0006_pre_transfer_idempotency.sql'),
    ('0007_pre_closing.sql'), ('0008_pre_accounts.sql'), ('0009_pre_billing_mended.sql'),
    ('0010_pre_weighed_budgets.sql'), ('0011_pre_taken.sql'), ('0012_pre_room.sql'),
    ('0013_pre_untold.sql');
