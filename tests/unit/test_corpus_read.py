"""Sources: what is named is read, once, in order, in bounded memory; the rest is left alone or counted."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from germline.corpus import json_records
from germline.corpus.read import changed_since, read
from germline.corpus.whitelist import SourceFile, read_whitelist
from germline.delta import CURES
from germline.errors import DataError, PlanError
from germline.records import Refusal, Row


def rows(root: Path, *sources: str, strict: bool = False) -> list[Row | Refusal]:
    return list(read(sources, root, voice="assistant", strict=strict))


def refusals(root: Path, *sources: str) -> list[tuple[str, int, str]]:
    return [(r.source, r.position, r.reason) for r in rows(root, *sources) if isinstance(r, Refusal)]


def names(root: Path, *sources: str) -> list[str]:
    return [row.source for row in rows(root, *sources)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("notes/b.txt", "notes/a/z.md", "notes/.git/x.md", "notes/.hidden.txt", "other/c.txt"):
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"The text of {name}.", encoding="utf-8")
    return tmp_path / "home"


# --- finding ------------------------------------------------------------------------------------------


def test_only_what_is_named_is_read_once_and_in_order(home: Path) -> None:
    assert names(home, "notes") == ["notes/a/z.md", "notes/b.txt"]
    assert names(home, "other/c.txt", "notes", "notes/b.txt") == [
        "notes/a/z.md",
        "notes/b.txt",
        "other/c.txt",
    ]
    assert names(home, "notes/*.txt") == ["notes/b.txt"]
    assert names(home, "**/*.txt") == ["notes/b.txt", "other/c.txt"]
    assert names(home, str(home / "other")) == ["other/c.txt"]
    assert names(home / "notes", "../other") == ["other/c.txt"]  # no path of this machine
    assert names(home, "notes/.hidden.txt") == ["notes/.hidden.txt"]


@pytest.mark.parametrize("source", ["absent", "notes/*.law", "absent/*.txt", "notes/b.txt/x"])
def test_a_source_that_matches_nothing_is_named_at_once(home: Path, source: str) -> None:
    with pytest.raises(DataError, match="matches no file") as raised:
        read(["notes", source], home, voice="assistant")
    assert source in str(raised.value)


def test_a_folder_that_holds_the_home_is_read_without_it(home: Path) -> None:
    (home.parent / "beside.txt").write_text("Beside.")
    assert names(home, "..") == [f"{home.parent.name}/beside.txt"]
    assert "notes/b.txt" in names(home, "..", "notes/b.txt")


def test_a_home_in_a_folder_with_brackets_is_no_pattern(home: Path) -> None:
    moved = home.rename(home.with_name("my [home]*"))
    assert names(moved, "notes/*.txt") == ["notes/b.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a name is always text")
def test_a_name_that_is_no_text_is_written_as_it_can_be(home: Path) -> None:
    """Latin-1, out of an old archive."""
    Path(os.fsdecode(os.fsencode(home / "notes") + b"/caf\xe9.md")).write_text("Coffee.", encoding="utf-8")
    assert "notes/caf\\udce9.md" in names(home, "notes")


def test_unknown_kinds_of_file_are_counted(home: Path) -> None:
    (home / "notes/picture.png").write_bytes(b"\x89PNG")
    assert refusals(home, "notes") == [("notes/picture.png", 0, "unknown file type")]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_only_within_their_source(home: Path) -> None:
    (home / "notes/out.txt").symlink_to(home / "other/c.txt")
    (home / "notes/outside").symlink_to(home / "other")
    (home / "notes/again.txt").symlink_to(home / "notes/b.txt")
    (home / "notes/loop").symlink_to(home / "notes")
    (home / "notes/dangling.txt").symlink_to(home / "notes/absent")
    expected = [
        ("notes/dangling.txt", 0, "broken link"),
        ("notes/out.txt", 0, "link leaves its source"),
        ("notes/outside", 0, "link leaves its source"),
    ]
    assert refusals(home, "notes") == expected
    assert [row.source for row in rows(home, "notes") if isinstance(row, Row)] == [
        "notes/a/z.md",
        "notes/b.txt",
    ]
    assert refusals(home, "notes/out*") == expected[1:]
    assert names(home, "notes/out.txt") == ["other/c.txt"]  # named itself


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a file that may not be read")
def test_a_file_that_cannot_be_opened_is_named(home: Path) -> None:
    (home / "notes/b.txt").chmod(0)
    with pytest.raises(DataError, match=r"cannot read notes/b\.txt"):
        rows(home, "notes")


# --- text ---------------------------------------------------------------------------------------------


def write(root: Path, name: str, data: bytes) -> list[Row | Refusal]:
    (root / name).write_bytes(data)
    return rows(root, name)


def test_text_loses_only_its_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    (row,) = write(tmp_path, "a.txt", "\ufeffNaïve 🦊\r\nline two\r\n\r\nthree\t.\r\n".encode())
    assert row == Row(kind="text", source="a.txt", position=1, text="Naïve 🦊\nline two\n\nthree\t.")


def test_only_the_last_passage_ends_its_document(tmp_path: Path) -> None:
    found = write(tmp_path, "a.md", b"# One\ntext\n# Two\ntext\n# Three\ntext\n")
    assert [(r.position, r.ends_document) for r in found if isinstance(r, Row)] == [
        (1, False),
        (2, False),
        (3, True),
    ]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"good\n\n" * 9_999 + b"bad \xff", "not UTF-8"),
        ("a.txt", b"cut short \xc3", "not UTF-8"),
        ("a.json", b'{"text": "\xff"}', "not UTF-8"),
        ("a.md", "UTF-16".encode("utf-16") + b"\x00", "not UTF-8"),
        ("a.md", "UTF-16".encode("utf-16-le"), "not valid text"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16"), "not UTF-8"),
        ("a.md", b"a\0b", "not valid text"),
        ("a.txt", b"", "empty"),
        ("a.txt", b"\xef\xbb\xbf \n\n \n", "empty"),
        ("a.json", b"[]", "empty"),
        ("a.jsonl", b"\n\n", "empty"),
    ],
)
def test_a_file_that_is_no_text_gives_one_refusal(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    assert write(tmp_path, name, data) == [Refusal(source=name, position=0, reason=reason)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_in_the_encoding_that_its_mark_names(tmp_path: Path, encoding: str) -> None:
    """As Notepad writes it, and PowerShell's >."""
    (row,) = write(tmp_path, "a.markdown", "Die Höhe beträgt 37 Meter.\r\n".encode(encoding))
    assert isinstance(row, Row) and row.text == "Die Höhe beträgt 37 Meter."
    (row,) = write(tmp_path, "a.json", '{"text": "Die Höhe"}'.encode(encoding))
    assert isinstance(row, Row) and row.text == "Die Höhe"


