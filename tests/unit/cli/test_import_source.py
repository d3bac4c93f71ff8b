"""Files as they are found: encodings, delimiters, quoting."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from services.cli.codes import Exit, Fail
from services.cli.importer.mapping import Mapping, parse_map
from services.cli.importer.source import Records, Unreadable, find_delimiter, inspect

MAPPING = parse_map(["team=Team,score=Score,answered_at=When"], default_team=None)
DANISH = "Team;Score;When\r\nKundeservice Øst;9;2026-01-01\r\nBlåbærgrød;3;2026-01-02\r\n"


def rows_of(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> list[list[str]]:
    source = inspect(path, encoding)
    with Records(source, find_delimiter(source, MAPPING, delimiter)) as records:
        return list(records)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "answers.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "iso8859-15", "utf-32"]
)
def test_the_encoding_is_found_out(tmp_path: Path, encoding: str) -> None:
    rows = rows_of(write(tmp_path, DANISH.encode(encoding)))
    assert rows[0] == ["Team", "Score", "When"]
    assert [row[0] for row in rows[1:]] == ["Kundeservice Øst", "Blåbærgrød"]


def test_a_byte_beyond_ascii_far_into_the_file_is_not_overlooked(tmp_path: Path) -> None:
    plain = "Team,Score,When\n" + "abc,9,2026-01-01\n" * 50_000
    rows = rows_of(write(tmp_path, plain.encode() + "Blåbærgrød Øst,3,2026-01-02\n".encode("cp1252")))
    assert rows[-1][0] == "Blåbærgrød Øst"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "It’s great — “really” good; 5 € each"),
        ("cp1252", "Straße; Größe; Übung und Qualität sind sehr schön"),
        ("cp1252", "Très bien, été à Orléans, ça va être génial"),
        ("cp1250", "Bardzo dobra obsługa, dziękuję; żółw; Łódź; część"),
        ("cp1251", "Очень хорошо, спасибо; команда поддержки"),
        ("cp1253", "Πολύ καλή εξυπηρέτηση, ευχαριστώ"),
        ("shift_jis", "とても良いサービスでした。ありがとう"),
        ("gb18030", "服务很好，谢谢，非常满意"),
    ],
)
def test_the_encodings_of_spreadsheets_are_told_apart(tmp_path: Path, encoding: str, text: str) -> None:
    rows = rows_of(write(tmp_path, f'Team,Score,When\n"{text}",9,x\n'.encode(encoding)))
    assert rows[1][0] == text


def test_a_named_encoding_is_used(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path, DANISH.encode("cp865")), encoding="cp865")[1][0] == "Kundeservice Øst"


def test_an_encoding_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fail, match="no encoding 'cp9'"):
        inspect(write(tmp_path, b"a"), "cp9")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_finds_the_mapped_columns(tmp_path: Path, delimiter: str) -> None:
    header = delimiter.join(["Team", "Score", "When", '"Why, though; or | not"'])
    rows = rows_of(write(tmp_path, f"{header}\na{delimiter}9{delimiter}2026-01-01{delimiter}x\n".encode()))
    assert rows[1] == ["a", "9", "2026-01-01", "x"]


def test_the_line_with_which_excel_names_the_delimiter_is_followed(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path, b"sep=;\r\nTeam;Score;When\r\na;9;2026-01-01\r\n"))[0] == ["Team", "Score", "When"]


@pytest.mark.parametrize(("given", "expected"), [("tab", "\t"), ("\\t", "\t"), ("~", "~")])
def test_a_named_delimiter_is_used(tmp_path: Path, given: str, expected: str) -> None:
    assert rows_of(write(tmp_path, f"Team{expected}Score\n".encode()), delimiter=given) == [["Team", "Score"]]


@pytest.mark.parametrize("given", ["", ";;", '"', "\n"])
def test_a_delimiter_that_cannot_be_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(Fail, match="--delimiter"):
        find_delimiter(inspect(write(tmp_path, b"a")), MAPPING, given)


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path, b'Team,Score,When\n"a ""b"", c\r\nd",9,x\n'))
    assert rows[1] == ['a "b", c\r\nd', "9", "x"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one(tmp_path: Path, end: str) -> None:
    assert rows_of(write(tmp_path, f"Team,Score,When{end}a,9,x{end}b,8,y".encode()))[1:] == [
        ["a", "9", "x"],
        ["b", "8", "y"],
    ]


def test_a_row_with_stray_quotes_is_one_error_and_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b'Team,Score,When\n"he said "no"",9,x\nb,8,y\n')
    with Records(inspect(path), ",") as records:
        next(records)
        with pytest.raises(csv.Error):
            next(records)
        assert records.raw == '"he said "no"",9,x\n'
        assert next(records) == ["b", "8", "y"]
        assert records.line == 3


@pytest.mark.parametrize("filler", ["b,8,y\n", "b,8,y\n" * 50_000], ids=["to the end", "over the limit of a cell"])
def test_a_quote_never_closed_stops_the_reading_and_names_its_line(tmp_path: Path, filler: str) -> None:
    path = write(tmp_path, b'Team,Score,When\n"a,9,x\n' + filler.encode())
    with Records(inspect(path), ",") as records:
        next(records)
        with pytest.raises(Unreadable, match="line 2 is never closed") as stopped:
            list(records)
        assert stopped.value.code is Exit.FAILED


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="line 1 is longer than"):
        rows_of(write(tmp_path, b"x" * 3_000_000), delimiter=",")


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty")])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(Fail, match=message):
        inspect(write(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score=S,answered_at=W", "must name the column of team"),
        ("team=T,answered_at=W", "must name the column of score"),
        ("team=T,score=S", "must name the column of answered_at"),
        ("team=T,scor=S,answered_at=W", "no field 'scor', did you mean 'score'"),
        ("team=T,score=S,score=S2,answered_at=W", "score is given twice"),
        ("team=T,score,answered_at=W", "'score' is not field=COLUMN"),
        ("team=T,score=S,answered_at=W,attributes.=X", "no field 'attributes.'"),
    ],
)
def test_a_wrong_mapping_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(Fail, match=message) as refused:
        parse_map([text], default_team=None)
    assert refused.value.code is Exit.USAGE


def test_a_default_team_may_stand_for_the_column() -> None:
    assert parse_map(["score=S,answered_at=W"], default_team="shop").columns == {"answered_at": "W", "score": "S"}


def test_a_column_with_a_comma_is_quoted_and_a_map_may_be_given_in_parts() -> None:
    columns = parse_map(['"team=Site, city",score=S', "answered_at=W,email=Mail"], default_team=None).columns
    assert columns == {"answered_at": "W", "respondent.email": "Mail", "score": "S", "team": "Site, city"}


def test_a_column_is_found_despite_case_and_spaces_people_do_not_see() -> None:
    mapping = Mapping({"score": "Likely to recommend"})
    assert mapping.positions(["x", "\ufefflikely\u00a0to  Recommend "]) == {"score": 1}


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(Fail, match="stands 2 times"):
        Mapping({"score": "S"}).positions(["S", "S"])


def test_a_missing_column_is_refused_with_what_there_is() -> None:
    with pytest.raises(Fail, match=r"no column 'Scor', did you mean 'Score'.*Team, Score"):
        Mapping({"score": "Scor"}).positions(["Team", "Score"])
