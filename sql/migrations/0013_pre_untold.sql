-- Whose balance Redis could not be told stands in the outbox, so that it is brought by whoever lives.

-- In the order in which clear_outbox locks them. The time of the first note stays.
create function note_balances(p_keys bigint[]) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    insert into balance_outbox (key_id, version)
    select b.key_id, b.version from key_balance b where b.key_id = any (p_keys) order by b.key_id
    on conflict (key_id) do update
        set version = greatest(balance_outbox.version, excluded.version);
end;

revoke execute on function note_balances(bigint[]) from public;
grant execute on function note_balances(bigint[]) to sluice_runtime;
