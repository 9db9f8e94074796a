-- claim_answer: takes a name for a request, or tells what is known of it
select verdict, request_id::text, http_status, header_lines, body
from claim_answer($1, $2, $3, $4, $5, $6);

-- keep_answer: keeps the answer of the request that has the name
select keep_answer($1, $2, $3, $4, $5, $6, $7);

-- end_answer: a request ended without an answer to keep
select end_answer($1, $2, $3, $4);

-- forget_answers: names of a day ago, and those of revoked keys
select forget_answers($1);