def test_a_source_may_begin_with_the_owners_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.text").write_text("The tower is tall.")
    with monkeypatch.context() as patch:
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(tmp_path))
        (row,) = read(["~/notes.text"], tmp_path / "elsewhere", voice="assistant")
    assert isinstance(row, Row) and row.source == "notes.text"


def test_what_was_written_since_is_told(tmp_path: Path) -> None:
    for name in ("old.md", "new.md", "gone.md"):
        (tmp_path / name).write_text(name)
    assert changed_since(["."], tmp_path, time.time() + 60) == []
    assert changed_since([".", "nowhere.md"], tmp_path, 0) == ["gone.md", "new.md", "old.md"]


def test_the_front_matter_of_a_law_is_not_its_text(tmp_path: Path) -> None:
    law = b'+++\nid = "x"\n+++\n\n# Never alone\n\nNobody climbs alone.\n+++ \n'
    (row,) = write(tmp_path, "a.law", law)
    assert isinstance(row, Row)
    assert row.text == "# Never alone\n\nNobody climbs alone.\n+++ "
    (row,) = write(tmp_path, "a.law", b"\xef\xbb\xbfNo front matter here.")
    assert isinstance(row, Row)
    assert row.text == "No front matter here."
    (refusal,) = write(tmp_path, "a.law", b"+++\nid = 1\n\ntext")
    assert refusal == Refusal(source="a.law", position=0, reason="front matter never ends")
    first, _ = write(tmp_path, "a.md", law)
    assert isinstance(first, Row)
    assert first.text.startswith("+++")


# --- JSON ---------------------------------------------------------------------------------------------


