-- keep_trace: what one deepsearch request did
select keep_trace($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb);

-- find_trace: the trace of one request, for the subject that made it
select request_id, model, began_at, finish, took_ms, budget_tokens, prompt_tokens,
    completion_tokens, steps
from deepsearch_trace where request_id = $1 and subject = $2;

-- drop_traces: forgets some of those that are too old
select drop_traces($1, $2);
