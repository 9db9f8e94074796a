-- People sign in on the web pages: by a key, by a link in a letter, or at a provider. An account
-- looks after several keys, their names, monthly budgets and alerts.

-- The owner's own monthly budget suspends a key, beside an operator and a dispute.
alter table key_suspension drop constraint key_suspension_cause_check,
    add constraint key_suspension_cause_check check (cause in ('operator', 'dispute', 'budget'));

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
    seen_month date
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
    v_spent boolean;
    v_ref text;
begin
    perform from key_balance where key_id = p_key_id for no key update;
    select monthly_tokens into v_budget from key_budget where key_id = p_key_id;
    v_spent := coalesce(month_tokens(p_key_id) >= v_budget, false);
    v_ref := coalesce(to_char(v_month, 'YYYY-MM') || '/' || v_budget, '');
    delete from key_suspension where key_id = p_key_id and cause = 'budget'
        and (not v_spent or ref <> v_ref);
    if v_spent then
        insert into key_suspension (key_id, cause, ref) values (p_key_id, 'budget', v_ref)
        on conflict do nothing;
    end if;
    perform refresh_key_status(p_key_id);
    update key_budget set seen_month = v_month,
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
            month_tokens(a.key_id) as used,
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