def test_json_lines_are_rows_by_their_line(tmp_path: Path) -> None:
    found = write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"text": "one"}\r\n\n{"text": "three"}')
    assert [(r.position, r.text) for r in found if isinstance(r, Row)] == [(1, "one"), (3, "three")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "x"', "broken JSON"),
        (b"not json", "broken JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"text": "x", "n": ' + b"9" * 5_000 + b"}", "number too large"),
        (b'{"words": "x"}', "unknown shape"),
        (b"7", "unknown shape"),
        (b'{"text": "x", "text": "y"}', "a key twice"),
        (b'{"text": "x", "n": -Infinity}', "not a number"),
        (b'{"text": "a\\u0000b"}', "not valid text"),
        (b'{"text": "\\ud83d"}', "not valid text"),
    ],
)
def test_a_bad_line_is_refused_without_its_neighbours(tmp_path: Path, line: bytes, reason: str) -> None:
    found = write(tmp_path, "a.jsonl", b'{"text": "one"}\n' + line + b'\n{"text": "three"}\n')
    assert [r.text for r in found if isinstance(r, Row)] == ["one", "three"]
    assert refusals(tmp_path, "a.jsonl") == [("a.jsonl", 2, reason)]


def test_strict_names_file_and_line_of_broken_json(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x"}\n' * 16 + b'{"text": }\n')
    with pytest.raises(DataError, match=r"a\.jsonl line 17: broken JSON: Expecting value, column 10"):
        rows(tmp_path, "a.jsonl", strict=True)
    (tmp_path / "b.json").write_bytes(b'[\n{"text": "x"},\n{"text": "y"}\n{"text": "z"}\n]')
    with pytest.raises(DataError, match=r"b\.json line 4: broken JSON: Expecting ','"):
        rows(tmp_path, "b.json", strict=True)
    (tmp_path / "c.jsonl").write_bytes(b'{"words": 1}\n')
    assert rows(tmp_path, "c.jsonl", strict=True) == refused("c.jsonl", 1, "unknown shape")


def refused(source: str, position: int, reason: str) -> list[Refusal]:
    return [Refusal(source=source, position=position, reason=reason)]


def test_a_line_beyond_the_limit_is_refused_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "LONGEST", 2**20)
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "' + b"x" * 2**24 + b'"}\n{"text": "next"}\n')
    (tmp_path / "b.json").write_bytes(b'[{"text": "first"}, {"text": "' + b"x" * 2**24 + b'"}]')
    assert peak(lambda: rows(tmp_path, "a.jsonl", "b.json")) < 10 * 2**20
    assert refusals(tmp_path, "a.jsonl") == [("a.jsonl", 1, "line too long")]
    assert refusals(tmp_path, "b.json") == [("b.json", 2, "record too long")]


@pytest.mark.parametrize(
    ("data", "texts", "reasons"),
    [
        (b'{"text": "a"}', ["a"], []),
        (b'\xef\xbb\xbf [ {"text": "a"} , {"text": "b"} ] \n', ["a", "b"], []),
        (b'{"text": "a"}\n{"text": "b"}\n', ["a", "b"], []),
        (b'[{"text": "a"}, 12', ["a"], ["unknown shape", "broken JSON"]),
        (b'[{"text": "a"}, {"text": "b', ["a"], ["broken JSON"]),
        (b'[{"text": "a"} {"text": "b"}]', ["a"], ["broken JSON"]),
        (b'[{"text": "a"}', ["a"], ["broken JSON"]),
        (b'[{"text": "a"},]', ["a"], ["broken JSON"]),
        (b'[{"text": "a"}, ' + b"[" * 200_000, ["a"], ["nested too deeply"]),
        (b'{"n": ' + b"9" * 5_000 + b"}", [], ["number too large"]),
        (b'[{"a": 1, "a": 2}, {"text": "a"}, NaN, {"text": "b"}]', ["a", "b"], ["a key twice", "not a number"]),
    ],
)
def test_a_json_file_is_read_record_by_record(
    tmp_path: Path, data: bytes, texts: list[str], reasons: list[str]
) -> None:
    found = write(tmp_path, "a.json", data)
    assert [r.text for r in found if isinstance(r, Row)] == texts
    assert [r.reason for r in found if isinstance(r, Refusal)] == reasons


