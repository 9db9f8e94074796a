"""The inverted index: BM25 over titles, bodies, stems and addresses. Owner of tantivy.

It refuses an index that does not open or was made by another version of this file: that one is
thrown away and built again by the caller. Its calls block; they belong into threads.
"""

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import tantivy
from tantivy import Occur, Query

from services.search.index import words
from services.search.index.addresses import extension_of, sites_of
from services.search.index.documents import Document
from services.search.index.query import Parsed

# Raised when fields or terms change: an older index is then built anew.
VERSION: Final = "1"
HEAP_BYTES: Final = 32 * 1024 * 1024
# Tried on 18 questions to 58 manuals: with a title's weight from 1.0 to 2.5 the best hit is right
# 15 times; with 3.0 13 times, because a common word in a title of one word beats the text.
TITLE, BODY, STEM, URL_WORDS = 1.8, 1.0, 0.6, 0.8
# Ranked below this share of the best hit, a document shares but a common word with the question.
LEAST_SHARE: Final = 0.12
# From so many words on a query is a question: any may be missing. What has less than this share of
# it, by the weight of rare words, has nothing to do with it (ops/decisions/search.md).
QUESTION_WORDS: Final = 5
QUESTION_SHARE: Final = 0.15
RAREST_WEIGHT: Final = 8


class DamagedError(Exception):
    """The index cannot be used and is to be built again."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A URL and its score, best first in a list."""

    url: str
    score: float


class Engine:
    """The index in `folder`. One thread at a time may change it; searches run in any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schema = _schema()
        self._stemmer = (
            tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
            .filter(tantivy.Filter.stemmer("english"))
            .build()
        )
        self._index: tantivy.Index | None = None
        self._writer: tantivy.IndexWriter | None = None

    def open(self) -> None:
        """Opens or makes the index. Raises DamagedError."""
        mark = self._folder / "version"
        fresh = not self._folder.exists()
        if not fresh and (not mark.is_file() or mark.read_text() != VERSION):
            raise DamagedError("made by another version")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _Guard():
            self._open()
        if fresh:
            mark.write_text(VERSION)

    def _open(self) -> None:
        index = tantivy.Index(self._schema, path=str(self._folder))
        index.register_tokenizer("stems", self._stemmer)
        self._index = index
        self._writer = index.writer(HEAP_BYTES, 1)
        # So that damage shows now and not at the first search.
        self.probe()

    def probe(self) -> None:
        """Reads something of every segment and field that is asked. Raises DamagedError."""
        with _Guard():
            if self._index is None:
                raise DamagedError("not open")
            searcher = self._index.searcher()
            found = searcher.search(Query.all_query(), 1).hits
            for name in ("title", "body", "stem"):
                searcher.search(Query.phrase_query(self._schema, name, ["the", "of"]), 1)
            for _, address in found:
                searcher.doc(address)

    def close(self) -> None:
        """Lets go of the index; what was not committed is lost, and noted elsewhere."""
        self._writer = None
        self._index = None

    def discard(self) -> None:
        """Deletes the index from disk."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def update(self, removed: Iterable[str], added: Iterable[Document]) -> None:
        """Takes documents out by URL and puts others in; lasting when this returns."""
        with _Guard():
            self._update(removed, added)

    def _update(self, removed: Iterable[str], added: Iterable[Document]) -> None:
        if self._writer is None or self._index is None:
            raise DamagedError("not open")
        for url in removed:
            self._writer.delete_documents_by_term("url", url)
        for document in added:
            self._writer.add_document(_indexed(document))
        self._writer.commit()
        self._index.reload()

    def count(self) -> int:
        """Documents that can be found."""
        if self._index is None:
            raise DamagedError("not open")
        return int(self._index.searcher().num_docs)

    def segments(self) -> int:
        """Parts on disk."""
        return int(self._index.searcher().num_segments) if self._index is not None else 0

    def search(self, parsed: Parsed, offset: int, count: int) -> list[Ranked]:
        """The best documents from `offset` on."""
        if parsed.is_empty:
            return []
        if self._index is None:
            raise DamagedError("not open")
        with _Guard():
            return self._search(parsed, offset, count)

    def _search(self, parsed: Parsed, offset: int, count: int) -> list[Ranked]:
        assert self._index is not None
        searcher = self._index.searcher()
        found = searcher.search(self._query(parsed), offset + count, count=False).hits
        if not found:
            return []
        least = found[0][0] * LEAST_SHARE
        return [
            Ranked(searcher.doc(address)["url"][0], score)
            for score, address in found[offset:]
            if score >= least
        ]

    def _query(self, parsed: Parsed) -> Query:
        parts = [(Occur.Must, self._one_of(n, v)) for n, v in parsed.operators.items()]
        parts += [(Occur.MustNot, self._one_of(n, v)) for n, v in parsed.excluded.items()]
        parts += [(Occur.Must, self._anywhere(phrase)) for phrase in parsed.phrases]
        parts += [(Occur.MustNot, self._anywhere(phrase)) for phrase in parsed.without]
        if parsed.words:
            parts.append((Occur.Must, self._words(parsed.words, any_word=parsed.any_word)))
        return Query.boolean_query(parts)

    def _words(self, asked: Sequence[str], *, any_word: bool) -> Query:
        """Half of three or four words, any of a question's; more, or close together, is better."""
        terms = [term for word in asked for term in words.terms_of(word)]
        if not any_word and words.size(asked) >= QUESTION_WORDS:
            each = [(Occur.Should, self._asked(term)) for term in dict.fromkeys(terms)]
            parts = [(Occur.Must, Query.boolean_query(each)), (Occur.Must, self._telling(terms))]
        else:
            least = 1 if any_word or len(asked) < 3 else math.ceil(len(asked) / 2)
            each = [(Occur.Should, self._word(word)) for word in asked]
            parts = [(Occur.Must, Query.boolean_query(each, minimum_number_should_match=least))]
        if len(terms) > 1:
            stems = [self._stem(term) for term in terms]
            for name, row, boost in (("title", terms, TITLE * 2), ("stem", stems, 2.0)):
                near = Query.phrase_query(self._schema, name, list(row), slop=len(asked))
                parts.append((Occur.Should, Query.boost_query(near, boost)))
        return Query.boolean_query(parts)

    def _telling(self, terms: Sequence[str]) -> Query:
        """The condition: enough of a question, rare terms before common ones."""
        assert self._index is not None
        searcher = self._index.searcher()
        most = math.log(1 + searcher.num_docs)
        each: list[tuple[Occur, Query]] = []
        for stem in dict.fromkeys(self._stem(term) for term in terms):
            rarity = 1 - math.log(1 + searcher.doc_freq("stem", stem)) / most if most else 1.0
            # A weight is so many times the same clause: tantivy counts clauses.
            each += [(Occur.Should, self._term("stem", stem))] * max(
                1, round(RAREST_WEIGHT * rarity)
            )
        least = max(1, math.ceil(len(each) * QUESTION_SHARE))
        return Query.const_score_query(Query.boolean_query(each, least), 0.0)

    def _asked(self, term: str) -> Query:
        """A term of a question: a title is no better than a text, so that many words win."""
        fields = (("title", term, BODY), ("body", term, BODY), ("stem", self._stem(term), 0.8))
        found = [Query.boost_query(self._term(name, each), boost) for name, each, boost in fields]
        return Query.disjunction_max_query(found, 0.3)

    def _word(self, word: str) -> Query:
        """The word in any field; the best field counts, others a little."""
        if words.is_dense(word):
            return self._dense(word)
        fields = [("title", word, TITLE), ("body", word, BODY), ("address", word, URL_WORDS)]
        fields += [("stem", self._stem(word), STEM)]
        found = [Query.boost_query(self._term(name, term), boost) for name, term, boost in fields]
        return Query.disjunction_max_query(found, 0.2)

    def _stem(self, term: str) -> str:
        found = self._stemmer.analyze(term)
        return found[0] if found else term

    def _dense(self, word: str) -> Query:
        """A run without blanks: whole, else by its pairs; a single sign within any pair."""
        found = []
        for name, boost in (("title", TITLE), ("body", BODY)):
            if len(word) == 1:
                inner: Query = Query.regex_query(self._schema, name, f"{word}.?|.{word}")
            else:
                pairs = [(Occur.Should, self._term(name, pair)) for pair in words.terms_of(word)]
                least = max(1, math.ceil(len(pairs) * 0.6))
                inner = Query.boolean_query(pairs, minimum_number_should_match=least)
            found.append(Query.boost_query(inner, boost))
        return Query.disjunction_max_query(found, 0.2)

    def _anywhere(self, phrase: Sequence[str]) -> Query:
        parts = [(Occur.Should, self._phrase(name, phrase)) for name in ("title", "body")]
        return Query.boolean_query(parts)

    def _phrase(self, name: str, phrase: Sequence[str]) -> Query:
        terms = [term for word in phrase for term in words.terms_of(word)]
        if not terms:
            return Query.empty_query()
        if len(terms) == 1:
            # tantivy panics on a phrase of one.
            return self._term(name, terms[0])
        return Query.phrase_query(self._schema, name, list(terms))

    def _one_of(self, name: str, values: Sequence[str]) -> Query:
        if name in ("site", "ext"):
            found = [self._term(name, value) for value in values]
        else:
            field = "title" if name == "intitle" else "address"
            found = [self._phrase(field, words.words(value)) for value in values]
        # A condition, not a matter of rank.
        alternatives = Query.boolean_query([(Occur.Should, query) for query in found])
        return Query.const_score_query(alternatives, 0.5)

    def _term(self, name: str, term: str) -> Query:
        return Query.term_query(self._schema, name, term)


