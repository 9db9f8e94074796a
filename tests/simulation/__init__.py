"""The seeded simulator: whole minutes of several gateways under faults, in milliseconds each.

A seed draws a world (plan): one to three gateways on one or two nodes with a worker each, keys with
little balance, limits of a few requests, clients, an operator, and some kinds of faults or none.
The world runs in one thread and in virtual time (clockwork), is watched at each step (watcher), and
must come to rest with nothing lost, doubled or left over (reckoning). `run_seed` never raises; what
broke is told with the seed, the command that repeats it and the tail of the trace.

What is real
    the request path whole: aiohttp's parser, Server, Pipeline, Admitter, Decider, Relay, Grower,
    Forwarder and the connections to services; Gate, riders, refusals, Alone, Comeback, Roll; Meter,
    Spool, SpoolWriter, Shipper, Pulse, Adopter, Reaper, Outbox, Revocations and their files; Book;
    RedisLink with its nodes, connections and breakers; the very Lua, in a real Redis of its own.

What is simulated, and where it is cut
    time and chance     `time`, `random`, os.urandom in the product's modules; the event loop
    network             under asyncio's transports: links to Redis, services and clients talk bytes.
                        Connections are TCP's: in order in one, in any order across; late, lost,
                        cut, and what was written may arrive after its writer has died. A batch that
                        Redis is "told twice" is more than TCP would do
    Redis               asked synchronously at the moment of arrival, with that moment for a clock;
                        TIME, INFO, expiry and which scripts are loaded are told by `redis_store`,
                        as they know the real time. A kill forgets all or brings an old snapshot
    PostgreSQL          `ledger_twin` in the place of gateway.postgres: one call is one transaction.
                        test_twin.py runs both and compares each answer. No pool, no SQL
    disk                a disk in memory under `os` and `Path` (disk); the spool's thread does a
                        group in one step. Killed in it, the group is written whole or not at
                        all; tails are torn by power cuts only
    services, clients   bytes by a plan; whatever is taken from a client's socket has reached it

What is not here: TLS, a cluster's slots (tests/admission has a real one), billing, the control
plane but revocation, suspension, credits and limits of a key, idempotency keys, bodies in pieces,
slow readers, overload. Background loops run two to five times slower than in production, sweeps
over services five times, and orphans are sought under the tags in use only.
"""
