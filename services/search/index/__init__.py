"""The local index: documents that are kept here and found without anybody's help.

`documents` is the truth: one SQLite file, in which an addition and the note that it is still to be
indexed are one transaction. `engine` (owner of tantivy) is derived from it: BM25 over words and,
for scripts without blanks, bigrams. After a kill the notes say what is to be indexed again; an
index that is damaged, or does not have as many documents, is built anew.
"""
