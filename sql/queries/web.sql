-- open_session: a browser is signed in
select open_session($1, $2::text::uuid, $3);

-- touch_session: the session if it is alive, and that it was seen
select s.account_id::text, s.key_id, a.email
from touch_session($1, $2, $3) s left join web_account a using (account_id);

-- choose_session_key: the session looks at another key of its account
select choose_session_key($1, $2);

-- close_session: the browser is signed out
select close_session($1);

-- note_attempt: null for one of the first attempts of a subject, else how long to wait
select note_attempt($1, $2, $3);

-- keep_ticket: something by which somebody can sign in once
select keep_ticket($1, $2, $3, $4);

-- use_ticket: the ticket, used up by that
select coalesce(email, '') as email from use_ticket($1, $2);

-- sign_in: the account of who proved an identity
select sign_in($1, $2, $3, $4)::text;

-- account: an account by its id
select account_id::text, email, language, (extract(epoch from created_at) * 1000)::bigint as at_ms
from web_account where account_id = $1::text::uuid;

-- account_keys: the keys of an account with what they have, used and may use
select b.*, a.name, k.last_characters, (extract(epoch from k.created_at) * 1000)::bigint as at_ms,
    a.alert_percent, a.alert_low_tokens, m.monthly_tokens, month_tokens(a.key_id) as used_tokens
from account_key a join api_key k using (key_id) join balance b using (key_id)
left join key_budget m using (key_id)
where a.account_id = $1::text::uuid and ($2::bigint is null or a.key_id = $2)
order by a.added_at, a.key_id limit 1000;

-- add_account_key: puts a key into an account
select add_account_key($1::text::uuid, $2, $3, $4);

-- set_account_key: name and alerts of a key in an account
select set_account_key($1::text::uuid, $2, $3, $4, $5);

-- drop_account_key: takes a key out of an account
select drop_account_key($1::text::uuid, $2);

-- drop_account: the account is no more; its keys go on without it
select drop_account($1::text::uuid);

-- set_account_language: in which language letters are written
select set_account_language($1::text::uuid, $2);

-- set_key_budget: what a key may spend in a month
select * from set_key_budget($1, $2);

-- key_budget: what a key may spend in this month, and has
select m.monthly_tokens, month_tokens($1) as used_tokens
from (select) one left join key_budget m on m.key_id = $1;

-- suspended_by: what suspends a key now
select distinct cause from key_suspension where key_id = $1 and ended_at is null order by cause;

-- weigh_budgets: suspends keys whose budget is used up, and lifts it
select weigh_budgets($1);

-- note_alerts: notes the alerts that are due
select note_alerts();

-- take_account_notices: open notices with what a letter says
select n.notice_id, n.kind, n.facts::text, n.attempts, a.email, a.language, k.last_characters,
    coalesce(o.name, '') as name
from take_account_notices($1, $2) n join web_account a using (account_id)
join api_key k using (key_id)
left join account_key o on o.account_id = n.account_id and o.key_id = n.key_id;

-- end_account_notice: a notice is done, or is tried again later
select end_account_notice($1, $2);

-- forget_web: forgets what is over
select forget_web($1, $2, $3);
