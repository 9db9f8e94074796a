"""The search: a query in, hits out, each with the content of its page.

1. `ask`        what is asked for: query, number, page, place, language, operators, reader options
2. `providers`  who is asked, in order, each under a deadline; by default the local index
3. `bodies`     all pages at once through the reader, one deadline for all
4. `charge`     max(content tokens, 10,000 for each ten results begun), as the contract scales it
5. `forms`      the answer as text, JSON or a growing array of server-sent events

What is missing at the deadline is answered without content. No hits, or no provider that answers,
is an answer in the error envelope with `x-charge-rule: void`. `index` keeps the local documents:
SQLite is the truth, tantivy what is derived from it, and rebuilt when it is damaged.
"""
