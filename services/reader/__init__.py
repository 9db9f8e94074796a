"""The reader: a URL in, its content out, as Markdown, text or HTML.

1. `target`   what is asked for: the path after the host, or the body's `url` or `html`
2. `options`  how: headers on GET, headers and body fields on POST
3. `guard`    every host is resolved once and every address judged; private ones are 451
4. `fetch`    the hops, one pinned connection each; size, time and decompression are bounded
5. `pool`     extraction in worker processes, each page under a time and a memory cap
6. `extract`  in the worker: character set, selectors, main content, Markdown, links, token count
7. `forms`    the answer as text, JSON or server-sent event

A target that cannot be reached, is private, too large, too slow or empty is an answer in the
error envelope with `x-charge-rule: void`. A page that kills its worker fails alone, and the worker
is replaced.
"""
