"""Rerank: documents in the order in which they answer a query.

Two kinds of evidence are weighed against each other, because each fails where the other does not:

1. Dense: the query's vector against the vectors of every window of a document; the best window
   counts. Finds what is said in other words.
2. Lexical: BM25 over the documents of the request, with words of any script and pairs of
   neighbours where a script writes no blanks. Finds names, numbers, and what the model cannot read.
3. The sum of both goes through a logistic curve: a score from 0 to 1, the same for a document
   whatever else is in the list, but for what the others say about how rare a word is.

The share of each depends on how much of the query is written in letters that the model was trained
on. Nothing is learned from requests.
"""
