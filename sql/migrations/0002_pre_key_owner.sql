-- Keys can be given an owner, by whom an operator finds them.

-- Notes whose key it is, so that it can be found by that; '' for nobody's. False: no such key.
create function set_key_owner(p_key_id bigint, p_owner text) returns boolean
language sql security definer set search_path = public, pg_temp
begin atomic
    with changed as (
        update api_key set owner = p_owner where key_id = p_key_id returning 1)
    select exists (select from changed);
end;

revoke execute on function set_key_owner(bigint, text) from public;
grant execute on function set_key_owner(bigint, text) to sluice_runtime;
