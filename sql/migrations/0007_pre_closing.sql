-- Closed days: each UTC day gets a chain of hashes over what its charges took, for ever; and the
-- history of the canary. Making the index on `outcome` stops the shippers meanwhile: spools grow.

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
