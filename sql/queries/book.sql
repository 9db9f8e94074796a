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

-- revoke_key: ends a key for ever; what may move goes to another key first, if one is named
select * from revoke_key($1, $2, $3);

-- transfer_paid: moves paid tokens to another key, once per name
select * from transfer_paid($1, $2, $3, $4, $5, $6, $7);

-- preview_transfer: what transfer_paid would do now
select * from preview_transfer($1, $2, $3, $4);

-- recently_revoked: the newest rows of keys revoked within some days, a page of them
select b.* from revocation r join balance b using (key_id)
where r.revoked_at > now() - $1::integer * interval '1 day' and r.key_id > $2
order by r.key_id limit $3;

-- set_key_status: suspends a key or makes it active again
select * from set_key_status($1, $2);

-- set_key_limits: replaces the limits of the products named
select * from set_key_limits($1, $2::text::jsonb);

-- set_key_owner: notes whose key it is
select set_key_owner($1, $2);

-- take_outbox: balances that no shipper could tell to Redis, oldest note first
select b.* from balance_outbox o join balance b using (key_id)
order by o.noted_at, o.key_id limit $1;

-- note_balances: puts into the outbox what Redis could not be told
select note_balances($1::bigint[]);

-- clear_outbox: forgets the notes whose version has reached Redis
select clear_outbox($1::bigint[], $2::bigint[]);

-- beat_instance: an instance lives, and all its admissions below a number have ended
select beat_instance($1, $2, $3::bigint[], $4, $5);

-- list_instances: the instances that have not been drained, the latest beat first
select instance, (extract(epoch from now() - beat_at) * 1000)::bigint as beat_age_ms,
       complete_below, stopped, drained
from instance where not drained order by beat_at desc limit $1;

-- count_gateways: instances that beat in the same seconds as the one that beat last
select count(*) from instance
where not stopped and beat_at > (select max(beat_at) from instance where not stopped)
    - $1::integer * interval '1 second';

-- drained_instances: which of these instances have posted all that they decided
select instance from instance where instance = any ($1::text[]) and drained;

-- posted_requests: which of these requests have an outcome
select o.request_id::text from unnest($1::uuid[]) r
join outcome o on o.request_id = r and o.month = outcome_month(r);

-- ensure_outcome_months: makes the partitions of the months ahead
select ensure_outcome_months($1);
