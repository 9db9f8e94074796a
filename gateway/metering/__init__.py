"""From a decided request to a posted charge: outcome, spool, shipper, reaper.

1. The pipeline decides an outcome (`outcomes.py`, the table of who pays); `meter.py` encodes it and
   tells the gate what stays held.
2. The spool appends it and makes it durable in groups, before the client gets its last byte.
3. The shipper posts groups into PostgreSQL and then settles holds and windows in Redis.
4. The pulse tells Redis that the instance lives, and what was decided while settling is late.
5. After a crash the adopter posts the spool of a dead instance and gives back what was not
   delivered; the reaper voids the holds that nobody will ever decide.

What fails, and what then happens
    PostgreSQL away     the spool grows on disk and ships later; keys that are known go on
    Redis away          settling is told again; holds of running requests return after a wipe
    disk full           SpoolUnavailable: 503, void, nothing admitted until it works by itself
    process killed      requests in flight are void; what was delivered in the last 20 ms is free
    an outcome refused  set aside, counted, a hole that the proof shows; the others go on
    a spool damaged     kept for a person, counted; the others go on
"""
