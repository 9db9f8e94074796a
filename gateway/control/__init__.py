"""The gateway's own JSON API: keys and balances for their owners, probes, the operators' side.

Refuses to touch money or limits itself: it asks the ledger and the gate, and words their answers.
"""
