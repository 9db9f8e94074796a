-- Held orders can be released, recharges keep their pauses and caps, what Stripe lost is let go.

alter table topup_order add column released text not null default ''
    check (released in ('', 'credit', 'return'));

-- Brings an order, its key and the books to what Stripe says of it (`p_seen`, see
-- gateway/billing/till.py), if nobody did since `p_version` was read; else the refusal CHANGED.
--   1. Not paid for: only the state changes.
--   2. Paid for the first time: all its tokens come to the key, which becomes premium. The key is
--      revoked: nothing is moved, and the money is due to be returned.
--   3. Of p money, r refunded or in dispute: the key keeps tokens - floor(tokens * r / p) of it.
--      The difference to what was granted before is one move, whatever came in between.
--   4. Each dispute that is open or lost suspends the key; one that was won does not any more.
create or replace function settle_order(p_order_id uuid, p_version bigint, p_seen jsonb) returns verdict
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

-- Stripe does not know this customer any more: orders that it was not asked about yet, and later
-- ones, make another one.
create or replace function forget_customer(p_key_id bigint, p_customer_id text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from key_balance where key_id = p_key_id for no key update;
    delete from key_customer where key_id = p_key_id and customer_id = p_customer_id;
    update topup_order set request = request || '{"customer": null, "anew": true}',
        version = version + 1, changed_at = now()
    where key_id = p_key_id and state = 'created' and request ->> 'customer' = p_customer_id;
end $$;

-- The saved way to pay is gone at Stripe.
create or replace function forget_method(p_key_id bigint, p_method text) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update key_customer set payment_method = null
    where key_id = p_key_id and payment_method = p_method;
end;

-- Somebody looks at the order now: whoever looks at what waited longest comes to the others first.
create or replace function note_look(p_order_id uuid) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    update topup_order set looked_at = now() where order_id = p_order_id;
end;

-- What an operator decided about money that is held: its tokens come to the key, or it goes back.
-- Once; the worker looks at the order again and does it. RELEASED, or why not.
create or replace function release_order(p_order_id uuid, p_decision text) returns text
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
create or replace function set_recharge(p_key_id bigint, p_pack text, p_currency text, p_threshold bigint,
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

-- The order of a recharge that is due: NEW, else why not. One in flight; what was bought by itself
-- in this UTC month stays within the cap. What was bought in another currency counts as what as many
-- tokens cost in this one.
create or replace function begin_recharge(p_order_id uuid, p_key_id bigint, p_pack text, p_tokens bigint,
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

revoke execute on function forget_method(bigint, text), note_look(uuid), release_order(uuid, text)
from public;
grant execute on function forget_method(bigint, text), note_look(uuid), release_order(uuid, text)
to sluice_runtime;
