-- What a budget was weighed with is kept, so that alerts need not add up a month of every key again.

alter table key_budget add column seen_used bigint not null default 0;

-- Suspends a key whose budget of this month is used up, and lifts what a budget had suspended when
-- it is not any more. An operator's word that the key is active stands until budget or month change.
create or replace function weigh_budget(p_key_id bigint) returns void
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

-- Notes the alerts that are due, each once: per month and budget, and per fall below the mark.
create or replace function note_alerts() returns integer
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
