"""The catalogue: which products there are, who may ask how often, and how each counts tokens.

1. `builtin` reads `catalogue.toml` and an operator's file; the only file of this package with I/O.
2. `reading` turns TOML into records and lists every mistake; `catalogue` puts them together.
3. `holds` says before a request how much balance must be set aside for it; `searches` what of a
   search its price depends on.
4. `counting` says after it what it costs, from the service's report and our own count.

Refuses to know HTTP, Redis or PostgreSQL: everything here is a rule over values.
A wrong catalogue stops the start with one sentence for each mistake; nothing is guessed.
"""
