"""The models behind the api. services: which are deployed, how they run, what they cost in tokens.

One `Engine` turns texts and pictures into vectors. What happens to a text:

1. `registry` resolves the name that the client sent to a deployed model; unknown names are refused.
2. `tokens` counts it exactly, off the event loop when it is long; too long is refused or cut.
3. `windows` cuts what is longer than the model's window into windows of about equal length.
4. `batches` queues the windows of all requests and forms batches of like length in turn, so that
   concurrent requests share batches and a huge one starves nobody.
5. `lanes` runs the batches in threads; each thread of the pool is one core's worth of arithmetic.
6. `engine` pools the windows of a text (mean, weighted by tokens) and normalises.

A model that cannot be had (no weights, a damaged file) is an answer of 503 for requests that name
it, never a dead service. A remote model that fails is 502, one that is silent or busy is 503.
"""
