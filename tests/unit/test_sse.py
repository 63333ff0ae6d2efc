from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.hubs.sse import MAX_EVENT_BYTES, EventDecoder, EventTooLargeError

SAMPLE = (
    "\ufeffdata: one\n\n"
    ": a comment\r\n"
    "event: log\nid: 7\nretry: 10\ndata:two\r\n\r\n"
    "data: thr\u00e9e \u4e09\rdata:  indented\r\r"
    ":keepalive\n\n"
    "data\n\n"
    "data: last\n\n"
    "data: unfinished\n"
).encode()
EXPECTED = [b"one", b"two", "thr\u00e9e \u4e09\n indented".encode(), b"", b"last"]


def decode(*chunks: bytes) -> list[bytes]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def test_every_way_to_end_a_line_is_understood() -> None:
    assert decode(SAMPLE) == EXPECTED


@pytest.mark.parametrize("first", range(len(SAMPLE) + 1))
def test_a_stream_reads_the_same_wherever_it_is_split(first: int) -> None:
    for second in range(first, len(SAMPLE) + 1):
        assert decode(SAMPLE[:first], SAMPLE[first:second], SAMPLE[second:]) == EXPECTED, (first, second)


def test_a_stream_reads_the_same_byte_by_byte() -> None:
    assert decode(*(SAMPLE[at : at + 1] for at in range(len(SAMPLE)))) == EXPECTED


@given(
    st.lists(
        st.sampled_from([b"data: a", b"data:b", b"data", b":c", b"x", b"", b"\n", b"\r", b"\r\n", b" "]), max_size=40
    ),
    st.data(),
)
def test_any_stream_reads_the_same_wherever_it_is_split(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*chunks) == decode(stream)


def test_a_crlf_between_two_chunks_ends_one_line() -> None:
    assert decode(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_a_crlf_split_from_an_empty_chunk_still_ends_one_line() -> None:
    assert decode(b"data: a\r", b"", b"\ndata: b\n\n") == [b"a\nb"]


def test_an_event_is_handed_on_as_soon_as_its_empty_line_has_begun() -> None:
    assert decode(b"data: a\r\r") == [b"a"]


def test_several_data_lines_make_one_event() -> None:
    assert decode(b"data: a\ndata: b\ndata:\ndata: c\n\n") == [b"a\nb\n\nc"]


def test_one_space_after_the_colon_is_not_data() -> None:
    assert decode(b"data:  two spaces\n\ndata:\ttab\n\n") == [b" two spaces", b"\ttab"]


def test_names_that_only_begin_like_data_are_read_over() -> None:
    assert decode(b"database: x\ndatas: y\n data: z\nData: w\n\n") == []


def test_an_unfinished_last_event_is_not_dispatched() -> None:
    assert decode(b'data: {"phase": "ready"}\n') == []


def test_comments_and_empty_lines_make_no_events() -> None:
    assert decode(b":keepalive\n\n\n\n:\n\n") == []


def test_a_byte_order_mark_counts_at_the_start_alone() -> None:
    assert decode(b"\xef\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a"]


def test_bad_utf8_passes_through_for_the_reader_to_replace() -> None:
    assert decode(b"data: a\xff\xc3\n\n") == [b"a\xff\xc3"]


def test_an_event_of_the_largest_size_is_taken() -> None:
    value = b"x" * (MAX_EVENT_BYTES - 1)
    assert decode(b"data: " + value + b"\n\n") == [value]


def test_what_follows_a_large_event_does_not_count_towards_it() -> None:
    decoder = EventDecoder(max_event_bytes=20)
    assert decoder.feed(b"data: 1234567890123456789\n") == []
    assert decoder.feed(b"\ndata: 12345678") == [b"1234567890123456789"]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * (MAX_EVENT_BYTES + 1) + b"\n\n",
        b"data: " + b"x" * (MAX_EVENT_BYTES + 1),
        (b"data: " + b"x" * 1000 + b"\n") * 1100,
        b":" + b"x" * (MAX_EVENT_BYTES + 1),
    ],
    ids=["one line", "a line that never ends", "many lines", "a comment that never ends"],
)
@pytest.mark.parametrize("size", [1 << 30, 65536])
def test_an_event_over_one_mebibyte_is_refused(stream: bytes, size: int) -> None:
    with pytest.raises(EventTooLargeError, match="larger than 1048576 bytes"):
        decode(*(stream[at : at + size] for at in range(0, len(stream), size)))


def seconds_for(size: int, piece: int) -> float:
    stream = b"data: " + b"x" * size + b"\n\n"
    pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]

    def once() -> float:
        decoder = EventDecoder(max_event_bytes=1 << 30)
        began = time.process_time()
        for part in pieces:
            decoder.feed(part)
        return time.process_time() - began

    return min(once() for _ in range(3))


def test_a_line_that_comes_in_drops_costs_linear_time() -> None:
    """Eight times the bytes may cost eight times the time, thrice over for noise; were it quadratic, 64 times."""
    assert seconds_for(800_000, 10) < 24 * seconds_for(100_000, 10)


def test_memory_is_bounded_by_the_largest_event() -> None:
    decoder = EventDecoder()
    line = b"data: " + b"x" * 60_000 + b"\n\n"
    tracemalloc.start()
    try:
        for _ in range(500):
            decoder.feed(line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_EVENT_BYTES
