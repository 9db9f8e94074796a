"""From a decided request to a posted charge: outcome, spool, shipper, reaper.

1. The pipeline decides an outcome (`outcomes.py`, the table of who pays) and encodes it.
2. The spool appends it and makes it durable in groups, before the client gets its last byte.
3. The shipper posts groups into PostgreSQL and then settles holds and windows in Redis.
4. After a crash the reaper adopts the spool of a dead instance, posts it, refunds what was not
   delivered, and voids the holds that nobody will ever decide.

PostgreSQL down: the spool grows on disk and ships later. Disk full: `SpoolUnavailable`, the
request is answered 503 and is not charged. Process killed: at most the requests in flight are
lost, each for the customer.
"""
