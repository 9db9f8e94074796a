-- Top-ups, refunds and disputes, what suspends a key, what a key owes, recharges.

alter table transfer drop constraint transfer_kind_check;
alter table transfer add constraint transfer_kind_check
    check (kind in ('grant', 'topup', 'transfer', 'forfeit', 'undelivered',
                    'credit', 'refund', 'dispute', 'writeoff', 'debt'));

-- Why a key is suspended. It is suspended while a row of it has not ended: an operator's word and
-- each dispute count for themselves, so that the end of one never lifts another.
create table key_suspension (
    key_id bigint not null references api_key,
    cause text not null check (cause in ('operator', 'dispute')),
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
-- `return_due`: the key was revoked before the money came, so the money goes back.
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
create function give_to_key(p_key_id bigint, p_kind text, p_ref text, p_tokens bigint)
returns void language plpgsql set search_path = public, pg_temp as $$
declare
    v_revoked boolean := (select status = 'revoked' from key_balance where key_id = p_key_id);
    v_debt bigint := least(p_tokens,
        coalesce((select tokens from key_debt where key_id = p_key_id), 0));
begin
    if not v_revoked then
        perform post_transfer(p_kind, p_ref, p_tokens, 'stripe_clearing', null,
                              'key_paid', p_key_id);
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
            n.state := case when n.refunded_minor >= n.paid_minor then 'returned'
                else 'returning' end;
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

-- Stripe does not know this customer any more: the next checkout makes another one.
create function forget_customer(p_key_id bigint, p_customer_id text) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    delete from key_customer where key_id = p_key_id and customer_id = p_customer_id;
end;

-- An owner's settings; a new word of his forgets what was declined before.
create function set_recharge(p_key_id bigint, p_pack text, p_currency text, p_threshold bigint,
    p_cap_minor bigint, p_notify_url text, p_notify_secret text, p_livemode boolean) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
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
        failures = 0, next_at = now(), changed_at = now();
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
-- in this UTC month stays within the cap.
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
            select coalesce(sum(price_minor), 0) from topup_order where key_id = p_key_id
                and origin = 'recharge' and currency = p_currency and created_at >= v_month
                and state not in ('failed', 'expired')) then
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
    forget_customer(bigint, text),
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
    end_sweep(timestamptz), forget_customer(bigint, text),
    set_recharge(bigint, text, text, bigint, bigint, text, text, boolean),
    stop_recharge(bigint, text),
    begin_recharge(uuid, bigint, text, bigint, text, bigint, boolean, integer),
    take_notices(integer, integer), end_notice(bigint, text, integer)
to sluice_runtime;

-- Until now only an operator could suspend a key.
insert into key_suspension (key_id, cause)
select key_id, 'operator' from key_balance where status = 'suspended';

-- active <-> suspended; a revoked key refuses both. The operator's word that a key is active ends
-- whatever suspends it, a dispute too.
create or replace function set_key_status(p_key_id bigint, p_status text) returns verdict
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
