"""The classifier: learns labels from a few examples, or scores labels that it is told as text.

Few-shot (`/v1/train`, then `/v1/classify` with a classifier_id):
1. The examples become vectors at the engine; they are not kept.
2. The vectors are added to running sums (`sums.py`): a count and a sum per label, and one matrix
   of second moments. Adding is commutative: what is learned first is not forgotten later.
3. From the sums follow the weights, a linear decision with one row per label (`fitting.py`).
4. Sums and weights go into PostgreSQL if the version that was read still stands; else 409.

Zero-shot (`/v1/classify` with labels): cosines between inputs and labels, through a softmax whose
temperature makes a score as sure as it is right (`zero_shot.py`). It needs no database.

What fails: PostgreSQL away is 503 with Retry-After for everything with a classifier_id, and
uses that were counted and not yet written wait in memory. A wrong request is a 4xx with `detail`.
Every refusal is void.
"""
