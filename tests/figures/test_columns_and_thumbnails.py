"""What a page carries: columns that decode to what they were, and the pictures of the right rows."""

from __future__ import annotations

import base64
import io
from collections import Counter

import numpy as np
import pyarrow as pa
from PIL import Image

from reddino.figures.columns import page_column, reader_title
from reddino.figures.thumbnails import ACROSS, SIDE, choose_rows, picture_sheets

TYPES = {"u1": "<u1", "u2": "<u2", "u4": "<u4", "f4": "<f4"}


def _decoded(column: dict[str, object]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(str(column["values"])), TYPES[str(column["type"])])


def test_page_column__of_text_is_codes_into_names() -> None:
    values = ["b 10", None, "b 9", "b 10"]
    column = page_column("slide", pa.chunked_array([pa.array(values)]))
    assert column is not None
    assert [column["names"][code] for code in _decoded(column)] == ["b 10", "", "b 9", "b 10"]
    assert column["names"] == ["", "b 9", "b 10"]
    assert column["type"] == "u1"
    many = page_column("path", pa.chunked_array([pa.array([f"{i}.png" for i in range(300)])]))
    assert many is not None and many["type"] == "u2"
    assert [many["names"][code] for code in _decoded(many)] == [f"{i}.png" for i in range(300)]


def test_page_column__of_numbers_keeps_what_is_missing() -> None:
    column = page_column("x", pa.chunked_array([pa.array([1.5, None, -3.0])]))
    assert column is not None
    assert np.array_equal(_decoded(column), np.array([1.5, np.nan, -3.0], np.float32), equal_nan=True)


def test_page_column__of_nothing_is_left_out() -> None:
    assert page_column("x", pa.chunked_array([pa.array([None, None], pa.float64())])) is None
    assert page_column("x", pa.chunked_array([pa.array(["", None])])) is None


def test_choose_rows__takes_outliers_first_then_every_stratum_in_turn() -> None:
    draw = np.random.default_rng(0)
    scores = draw.uniform(1, 2, 1000)
    sources = ["rare"] * 10 + ["common"] * 990
    rows = choose_rows(scores, [sources], 100)
    assert len(set(rows.tolist())) == 100
    assert rows[:20].tolist() == np.argsort(-scores)[:20].tolist()
    rest = Counter(sources[row] for row in rows[20:])
    already = sum(sources[row] == "rare" for row in rows[:20])
    assert rest["rare"] == 10 - already
    assert np.array_equal(rows, choose_rows(scores, [sources], 100))
    assert not np.array_equal(rows, choose_rows(scores, [sources], 100, seed=1))


def test_choose_rows__of_fewer_rows_takes_all() -> None:
    scores = np.array([1.0, np.nan, 3.0])
    assert sorted(choose_rows(scores, [], 50).tolist()) == [0, 1, 2]


def _cut(rows: np.ndarray) -> np.ndarray:
    return np.array([np.full((SIDE, SIDE, 3), (row * 7 % 256, 100, 60)) for row in rows.tolist()], np.uint8)


def test_picture_sheets__put_each_picture_where_its_row_says() -> None:
    rows = np.arange(300)[::-1].copy()
    sheets = picture_sheets(rows, _cut, 10**7)
    assert sheets is not None and sheets["count"] == 300
    assert np.frombuffer(base64.b64decode(sheets["rows"]), "<u4").tolist() == rows.tolist()
    for place in (0, 17, 255, 256, 299):
        sheet = base64.b64decode(sheets["sheets"][place // ACROSS**2].split(",")[1])
        pixels = np.asarray(Image.open(io.BytesIO(sheet)))
        line, column = divmod(place % ACROSS**2, ACROSS)
        middle = pixels[line * SIDE + SIDE // 2, column * SIDE + SIDE // 2]
        assert np.abs(middle.astype(int) - _cut(rows[place : place + 1])[0, 0, 0]).max() <= 3


def test_picture_sheets__stay_within_their_room() -> None:
    whole = picture_sheets(np.arange(600), _cut, 10**7)
    assert whole is not None
    first, second, third = (len(sheet) for sheet in whole["sheets"])
    room = max(first + second + third - 1, 600_000)
    fitting = picture_sheets(np.arange(600), _cut, room)
    assert fitting is not None
    assert sum(len(sheet) for sheet in fitting["sheets"]) <= room
    assert picture_sheets(np.arange(600), _cut, 500) is None


def test_reader_title__is_what_a_reader_calls_a_column() -> None:
    assert reader_title("view_x") == "centre x (px)" and reader_title("path") == "image"
    assert reader_title("p_sickle", ("sickle",)) == "probability of sickle"
    assert reader_title("p_id", ("sickle",)) == "p_id" and reader_title("my_column") == "my_column"
