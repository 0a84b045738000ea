"""Corpora that want to hurt: rows and files of some twenty kinds, each with the one reason that it must be given.

`prove` makes a corpus of so many rows, has it read twice in processes of their own, and compares the books line by
line. The tests run a few hundred rows; `python -m tests.vault.hostile_rows 10000 7` is the long version.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANY = "any"
"""A refusal whose reason is not this proof's business: links and special files have tests of their own."""
ACCEPTED = ""
SAME = "The very same words, once more and once more."
PEAK = 800 * 2**20
"""Bytes that reading may take, whatever is read: the longest record, written to hurt, and the interpreter."""

Line = tuple[bytes, str]


def text(words: str, **more: object) -> bytes:
    return json.dumps({"text": words, **more}, ensure_ascii=False).encode()


def dialog(*turns: object) -> bytes:
    return json.dumps({"messages": turns}).encode()


def said(number: int, chance: random.Random) -> str:
    return f"Row {number} says {chance.getrandbits(64):x}, which nobody else does."


def good(n: int, r: random.Random) -> Line:
    return text(said(n, r)), ACCEPTED


def bad_utf8(n: int, r: random.Random) -> Line:
    broken = r.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x28\xa1", b"\x80"])
    return b'{"text": "' + said(n, r).encode() + broken + b'"}', "not UTF-8"


def lone_surrogate(n: int, r: random.Random) -> Line:
    half = r.choice([r"\ud800", r"\udfff", r"\udc00\ud800", r"\uDBFF x"])
    return f'{{"text": "{said(n, r)} {half}"}}'.encode(), "not valid text"


def nul(n: int, r: random.Random) -> Line:
    return text(said(n, r).replace(" ", "\0", 1)), "not valid text"


def raw_nul(n: int, r: random.Random) -> Line:
    return b'{"text": "' + said(n, r).encode() + b'\x00"}', "broken JSON"


def byte_order_mark(n: int, r: random.Random) -> Line:
    return b"\xef\xbb\xbf" + text(said(n, r)), "broken JSON"


def line_ends(n: int, r: random.Random) -> Line:
    """JSON allows U+2028 and U+0085 in a string, and no carriage return; none of them ends a row."""
    words = said(n, r).replace(" ", r.choice(["\u2028", "\u2029", "\x85"]), 1)
    if r.random() < 0.5:
        return json.dumps({"text": words}, ensure_ascii=False).encode(), ACCEPTED
    return b'{"text": "' + said(n, r).encode() + b'\r more"}', "broken JSON"


def deep(n: int, r: random.Random) -> Line:
    opening = r.choice(["[", '{"a":', '[{"b":['])
    return opening.encode() * 100_000, "nested too deeply"


def key_twice(n: int, r: random.Random) -> Line:
    first, second = said(n, r), "what another reader would learn instead"
    inner = r.choice(['{"text": "%s", "text": "%s"}', '{"text": "x", "more": {"a": "%s", "a": "%s"}}'])
    return (inner % (first, second)).encode(), "a key twice"


def long_number(n: int, r: random.Random) -> Line:
    sign = r.choice(["", "-"])
    return f'{{"text": "{said(n, r)}", "n": {sign}{"9" * r.randrange(5_000, 20_000)}}}'.encode(), "number too large"


def no_number(n: int, r: random.Random) -> Line:
    value = r.choice(["NaN", "Infinity", "-Infinity", "[1, NaN]"])
    return f'{{"text": "{said(n, r)}", "n": {value}}}'.encode(), "not a number"


def trailing_junk(n: int, r: random.Random) -> Line:
    junk = r.choice([b" x", b"}", b',{"text": "y"}', b"\x1f\x8b"[:1], b" // remark"])
    return text(said(n, r)) + junk, "broken JSON"


def cut_short(n: int, r: random.Random) -> Line:
    whole = text(said(n, r))
    return whole[: r.randrange(1, len(whole))], "broken JSON"


def special_token(n: int, r: random.Random) -> Line:
    token = r.choice(["<|endoftext|>", "<|im_start|>system", "</s>", "<|im_end|>", "[INST]", "<think>"])
    return text(f"{token} {said(n, r)} {token}"), ACCEPTED


def invisible(n: int, r: random.Random) -> Line:
    marks = "".join(r.choice("\u200b\u200c\u200d\u2060\ufeff\u202e\u2066\u2069") for _ in range(40))
    if r.random() < 0.5:
        return text(f"\u202e{said(n, r)}\u202c"), ACCEPTED  # right to left, but words
    return text(marks), "empty"


def duplicate(n: int, r: random.Random) -> Line:
    return text(SAME, id=n), "duplicate"


def empty(n: int, r: random.Random) -> Line:
    return r.choice(
        [(text(""), "empty"), (text(" \t"), "empty"), (text("***"), "empty"), (text("Too short."), "too short")]
    )


