-- usage_by_day: requests and tokens of a key in the last days, grouped by day, product or both
select case when $3 then to_char(day, 'YYYY-MM-DD') end as day,
       case when $4 then product end as product,
       sum(requests)::bigint as requests, sum(tokens)::bigint as tokens
from usage_day
where key_id = $1 and day > (now() at time zone 'UTC')::date - $2::integer
group by 1, 2 order by 1 desc, 2 limit $5;

-- recent_requests: the latest requests of a key that have ended, newest first
select o.request_id::text, product, kind, outcome, rule, http_status, cost_tokens, from_trial,
       from_paid, shortfall, given.back as given_back_tokens, reported_tokens, held_tokens,
       admitted_ms, decided_ms
from outcome o, lateral (
    select coalesce(sum(t.tokens), 0)::bigint as back from transfer t
    where t.kind = 'undelivered'
        and t.ref in (o.request_id || '/trial', o.request_id || '/paid')) given
where key_id = $1 order by o.request_id desc limit $2;

-- request_of_key: how one request of a key ended
select o.request_id::text, product, kind, outcome, rule, http_status, cost_tokens, from_trial,
       from_paid, shortfall, given.back as given_back_tokens, reported_tokens, held_tokens,
       admitted_ms, decided_ms
from outcome o, lateral (
    select coalesce(sum(t.tokens), 0)::bigint as back from transfer t
    where t.kind = 'undelivered'
        and t.ref in (o.request_id || '/trial', o.request_id || '/paid')) given
where o.request_id = $2::uuid and o.month = outcome_month($2::uuid) and key_id = $1;

-- receipts_of_key: what came to a key from outside, newest first
select kind, substr(credit_account, 5) as bucket, tokens,
       (extract(epoch from posted_at) * 1000)::bigint as posted_ms
from transfer where credit_key = $1 and kind <> 'undelivered'
order by credit_seq desc limit $2;

-- view_key: a key with its balance
select k.last_characters, k.owner, (extract(epoch from k.created_at) * 1000)::bigint
           as created_at_ms, b.*
from api_key k join balance b using (key_id) where key_id = $1;

-- find_keys: keys by id, by the beginning of their owner or by their last characters, newest first
select k.last_characters, k.owner, (extract(epoch from k.created_at) * 1000)::bigint
           as created_at_ms, b.*
from (
    (select * from api_key where key_id = $1)
    union
    (select * from api_key where last_characters = $2 order by created_at desc limit $4)
    union
    (select * from api_key where owner <> '' and lower(owner) like lower($3)
     order by created_at desc limit $4)
) k join balance b using (key_id)
order by k.created_at desc limit $4;

-- ledger_figures: what the proof does not forbid but an operator wants to see
select (select coalesce(sum(shortfall), 0)::bigint from outcome where shortfall > 0)
           as shortfall_tokens,
       (select count(*) from contradiction) as contradictions,
       (select count(*) from balance_outbox) as outbox_keys,
       (select coalesce(max(extract(epoch from now() - noted_at) * 1000), 0)::bigint
        from balance_outbox) as outbox_age_ms;

-- account_sums: tokens that each account has gained, over all time; together they are 0
select account, coalesce(sum(tokens), 0)::bigint as tokens from account
left join (
    select credit_account as account, tokens from transfer
    union all select debit_account, -tokens from transfer
    union all select 'revenue_trial', from_trial from outcome
    union all select 'key_trial', -from_trial from outcome
    union all select 'revenue_paid', from_paid from outcome
    union all select 'key_paid', -from_paid from outcome) entry using (account)
group by account order by account;
