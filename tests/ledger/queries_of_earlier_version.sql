-- mint_key: a new key with its grant, or the refusal of its address
select * from mint_key($1, $2, $3, $4, $5, $6);

-- find_key: the unchanging part of the key with this HMAC
select key_id, (extract(epoch from created_at) * 1000)::bigint as created_at_ms
from api_key where key_hmac = $1;

-- load_balance: the newest balance row of one key
select * from balance where key_id = $1;

-- load_balances: the newest balance rows of several keys
select * from balance where key_id = any ($1::bigint[]);

-- post_outcomes: group commit of charges and voids; answers the newest row of every key named
select * from post_outcomes($1::text::jsonb);

-- refund_undelivered: gives back what was taken for answers that never arrived
select * from refund_undelivered($1::uuid[]);

-- credit_key: adds tokens to a bucket, once per ref
select * from credit_key($1, $2, $3, $4);

-- revoke_key: ends a key for ever and forfeits what is left
select * from revoke_key($1);

-- set_key_status: suspends a key or makes it active again
select * from set_key_status($1, $2);

-- set_key_limits: replaces the limits of the products named
select * from set_key_limits($1, $2::text::jsonb);

-- set_key_owner: notes whose key it is
select set_key_owner($1, $2);

-- take_outbox: balances that changed by another way than the shipper, oldest note first
select b.* from balance_outbox o join balance b using (key_id) order by o.noted_at limit $1;

-- clear_outbox: forgets the notes whose version has reached Redis
select clear_outbox($1::bigint[], $2::bigint[]);

-- beat_instance: an instance lives, and all its admissions below a number have ended
select beat_instance($1, $2, $3::bigint[], $4, $5);

-- list_instances: the instances that have not been drained, the latest beat first
select instance, (extract(epoch from now() - beat_at) * 1000)::bigint as beat_age_ms,
       complete_below, stopped, drained
from instance where not drained order by beat_at desc limit $1;

-- drained_instances: which of these instances have posted all that they decided
select instance from instance where instance = any ($1::text[]) and drained;

-- posted_requests: which of these requests have an outcome
select o.request_id::text from unnest($1::uuid[]) r
join outcome o on o.request_id = r and o.month = outcome_month(r);

-- ensure_outcome_months: makes the partitions of the months ahead
select ensure_outcome_months($1);

-- create_classifier: what was learned becomes a classifier, unless its owner has enough of them
select create_classifier($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- count_classifiers: how many the owner has
select count(*) from classifier where owner_key = $1;

-- load_classifier: all that the next update of an owner's classifier begins with
select version, model, dimension_count, labels, statistics
from classifier where classifier_id = $1 and owner_key = $2;

-- update_classifier: what an update learned, if the version that it read still stands
select update_classifier($1, $2, $3, $4, $5, $6);

-- find_usable_classifier: what a caller may classify with; no weights if he has this version
select * from usable_classifier($1, $2, $3);

-- list_classifiers: an owner's classifiers as he sees them, oldest first
select classifier_id, model, labels, access, updated_number, used_number, created_at, updated_at,
    used_at
from classifier where owner_key = $1 order by created_at, classifier_id;

-- view_classifier: one classifier as its owner sees it
select classifier_id, model, labels, access, updated_number, used_number, created_at, updated_at,
    used_at
from classifier where classifier_id = $1 and owner_key = $2;

-- count_classifier_uses: uses since the last call, of many classifiers at once
select count_classifier_uses($1, $2, $3);

-- delete_classifier: forgets one for ever; whether it was there
select delete_classifier($1, $2);

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

