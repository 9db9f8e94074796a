"""Those who can be asked for hits, behind one port.

`port` says what a provider promises; `searxng`, `brave`, `serper` and `arxiv` speak each to their
own API through `transport`; `local` asks the index. `chain` asks them in order, each under a
deadline: one that is down, busy, slow or talks nonsense costs its share of time and nothing else.
"""
