"""Admission: rate windows, balance holds, concurrency and revocation, in one Redis round trip.

    ask       the words: Ask, Decision, Code, Hold, Settlement (pure)
    window.lua, limits.lua, shadow.lua   parts shared by the scripts
    admit, judge (both behind decide), extend, settle, correct, peek, orphan, reassert   the scripts
    scripts   joins the parts, names the keys, encodes what a script is given
    window, shadow, model   the pure twins of window.lua, shadow.lua, and of admit, judge, extend,
              settle, correct; `rule` is what a request meets in its windows, for all of them
    local, unposted   the rules of a process that decides alone, and what it owes (pure)
    alone     decides without Redis: by parts of the limits, and by the ledger's row
    reads, roll   rows that are not older than the request; among how many limits are divided
    comeback  what Redis is told before it is believed again
    refusals  the memory of refusals
    riders    decided requests of which Redis is still to be told
    orphans   holds that nobody will settle
    gate      what the pipeline, the shipper and the reaper call

What fails, and what then happens
    Redis away, slow or frozen   RedisUnavailable within the deadline, at once while it stays away;
                                 `alone` decides then, counted (ops/decisions/admission.md)
    Redis back, with old copies  what is about keys fails until `comeback` has told it what changed
    Redis emptied or restarted   BALANCE_NOT_LOADED, healed by one put_balance; scripts are loaded
                                 by the link; `reassert` puts the holds of running requests back
    a settle is lost             the shipper tells it again; else the next newer balance heals the
                                 copy, the reaper the hold
    PostgreSQL is away           settling waits; what was decided rides along or is flushed, so that
                                 places and balances are free for a key's next requests
    admit's reply is lost        the same request id again is ALREADY_HELD, or the reaper voids it
    a slot moves                 MOVED, ASK and TRYAGAIN are followed within the deadline
    a shard is lost              its subjects are decided alone, the others go on (the cluster has
                                 to be set to cluster-require-full-coverage no)

Where the promise of the window fails, once and by at most one more limit: Redis' clock steps
forward, a failover goes to a replica that lags, Redis' memory is lost. When its clock steps back,
a full window makes clients wait longer by the step, until something is admitted.
"""