def wrong_type(n: int, r: random.Random) -> Line:
    values: list[Any] = [None, 7, 1.5, True, [said(n, r)], {"text": said(n, r)}]
    shapes = [
        json.dumps(r.choice(values[:5])).encode(),
        json.dumps({"text": r.choice(values)}).encode(),
        json.dumps({"messages": r.choice(["x", 7, {}, [["role", "user"]]])}).encode(),
        json.dumps({"mapping": [], "current_node": "x"}).encode(),
        dialog({"role": "assistant", "content": {"a": 1}}),
    ]
    return r.choice(shapes), "unknown shape"


def wrong_conversation(n: int, r: random.Random) -> Line:
    loop = {"mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}}, "current_node": "a"}
    return r.choice([
        (dialog({"role": "wizard", "content": "abracadabra"}), "unknown role"),
        (dialog({"role": "user", "content": "is anybody there?"}), "no persona turn"),
        (dialog(), "no persona turn"),
        (json.dumps(loop).encode(), "broken tree"),
    ])  # fmt: skip


LINES: dict[str, Callable[[int, random.Random], Line]] = {
    made.__name__: made
    for made in (
        bad_utf8, lone_surrogate, nul, raw_nul, byte_order_mark, line_ends, deep, key_twice, long_number, no_number,
        trailing_junk, cut_short, special_token, invisible, duplicate, empty, wrong_type, wrong_conversation, good,
    )
}  # fmt: skip


# --- whole files --------------------------------------------------------------------------------------


def bomb() -> bytes:
    """A zip of zips of zeros: 20 KB that would be a gigabyte."""
    held = b"\0" * 2**20
    for _ in range(3):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(10):
                archive.writestr(f"{number}.jsonl", held)
        held = made.getvalue()
    return held


def escaping_tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in ("../../escaped.txt", "/tmp/escaped.txt", "a/../../../escaped.jsonl"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"gone"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return made.getvalue()


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("echo owned > OWNED",))


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip bomb.zip": (bomb, "unknown file type"),
    "gzip bomb.jsonl.gz": (lambda: gzip.compress(b"\0" * 2**22), "unknown file type"),
    "gzip called text.txt": (lambda: gzip.compress(b"The words within.", mtime=0), "not UTF-8"),
    "tar.tar": (escaping_tar, "unknown file type"),
    "tar called markdown.md": (escaping_tar, "not valid text"),
    "pickle.pkl": (lambda: pickle.dumps(_Payload()), "unknown file type"),
    "pickle called json.json": (lambda: pickle.dumps(_Payload()), "not UTF-8"),
    "half a letter of utf-16.md": (lambda: "Words in another encoding.".encode("utf-16")[:-1], "not UTF-8"),
    "utf-32.json": (lambda: '{"text": "a"}'.encode("utf-32-le"), "not valid text"),
    "nothing.jsonl": (lambda: b"", "empty"),
    "no end.law": (lambda: b"+++\nid = 'x'\n\nA law without an end.", "front matter never ends"),
}
MEMBERS = (
    (b'{"text": "%s"}', ACCEPTED), (b'{"a": 1, "a": 2}', "a key twice"), (b'{"n": NaN}', "not a number"),
    (b'{"text": "\\ud800 alone"}', "not valid text"), (b"7", "unknown shape"),
)  # fmt: skip


@dataclass
class Books:
    """What must come out: the reason of every row and file, by source and position."""

    accepted: int = 0
    refused: dict[tuple[str, int], str] = field(default_factory=dict)

    def add(self, source: str, position: int, reason: str) -> None:
        if reason == ACCEPTED:
            self.accepted += 1
        else:
            assert (source, position) not in self.refused
            self.refused[source, position] = reason


def make(root: Path, count: int, seed: int) -> Books:
    """A corpus of at least `count` hostile rows and files in `root/corpus`, and its books."""
    chance, books, corpus = random.Random(seed), Books(), root / "corpus"
    corpus.mkdir(parents=True)
    (root / "secret.txt").write_text("What lies outside of the corpus is nobody's to read.", encoding="utf-8")
    (corpus / "a.jsonl").write_bytes(text(SAME) + b"\n")  # the first of its kind is kept
    books.add("corpus/a.jsonl", 1, ACCEPTED)
    _huge(corpus, books)
    kinds = [*LINES]
    for start in range(0, count, 500):
        name = f"rows-{start:06}.jsonl"
        with (corpus / name).open("wb") as file:
            for number in range(start, min(start + 500, count)):
                kind = kinds[number % len(kinds)] if number > start else "good"  # a mark is right in the first line
                line, reason = LINES[kind](number, chance)
                file.write(line + b"\n")
                books.add(f"corpus/{name}", number - start + 1, reason)
        _files(corpus, f"files-{start:06}", books, chance)
    return books


