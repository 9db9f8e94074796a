"""DeepSearch: a question in, an answer out that was searched, read, reasoned about and cited.

1. `ask`       what is asked for, and its refusals; `attachments` what came along as data URIs
2. `tools`     what a loop may do (search, read, rerank, embed) and what it costs
3. `research`  the loop itself and the mind without a model; `llm` the mind behind a model
4. `account`   every token once, by step; its sum is the usage, the header and the charge
5. `stream`    the answer as events while it thinks; `whole` the same at once
6. `trace`     the steps of one request, kept for its owner
"""
