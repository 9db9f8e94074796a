"""Research: searches, reads and reasons until a question is answered. Read `loop` first.

`mind` is the protocol of whatever does the thinking; `extractive` is the one that needs no model.
"""
