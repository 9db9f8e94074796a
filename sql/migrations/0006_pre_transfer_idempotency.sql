-- Owners move paid tokens between their keys, and out of a key that they revoke; requests with an
-- Idempotency-Key are done once, and their answer is kept for a day.

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
insert into revocation (key_id) select key_id from key_balance where status = 'revoked';

create trigger deed_append_only before update or delete on deed
    for each row execute function refuse('append-only');
create trigger deed_no_truncate before truncate on deed
    for each statement execute function refuse('append-only');
create trigger revocation_append_only before update or delete on revocation
    for each row execute function refuse('append-only');
create trigger revocation_no_truncate before truncate on revocation
    for each statement execute function refuse('append-only');

drop function revoke_key(bigint);

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
    if v_verdict = 'CLAIMED' and k.state = 'kept' then
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

grant select on deed, revocation, kept_answer, kept_room to sluice_runtime;
revoke execute on function free_room(bigint, text[]),
    transfer_refusal(key_balance, key_balance, bigint, bigint),
    deed_done(bigint, bigint, bigint, bigint), preview_transfer(bigint, bigint, bigint, bigint),
    transfer_paid(bigint, bigint, bigint, bigint, text, text, text),
    revoke_key(bigint, bigint, bigint),
    claim_answer(bigint, text, bytea, uuid, text, bigint),
    keep_answer(bigint, text, uuid, integer, bytea, bytea, bigint),
    end_answer(bigint, text, uuid, boolean), forget_answers(integer)
from public;
grant execute on function preview_transfer(bigint, bigint, bigint, bigint),
    transfer_paid(bigint, bigint, bigint, bigint, text, text, text),
    revoke_key(bigint, bigint, bigint),
    claim_answer(bigint, text, bytea, uuid, text, bigint),
    keep_answer(bigint, text, uuid, integer, bytea, bytea, bigint),
    end_answer(bigint, text, uuid, boolean), forget_answers(integer)
to sluice_runtime;
