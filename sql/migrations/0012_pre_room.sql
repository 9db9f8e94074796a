-- A name that is taken anew gives back the room of its answer, though that was kept only a moment ago.

create or replace function claim_answer(p_key_id bigint, p_name text, p_digest bytea, p_request uuid,
    p_instance text, p_lives_ms bigint)
returns table (verdict text, request_id uuid, http_status integer, header_lines bytea, body bytea)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_status text;
    k kept_answer;
    o outcome;
    v_verdict text := 'CLAIMED';
    v_drained boolean;
    v_silent boolean;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_key_id || '/' || p_name, 4));
    select status into v_status from key_balance where key_id = p_key_id;
    select * into k from kept_answer a where a.key_id = p_key_id and a.name = p_name;
    if v_status is distinct from 'active' then
        v_verdict := upper(coalesce(v_status, 'revoked'));
    elsif k.key_id is not null and k.claimed_at > clock_timestamp() - interval '24 hours' then
        select i.drained, i.beat_at < now() - interval '5 s' into v_drained, v_silent
        from instance i where i.instance = k.instance;
        select * into o from outcome f
        where f.request_id = k.request_id and f.month = outcome_month(k.request_id);
        if k.digest <> p_digest then
            v_verdict := 'OTHER';
        elsif k.request_id = p_request then
            v_verdict := 'CLAIMED';
        elsif o.from_trial + o.from_paid > 0 and exists (select from transfer t
                where t.kind = 'undelivered' and t.ref in
                    (k.request_id || '/trial', k.request_id || '/paid')) then
            v_verdict := 'CLAIMED'; -- what it cost was given back: it was not done
        elsif k.state = 'not_kept' then
            v_verdict := 'NOT_KEPT';
        elsif k.state = 'kept' then
            -- Of a gateway that died a moment ago nobody knows yet whether it was delivered.
            v_verdict := case when not v_drained and v_silent then 'RUNNING' else 'KEPT' end;
        elsif o.request_id is null then
            v_verdict := case when v_drained then 'CLAIMED' else 'RUNNING' end;
        elsif o.cost_tokens > 0 and not coalesce(v_drained, false)
                and k.over_at > clock_timestamp() then
            v_verdict := 'RUNNING';
        elsif o.cost_tokens > 0 then
            perform refund_undelivered(array[k.request_id]);
        end if;
    end if;
    if v_verdict = 'CLAIMED' and k.key_id is not null then
        -- Whatever it was when it was read: it may have been kept in between.
        perform free_room(p_key_id, array[p_name]);
    end if;
    if v_verdict = 'CLAIMED' then
        insert into kept_answer as a (key_id, name, digest, request_id, instance, over_at)
        values (p_key_id, p_name, p_digest, p_request, p_instance,
                clock_timestamp() + p_lives_ms * interval '1 ms')
        on conflict (key_id, name) do update set digest = excluded.digest,
            request_id = excluded.request_id, instance = excluded.instance, state = 'running',
            claimed_at = excluded.claimed_at, over_at = excluded.over_at,
            http_status = null, header_lines = null, body = null, kept_bytes = 0;
    end if;
    return query select v_verdict, k.request_id,
        case when v_verdict = 'KEPT' then k.http_status end,
        case when v_verdict = 'KEPT' then k.header_lines end,
        case when v_verdict = 'KEPT' then k.body end;
end $$;
