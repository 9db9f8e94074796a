"""HTTP in, HTTP out: everything between a client's socket and an internal service.

Read `pipeline.py` first: it is the request path. `server.py` speaks HTTP with clients on aiohttp's
parser, `upstream.py` and `answer.py` with services, `forward.py` builds what a service gets,
`relay.py` what the client gets. The others are words: routing, refusals, headers, addresses.
"""