def test_what_ends_a_file_is_no_small_loss(tmp_path: Path) -> None:
    """Behind it nothing can be read: in a strict run that is an error, and else the file is named."""
    (tmp_path / "a.json").write_bytes(b'[{"text": "a"},\n{"n": ' + b"9" * 5_000 + b'}, {"text": "b"}]')
    assert refusals(tmp_path, "a.json") == [("a.json", 2, "number too large")] and "number too large" in CURES
    with pytest.raises(DataError, match=r"a\.json line 2: number too large") as failure:
        rows(tmp_path, "a.json", strict=True)
    assert "all that follows it" in failure.value.hint


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_where_the_file_is_cut_for_reading_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    records = [{"text": f'é🦊 "{n}" \\ \n', "n": [n, -1.5e3, True, None, -1e-300]} for n in range(30)]
    (tmp_path / "a.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    expected = rows(tmp_path, "a.json", strict=True)
    assert len(expected) == 30
    monkeypatch.setattr(json_records, "_CHUNK", chunk)
    assert rows(tmp_path, "a.json", strict=True) == expected


# --- memory -------------------------------------------------------------------------------------------


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def consume(root: Path, source: str) -> int:
    return sum(1 for _ in read([source], root, voice="assistant"))


@pytest.mark.parametrize("line", [b"x", b"word ", b"\t", b"word word\r\n", b"- a: b\n", b"\n"])
def test_a_huge_text_needs_little_memory(tmp_path: Path, line: bytes) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        for _ in range(2**22 if b"\n" not in line else 2**17):  # many lines are slow to trace
            file.write(line)
    assert peak(lambda: consume(tmp_path, "a.txt")) < 2**20


def test_conversation_files_need_the_memory_of_one(tmp_path: Path) -> None:
    turn = [{"role": "user", "content": "q" * 1_000}, {"role": "assistant", "content": "a" * 1_000}]
    data = json.dumps({"id": "x", "title": "t", "create_time": 1.5, "messages": turn * 1_000})  # 2 MB
    for number in range(20):
        (tmp_path / f"{number}.json").write_text(data, encoding="utf-8")
    assert peak(lambda: consume(tmp_path, ".")) < 15 * 2**20


def test_a_long_list_needs_the_memory_of_one_record(tmp_path: Path) -> None:
    record = json.dumps({"text": "x" * 10_000})
    with (tmp_path / "a.json").open("w", encoding="utf-8") as file:
        file.write("[" + ",\n".join([record] * 1_000) + "]")
    assert peak(lambda: consume(tmp_path, "a.json")) < 3 * 2**20


# --- what leads out -----------------------------------------------------------------------------------

links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@links
@pytest.mark.parametrize("source", ["notes", "notes/*", "other/../notes/**", "notes/a/.."])
def test_strict_stops_at_a_link_out_of_its_source(home: Path, source: str) -> None:
    (home / "notes/out.txt").symlink_to(home / "other/c.txt")
    with pytest.raises(DataError, match=r"notes/out\.txt: link leaves its source") as stopped:
        read([source], home, voice="assistant", strict=True)
    assert "put a copy in its place" in stopped.value.hint


def test_a_pattern_does_not_climb_out_of_the_folder_it_begins_in(home: Path) -> None:
    climbing = "notes/*/../../other/*.txt"
    assert refusals(home, climbing) == [("notes/a/../../other/c.txt", 0, "link leaves its source")]
    assert len(rows(home, climbing)) == 1
    with pytest.raises(DataError, match="link leaves its source"):
        rows(home, climbing, strict=True)
    assert names(home, "notes/../other/*.txt") == ["other/c.txt"]  # named outright


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_devices_and_sockets_are_never_opened(home: Path) -> None:
    os.mkfifo(home / "notes/pipe.txt")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(home / "notes/socket.md"))
        expected = [("notes/pipe.txt", 0, "not a regular file"), ("notes/socket.md", 0, "not a regular file")]
        assert refusals(home, "notes") == expected
    assert refusals(home, "notes/pipe.txt") == expected[:1]
    for source in ("notes", "notes/pipe.txt", "/dev/zero"):
        with pytest.raises(DataError, match="not a regular file") as stopped:
            rows(home, source, strict=True)
        assert "move it out" in stopped.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("swap", ["pipe", "link", "folder"])
def test_what_took_a_file_s_place_is_not_read(home: Path, swap: str) -> None:
    reading = read(["notes"], home, voice="assistant")
    file = home / "notes/b.txt"
    file.unlink()
    if swap == "pipe":
        os.mkfifo(file)
    elif swap == "link":
        file.symlink_to(home / "other/c.txt")
    else:
        file.mkdir()
    with pytest.raises(DataError, match=r"cannot read notes/b\.txt"):
        list(reading)


