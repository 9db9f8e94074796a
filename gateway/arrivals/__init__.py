"""The arrival log: who came when and what became of it, small enough to keep a week of.

    form     blocks of arrivals and endings as bytes (pure)
    fold     collects what happens into the columns of a block (pure)
    log      what the gateway calls; a thread that writes; segments, rotation, caps
    shelf    reads the segments of many processes and nodes back, in the order of time
    replay   the same arrivals under another plan (pure)
    report   who would have been refused, and how well the plan in force is told by it

It holds no address and no key: a subject is a keyed hash, which whoever has the pepper of the keys
can make of a key's id. What cannot be written is counted and gone; no request waits for it.
"""
