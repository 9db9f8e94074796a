"""Admission: rate windows, balance holds, concurrency and revocation, in one Redis round trip.

    ask       the words: Ask, Decision, Code, Hold, Settlement (pure)
    window.lua, limits.lua   parts shared by the scripts
    admit.lua settle.lua correct.lua peek.lua reassert.lua   the scripts
    scripts   joins the parts, and encodes what a script is given
    model     the pure twin of the scripts, and the local limiter while Redis is away
    gate      what the pipeline, the shipper and the reaper call

Failures: Redis down or slow is RedisUnavailable (with a key) or a local decision (without one);
Redis emptied is BALANCE_NOT_LOADED, healed by one put_balance; a lost settle is healed by the
next balance and by the reaper.
"""