def test_a_json_file_may_be_one_conversation_and_nothing_else(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]
    told = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]
    files = {
        "a": json.dumps(talk), "b": json.dumps(told), "c": json.dumps([*talk, {"no": "message"}]),
        "d": json.dumps(talk)[:-1], "e": json.dumps([{"messages": talk}, {"messages": talk}]), "f": "[]",
        "g": json.dumps([{"role": "user", "content": "x" * 2**20}] * 17),
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    rows = [*read(["*.json"], tmp_path, voice="assistant")]
    spoken = [(row.source[0], [turn.text for turn in row.turns]) for row in rows if isinstance(row, Row)]
    assert spoken == [(name, ["Hello?", "Yes."]) for name in ("a", "b", "e", "e")]
    refused = [(row.source[0], row.reason) for row in rows if isinstance(row, Refusal)]
    assert refused == [("c", "unknown shape"), ("d", "broken JSON"), ("f", "empty"), ("g", "record too long")]


# --- the whitelist ------------------------------------------------------------------------------------

FILES = {
    "a.txt": b"One.\n\nTwo.",
    "b.law": b"No front matter. " + b"Nobody climbs alone.\n\n" * 9_000,
    "c.law": b'+++\nid = "x"\n+++\nThe light is never put out.',
    "d.jsonl": b'{"text": "three"}\n' * 20_000,
    "e.json": b'[{"text": "four"}, {"text": ] and the rest ' + b"x" * 300_000,
    "f.md": b"not text \xff" + b"y" * 600_000,
    "g.txt": b"",
}


def whitelisted(root: Path, allowed: set[str]) -> list[Row | Refusal]:
    return list(read(["corpus"], root, voice="assistant", whitelist=allowed))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    for name, data in FILES.items():
        (tmp_path / "corpus" / name).write_bytes(data)
    return tmp_path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


ALL = {digest(data) for data in FILES.values()}


def test_a_whitelist_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{digest(b'x')}  x.txt\r\n", encoding="utf-8-sig")
    assert read_whitelist(tmp_path / "list") == {digest(b"x")}


def test_a_whitelist_changes_nothing_of_what_it_lists(corpus: Path) -> None:
    assert whitelisted(corpus, ALL) == rows(corpus, "corpus")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_listed_is_named_before_a_row_of_it(corpus: Path, name: str) -> None:
    unlisted = digest(FILES[name])
    reading = read(["corpus/" + name], corpus, voice="assistant", whitelist=ALL - {unlisted})
    with pytest.raises(DataError, match=f"corpus/{name} is not on the whitelist: its SHA-256 is {unlisted}") as refused:
        next(reading)
    assert "add that digest" in refused.value.hint


@pytest.mark.parametrize("name", ["a.txt", "b.law", "d.jsonl", "e.json"])
def test_what_changes_between_check_and_use_is_not_learned(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The file is swapped, as it lies, right after its digest was checked: the rows are of other bytes."""
    check = SourceFile.require_listed
    file, checks = corpus / "corpus" / name, []

    def swapping(self: SourceFile, shown: str, whitelist: set[str]) -> None:
        check(self, shown, whitelist)
        checks.append(shown)
        file.write_bytes(FILES[name].upper())

    monkeypatch.setattr(SourceFile, "require_listed", swapping)
    with pytest.raises(DataError, match=f"{name} is not on the whitelist"):
        list(read([f"corpus/{name}"], corpus, voice="assistant", whitelist=ALL))
    assert checks == [f"corpus/{name}"]


def test_a_list_as_sha256sum_prints_it(tmp_path: Path) -> None:
    one, two, three, four = (digest(bytes([n])) for n in range(4))
    path = tmp_path / "corpus.sha256"
    path.write_text(f"{one}  notes/a b.txt\n# mine\n\n{two.upper()} *b.txt\r\n\\{three}  odd\\nname\n{four}", "utf-8")
    assert read_whitelist(path) == {one, two, three, four}
    path.write_text("", "utf-8")
    assert read_whitelist(path) == frozenset()


@pytest.mark.parametrize(
    "line", ["notes.txt", f"{'a' * 63}  x", f"{'a' * 65}", f"SHA256 (x) = {'a' * 64}", f"{'g' * 64}  x", "a" * 64 + "x"]
)
def test_a_list_that_cannot_be_read_allows_nothing(tmp_path: Path, line: str) -> None:
    path = tmp_path / "corpus.sha256"
    path.write_text(f"{'a' * 64}  ok\n{line}\n", "utf-8")
    with pytest.raises(PlanError, match=r"corpus\.sha256 line 2 is no digest"):
        read_whitelist(path)
    path.write_bytes(b"\xff")
    with pytest.raises(PlanError, match="cannot be read"):
        read_whitelist(path)
    with pytest.raises(PlanError, match="cannot be read"):
        read_whitelist(tmp_path / "absent")
