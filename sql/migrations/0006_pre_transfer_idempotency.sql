-- Owners move paid tokens between their keys, and out of a key that they revoke.

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

grant select on deed, revocation to sluice_runtime;
revoke execute on function transfer_refusal(key_balance, key_balance, bigint, bigint),
    deed_done(bigint, bigint, bigint, bigint), preview_transfer(bigint, bigint, bigint, bigint),
    transfer_paid(bigint, bigint, bigint, bigint, text, text, text),
    revoke_key(bigint, bigint, bigint)
from public;
grant execute on function preview_transfer(bigint, bigint, bigint, bigint),
    transfer_paid(bigint, bigint, bigint, bigint, text, text, text),
    revoke_key(bigint, bigint, bigint)
to sluice_runtime;
