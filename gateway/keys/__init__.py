"""API keys: their form (`format.py`, pure) and where they are found (`store.py`).

Refuses to keep a key in plain text anywhere; status and balance are never cached here.
"""