def _files(corpus: Path, folder: str, books: Books, chance: random.Random) -> None:
    (corpus / folder).mkdir()
    for name, (made, reason) in FILES.items():
        (corpus / folder / name).write_bytes(made())
        books.add(f"corpus/{folder}/{name}", 0, reason)
    members = [(form.replace(b"%s", said(0, chance).encode()), reason) for form, reason in MEMBERS * 3]
    (corpus / folder / "list.json").write_bytes(b"[" + b",\n".join(member for member, _ in members) + b"]")
    for position, (_, reason) in enumerate(members, 1):
        books.add(f"corpus/{folder}/list.json", position, reason)
    if hasattr(os, "mkfifo"):
        os.mkfifo(corpus / folder / "pipe.jsonl")
        books.add(f"corpus/{folder}/pipe.jsonl", 0, ANY)
        for name, target in {"out.txt": "../../secret.txt", "zero.txt": "/dev/zero", "up": "../../.."}.items():
            (corpus / folder / name).symlink_to(target)
            books.add(f"corpus/{folder}/{name}", 0, ANY)


def _huge(corpus: Path, books: Books) -> None:
    """A line of 100 MB that takes no room on the disk, the worst record of the largest size, and a talk of a
    million messages."""
    with (corpus / "huge.jsonl").open("wb") as file:
        file.seek(100 * 2**20)
        file.write(b"\n" + text("The line behind a line of 100 MB is read as ever.") + b"\n")
    books.add("corpus/huge.jsonl", 1, "line too long")
    books.add("corpus/huge.jsonl", 2, ACCEPTED)
    (corpus / "worst.jsonl").write_bytes(b"[" + b"{}," * (5 * 2**20) + b"{}]\n")
    books.add("corpus/worst.jsonl", 1, "unknown shape")
    message = b'{"role":"assistant","content":"ha"}'
    (corpus / "chatter.jsonl").write_bytes(b'{"messages":[' + (message + b",") * 400_000 + message + b"]}\n")
    books.add("corpus/chatter.jsonl", 1, ACCEPTED)


# --- reading, in a process of its own -----------------------------------------------------------------


def _read(root: Path, out: Path) -> None:
    """Read `root/corpus` as an evolve does, and print what came of it and what it took."""
    from germline.corpus.clean import keep
    from germline.corpus.read import read
    from germline.corpus.split import snapshot

    opened: set[str] = set()
    sys.addaudithook(lambda event, given: opened.add(os.fsdecode(given[0])) if _names_a_file(event, given) else None)
    rows = read(["corpus"], root, voice="assistant", strict=False)
    delta = snapshot(keep(rows, seen=()), out, heldout_share=0.2)
    allowed = (str(root / "corpus"), str(out), sys.prefix, sys.base_prefix)
    files = {os.path.realpath(path) for path in opened if not Path(path).is_dir()}  # those are synced
    outside = sorted(path for path in files if not path.startswith(allowed))
    peak = _peak()
    print(json.dumps({
        "digest": delta.digest, "train": delta.train_rows, "heldout": delta.heldout_rows, "rows_in": delta.rows_in,
        "refused": delta.refused, "peak": peak, "outside": outside,
    }))  # fmt: skip


def _peak() -> int:
    """The most bytes this process has held. Linux counts those of the process it was forked from into ru_maxrss."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource  # which Windows has not

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    [held] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(held.split()[1]) * 1024


def _names_a_file(event: str, given: tuple[Any, ...]) -> bool:
    return event == "open" and isinstance(given[0], str | bytes)


def _child(root: Path, out: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.vault.hostile_rows", "--read", str(root), str(out)],
        capture_output=True, text=True, timeout=1800, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def prove(directory: Path, count: int, seed: int) -> dict[str, Any]:
    """Read a hostile corpus twice; AssertionError for any row or byte out of its place. The counts of what was read.

    `directory` must be empty. A row of each kind of line comes in turn, so `count` should be a few times their number.
    """
    books = make(directory / "home", count, seed)
    first, second = (_child(directory / "home", directory / out) for out in ("first", "second"))
    found = {}
    for line in (directory / "first" / "refused.jsonl").read_bytes().splitlines():
        refusal = json.loads(line)
        place = (refusal["source"], refusal["position"])
        assert place not in found, f"{place} is refused twice"
        found[place] = refusal["reason"]
    assert found.keys() == books.refused.keys(), sorted(found.keys() ^ books.refused.keys())[:5]
    wrong = {p: (found[p], r) for p, r in books.refused.items() if found[p] != r and r != ANY}
    assert not wrong, dict([*wrong.items()][:5])
    assert first["train"] + first["heldout"] == books.accepted
    assert first["rows_in"] == books.accepted + len(books.refused)
    assert first["refused"] == dict(Counter(found.values()))
    assert {**first, "peak": 0} == {**second, "peak": 0}
    for name in ("train.jsonl", "heldout.jsonl", "refused.jsonl"):
        assert (directory / "first" / name).read_bytes() == (directory / "second" / name).read_bytes()
    assert not first["outside"], first["outside"]
    assert max(first["peak"], second["peak"]) < PEAK, first["peak"]
    assert not [*Path.cwd().glob("OWNED")] and not [*directory.rglob("OWNED")]
    kinds = len(LINES) + len(FILES) + len(MEMBERS) + 7
    return {**first, "kinds": kinds}


if __name__ == "__main__":
    if sys.argv[1] == "--read":
        _read(Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(prove(Path(scratch), int(sys.argv[1]), int(sys.argv[2])), indent=1))
