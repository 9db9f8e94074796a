-- ------------------------------------------------------------------ traces

-- What one deepsearch request did, step by step, for its owner and for a week. No text of a page,
-- no answer and no key: kinds, times, tokens, outcomes. The gateway vouches for `subject`.
create table deepsearch_trace (
    request_id uuid primary key,
    subject text not null check (subject <> '' and length(subject) <= 200),
    model text not null check (length(model) <= 200),
    began_at timestamptz not null,
    finish text not null check (finish <> '' and length(finish) <= 40),
    took_ms bigint not null check (took_ms >= 0),
    budget_tokens bigint not null check (budget_tokens >= 0),
    prompt_tokens bigint not null check (prompt_tokens >= 0),
    completion_tokens bigint not null check (completion_tokens >= 0),
    steps jsonb not null check (jsonb_typeof(steps) = 'array' and pg_column_size(steps) <= 1048576)
);
create index deepsearch_trace_age on deepsearch_trace (began_at);

-- Keeps the trace of one request; the first one stands.
create function keep_trace(
    p_request_id uuid, p_subject text, p_model text, p_began_at timestamptz, p_finish text,
    p_took_ms bigint, p_budget_tokens bigint, p_prompt_tokens bigint, p_completion_tokens bigint,
    p_steps jsonb
) returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into deepsearch_trace (request_id, subject, model, began_at, finish, took_ms,
        budget_tokens, prompt_tokens, completion_tokens, steps)
    values (p_request_id, p_subject, p_model, p_began_at, p_finish, p_took_ms, p_budget_tokens,
        p_prompt_tokens, p_completion_tokens, p_steps)
    on conflict (request_id) do nothing
$$;

-- Forgets at most p_most traces that are older than p_age; how many there were.
create function drop_traces(p_age interval, p_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_count integer;
begin
    delete from deepsearch_trace where request_id in (
        select request_id from deepsearch_trace where began_at < clock_timestamp() - p_age
        order by began_at limit p_most for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- The service's own role: it keeps and reads traces, and sees nothing of the books.
do $$ begin
    create role sluice_deepsearch nologin;
exception when duplicate_object or unique_violation then
    null; -- roles belong to the server: another database made it
end $$;
do $$ begin
    execute format('grant sluice_deepsearch to %I', current_user);
exception when others then
    raise notice 'sluice_deepsearch could not be granted: %', sqlerrm;
end $$;
revoke all on deepsearch_trace from public;
revoke execute on function
    keep_trace(uuid, text, text, timestamptz, text, bigint, bigint, bigint, bigint, jsonb),
    drop_traces(interval, integer)
from public;
grant usage on schema public to sluice_deepsearch;
grant select on deepsearch_trace to sluice_deepsearch;
grant execute on function
    keep_trace(uuid, text, text, timestamptz, text, bigint, bigint, bigint, bigint, jsonb),
    drop_traces(interval, integer)
to sluice_deepsearch;