class _Guard:
    """Whatever tantivy says or panics about a broken index leaves this block as DamagedError."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del trace
        if kind is None or fault is None or issubclass(kind, DamagedError):
            return
        # A panic of the library is a BaseException that cannot be imported.
        panicked = kind.__name__ == "PanicException"
        if panicked or issubclass(kind, ValueError | OSError | RuntimeError):
            raise DamagedError(f"{kind.__name__}: {fault}") from fault


def _schema() -> tantivy.Schema:
    made = tantivy.SchemaBuilder()
    made.add_text_field("url", stored=True, tokenizer_name="raw", index_option="basic")
    made.add_text_field("title", tokenizer_name="whitespace")
    made.add_text_field("body", tokenizer_name="whitespace")
    made.add_text_field("stem", tokenizer_name="stems")
    made.add_text_field("address", tokenizer_name="whitespace")
    made.add_text_field("site", tokenizer_name="raw", index_option="basic")
    made.add_text_field("ext", tokenizer_name="raw", index_option="basic")
    return made.build()


def _indexed(document: Document) -> tantivy.Document:
    title = list(words.terms(document.title))
    body = list(words.terms(document.content))
    made = tantivy.Document()
    made.add_text("url", document.url)
    made.add_text("title", " ".join(title))
    made.add_text("body", " ".join(body))
    made.add_text("stem", " ".join([*title, *body]))
    made.add_text("address", " ".join(words.terms(document.url)))
    for site in sites_of(document.url):
        made.add_text("site", site)
    extension = extension_of(document.url)
    if extension:
        made.add_text("ext", extension)
    return made
