"""Blocks of the arrival log: what goes in comes out; what is torn takes nothing else with it."""

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.arrivals.form import MOST_U32, Block, Kind, blocks, packed

START_US = 1_800_000_000_000_000
U32 = st.integers(0, MOST_U32)
TIMES = st.integers(START_US - 10**9, START_US + 10**9)
KINDS = [
    Kind("embeddings", "premium", 0, False, (2_000, None, 7), 2_000, None),
    Kind("reader", "anonymous", 7, True, (20, None, 20), 20, 10**15),
]


@st.composite
def made(draw: st.DrawFn) -> Block:
    arrivals = draw(st.lists(st.tuples(TIMES, st.integers(0, 1), st.integers(0, 2), U32)))
    endings = draw(st.lists(st.tuples(TIMES, U32, U32), min_size=0 if arrivals else 1, max_size=20))
    columns = [
        array(code, each) for code, each in zip("qIII", zip(*arrivals, strict=True), strict=False)
    ]
    ends = [
        array(code, each) for code, each in zip("qII", zip(*endings, strict=True), strict=False)
    ]
    columns = columns or [array("q"), *(array("I") for _ in range(3))]
    ends = ends or [array("q"), array("I"), array("I")]
    number = draw(st.integers(0, 2**60))
    return Block(number, KINDS, bytes(range(24)), *columns, *ends)


@given(found=st.lists(made(), max_size=3))
@settings(max_examples=60, deadline=None)
def test_blocks_come_back_as_they_were(found: list[Block]) -> None:
    assert list(blocks(b"".join(map(packed, found)))) == found


@given(block=made(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_torn_or_foreign_part_takes_no_whole_block_with_it(
    block: Block, data: st.DataObject
) -> None:
    whole = packed(block)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    junk = data.draw(st.binary(max_size=40))
    assert list(blocks(whole + junk + cut)) == [block]
    assert list(blocks(junk + whole + cut)) == [block]
    assert list(blocks(cut + whole)) == [block]


@given(block=made(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_bit_is_never_read_as_something_else(block: Block, data: st.DataObject) -> None:
    whole = bytearray(packed(block))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    assert list(blocks(bytes(whole) + packed(block))) == [block]


def test_a_clock_that_jumped_ahead_is_not_told_as_one_that_went_back() -> None:
    kind = Kind("reader", "key", 0, False, (1, None, 1), 1, None)
    block = Block(0, [kind], b"12345678")
    for time_us in (10**15, 10**15 + 3_600_000_000, 10**15):
        block.at.append(time_us)
        block.kind.append(0)
        block.subject.append(0)
        block.tokens.append(1)
    (found,) = blocks(packed(block))
    first, ahead, back = found.at
    assert back < first < ahead
