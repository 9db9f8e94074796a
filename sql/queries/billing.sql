-- begin_order: a new order of a key, or why not
select begin_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11, $12);

-- note_session: Stripe made a session for the order
select note_session($1, $2, $3);

-- abandon_order: an order that nobody can pay any more is over
select abandon_order($1, $2, $3);

-- settle_order: brings order, key and books to what Stripe says of the order
select * from settle_order($1, $2, $3::text::jsonb);

-- order_by_id: one order
select order_id::text, key_id, origin, pack, tokens, currency, price_minor, livemode, request,
       state, version, session_id, session_url, payment_id, customer_id, payment_method,
       invoice_url, facts, paid_minor, refunded_minor, disputed_minor, topped_up, return_due,
       released, granted_tokens, note, floor(extract(epoch from created_at))::bigint as created_s,
       extract(epoch from expires_at)::bigint as expires_s
from topup_order where order_id = $1;

-- order_by_idempotency: the order of a key under its idempotency key
select order_id::text from topup_order where key_id = $1 and idempotency_key = $2;

-- order_by_hint: the order that an event is about, by what the event names
select order_id::text from topup_order
where order_id = $1::uuid or session_id = $2 or payment_id = $3
order by (order_id = $1::uuid) desc nulls last limit 1;

-- orders_of_key: a key's orders, newest first
select order_id::text, key_id, origin, pack, tokens, currency, price_minor, livemode, request,
       state, version, session_id, session_url, payment_id, customer_id, payment_method,
       invoice_url, facts, paid_minor, refunded_minor, disputed_minor, topped_up, return_due,
       released, granted_tokens, note, floor(extract(epoch from created_at))::bigint as created_s,
       extract(epoch from expires_at)::bigint as expires_s
from topup_order where key_id = $1 order by created_at desc, order_id desc limit $2;

-- orders_to_look_at: open orders that nobody has looked at for a while, and held ones now and then
select order_id::text from topup_order
where state in ('created', 'awaiting', 'pending', 'returning')
    and looked_at <= now() - $1::integer * interval '1 second'
    or state = 'held' and looked_at <= now() - 6 * $1::integer * interval '1 second'
order by looked_at limit $2;

-- customer_of_key: whom the key pays as
select customer_id, payment_method from key_customer where key_id = $1 and livemode = $2;

-- forget_customer: Stripe does not know this customer any more
select forget_customer($1, $2);

-- forget_method: the key's saved way to pay is gone
select forget_method($1, $2);

-- note_look: somebody looks at the order now
select note_look($1);

-- release_order: what an operator decided about money that is held
select release_order($1::uuid, $2);

-- debt_of_key: tokens that the key owes, which its next top-up pays first
select coalesce((select tokens from key_debt where key_id = $1), 0)::bigint;

-- note_event: an event of Stripe, once
select note_event($1, $2, $3::uuid, $4, $5);

-- take_inbox: events to work at, each with a lease
select event_id, order_hint::text, session_hint, payment_hint, attempts from take_inbox($1, $2);

-- end_event: an event is dealt with, or has to wait
select end_event($1, $2, $3);

-- claim_sweep: from when on Stripe's list is to be read, if it is our turn
select extract(epoch from claim_sweep($1))::bigint;

-- end_sweep: Stripe's list has been read up to here
select end_sweep(to_timestamp($1::bigint));

-- recharge_of_key: what the owner allowed
select enabled, stopped, pack, currency, threshold_tokens, monthly_cap_minor, notify_url,
       notify_secret, failures, extract(epoch from next_at)::bigint as next_s,
       in_flight::text
from recharge where key_id = $1;

-- set_recharge: the owner allows it
select set_recharge($1, $2, $3, $4, $5, $6, $7, $8);

-- stop_recharge: it is not allowed any more
select stop_recharge($1, $2);

-- due_recharges: keys that are below their threshold
select r.key_id, r.pack, r.currency from recharge r join key_balance b using (key_id)
where r.enabled and r.in_flight is null and r.next_at <= now() and b.status = 'active'
    and b.trial + b.paid < r.threshold_tokens
order by r.next_at limit $1;

-- begin_recharge: the order of a recharge that is due, or why not
select begin_recharge($1, $2, $3, $4, $5, $6, $7, $8);

-- recharges_to_resume: orders of recharges whose payment nobody has seen
select order_id::text from topup_order
where origin = 'recharge' and state = 'created' and payment_id is null
    and looked_at <= now() - $1::integer * interval '1 second'
order by looked_at limit $2;

-- take_notices: what owners' webhooks are to be told, each with a lease
select n.notice_id, n.key_id, n.kind, n.body, n.attempts,
       extract(epoch from n.created_at)::bigint as created_s, r.notify_url, r.notify_secret
from take_notices($1, $2) n left join recharge r using (key_id);

-- end_notice: a notice is dealt with, or will be tried again
select end_notice($1, $2, $3);

-- billing_figures: what an operator wants to see
select (select count(*) from stripe_inbox where done_at is null) as inbox_open,
       (select coalesce(max(extract(epoch from now() - received_at)), 0)::bigint
        from stripe_inbox where done_at is null) as inbox_age_s,
       (select count(*) from topup_order where state = 'held') as orders_held,
       (select count(*) from topup_order where state = 'returning') as orders_returning,
       (select coalesce(sum(tokens), 0)::bigint from key_debt) as debt_tokens;

-- orders_in_state: orders of all keys in one state, for an operator, newest first
select order_id::text, key_id, origin, pack, tokens, currency, price_minor, livemode, request,
       state, version, session_id, session_url, payment_id, customer_id, payment_method,
       invoice_url, facts, paid_minor, refunded_minor, disputed_minor, topped_up, return_due,
       released, granted_tokens, note, floor(extract(epoch from created_at))::bigint as created_s,
       extract(epoch from expires_at)::bigint as expires_s
from topup_order where state = $1 order by created_at desc limit $2;
