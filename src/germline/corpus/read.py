"""From the sources a plan names to rows. Nothing else on the disk is looked at."""

from __future__ import annotations

import codecs
import glob
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from germline.corpus import chat_exports, chat_log, json_records, whatsapp
from germline.corpus.chat_log import Entry
from germline.corpus.claims import under_headings
from germline.corpus.passages import passages
from germline.corpus.shapes import Voice, called, row_of
from germline.corpus.whitelist import SourceFile
from germline.errors import DataError
from germline.records import Refusal, Row

_PLAIN = (".txt", ".text")
_TEXT = (*_PLAIN, ".md", ".markdown", ".law")
_LINES = (".jsonl", ".ndjson")
FILE_TYPES = (*_TEXT, ".json", *_LINES)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNK = 2**18
_MAGIC = re.compile(r"[*?[]")
_HIDDEN, _JUNCTION = stat.FILE_ATTRIBUTE_HIDDEN | stat.FILE_ATTRIBUTE_SYSTEM, 0xA0000003
"""Of what Windows tells of a file: attributes, and IO_REPARSE_TAG_MOUNT_POINT."""
_OUTSIDE = {
    "link leaves its source": "put a copy in its place, or remove it; data.strict = false leaves it out",
    "not a regular file": "move it out of the source; data.strict = false leaves it out",
}
"""Why something that a source holds is never opened, and the cure."""


class _Sides(NamedTuple):
    voice: Voice
    persona: frozenset[str]
    """As they are `called`."""

    def conversations(self, entries: Iterable[tuple[int, Entry]]) -> Iterator[tuple[int, dict[str, object] | None]]:
        return chat_log.conversations(entries, self.persona, self.voice)


def read(
    sources: Sequence[str],
    root: Path,
    *,
    voice: Voice,
    persona: Sequence[str] = (),
    strict: bool = False,
    whitelist: Set[str] | None = None,
) -> Iterator[Row | Refusal]:
    """Every row of the files that `sources` name, with its passport, or why there is none.

    A source is a file, a folder (read with all its folders, without hidden files) or a glob of files (`**`
    for any folders), absolute or relative to `root`. Each file is read once, in the order of names,
    whatever the order of the sources. A link is followed only to what its own source holds.
    Text becomes passages (see `passages`), with every line end as LF and without a byte order mark or the
    front matter of a `.law`; JSON becomes whole documents and conversations (see `row_of`), where the words
    of `voice` are the persona's, or of those named in `persona`. An export of WhatsApp's, Telegram's or Discord's
    becomes conversations (see `chat_log`), and gives no row where nobody is named. A text or `.json` file that is not
    UTF-8, or UTF-16 by its mark, gives no row at all.

    Raises DataError at once for a source that matches nothing and, if `strict`, for what a folder or glob
    holds that leads out of it or is no file (a pipe, a device), which is never opened in either case; and
    while iterating for a file that cannot be opened, for one whose SHA-256 (of the bytes that its rows were
    made of) is not in `whitelist` and, if `strict`, for JSON that is broken. What came of a file is to be
    thrown away when it raises. Memory is bounded by the longest JSON record. Not promised: anything about files that
    change while they are read.
    """
    root = root.resolve()
    found: dict[Path, tuple[str, Path | Refusal]] = {}
    for source in sources:
        matches = dict(_find(os.path.expanduser(source), root))  # noqa: PTH111 - that of nobody's home stays as it is
        if not matches:
            there = (root / source).is_dir()
            hint = "it is a folder without files" if there else f"relative sources start at {root.as_posix()}"
            if any(letter < " " for letter in source):
                hint = 'in "…" a backslash begins an escape: write the path with / or in single quotes'
            raise DataError(f"source {source!r} matches no file", hint=hint)
        found.update(matches)
    for name, file in found.values():
        if strict and isinstance(file, Refusal) and file.reason in _OUTSIDE:
            raise DataError(f"{name}: {file.reason}", hint=_OUTSIDE[file.reason])
    sides = _Sides(voice, frozenset(map(called, persona)))
    return _rows(found, sides, strict, whitelist)


def changed_since(sources: Sequence[str], root: Path, moment: float) -> list[str]:
    """The names of the files that `sources` name and that were written, or came there, after `moment` (epoch seconds).
    A source that is gone has none."""
    root, names = root.resolve(), set[str]()
    for source in sources:
        for name, file in dict(_find(os.path.expanduser(source), root)).values():  # noqa: PTH111
            status = _status(file) if isinstance(file, Path) else None
            if status and max(status.st_mtime, status.st_ctime) > moment:
                names.add(name)
    return sorted(names)


def _rows(
    found: dict[Path, tuple[str, Path | Refusal]], sides: _Sides, strict: bool, whitelist: Set[str] | None
) -> Iterator[Row | Refusal]:
    for _, (name, file) in sorted(found.items(), key=lambda item: (item[1][0], item[0].as_posix())):
        if isinstance(file, Refusal):
            yield file
            continue
        empty = True
        try:
            for item in _read_file(file, name, sides, strict, whitelist):
                empty = False
                yield item
        except OSError as error:
            hint = "check who may read it, or `germline feed --drop` it"
            raise DataError(f"cannot read {name}: {error.strerror}", hint=hint) from error
        if empty:
            yield Refusal(source=name, position=0, reason="empty")


# --- finding files ------------------------------------------------------------------------------------


def _find(source: str, root: Path) -> Iterator[tuple[Path, tuple[str, Path | Refusal]]]:
    """What `source` names: each real file once, with its name in passports, or why it may not be read."""
    path = root / source
    if path.is_dir():
        base = path.resolve()
        matches = _walk(base, root.resolve())
    elif path.exists():
        base = path.resolve()
        matches = iter([base])
    else:
        parts = Path(source).parts  # of the pattern alone: the home's own folder may be called `notes [old]`
        fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
        base = root.joinpath(*parts[:fixed]).resolve()
        pattern = "/".join(parts[fixed:])
        # Path.glob would bring hidden files, and reads `**` differently from one Python to the next.
        names = glob.iglob(pattern, root_dir=base, recursive=True)  # noqa: PTH207
        matches = (base / name for name in names)
    for match in matches:
        if file := _admit(match, base, root):
            yield file


def _walk(folder: Path, home: Path) -> Iterator[Path]:
    """The files and links below `folder`, without hidden ones, those in hidden folders, and a lineage's own in its
    `home`, of which what is named as a source is read all the same. No link is followed, nor is a junction."""

    def unreadable(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=unreadable):
        within = [path for name in folders if not _hidden(path := Path(place, name)) and path != home]
        links = [path for path in within if _is_link(path)]
        folders[:] = [path.name for path in within if path not in links]
        yield from (path for name in files if not _hidden(path := Path(place, name)))
        yield from links


def _hidden(path: Path) -> bool:
    """By its dot; on Windows by its attributes, too, as `$RECYCLE.BIN` is, or `My Music` in Documents, which nobody may
    read."""
    return path.name.startswith(".") or bool(getattr(_status(path), "st_file_attributes", 0) & _HIDDEN)


def _is_link(path: Path) -> bool:
    """Whether a folder is a link, or a junction: what is in it is another folder's."""
    return path.is_symlink() or getattr(_status(path), "st_reparse_tag", 0) == _JUNCTION


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # gone since; whoever opens it says so
        return None


def _admit(match: Path, base: Path, root: Path) -> tuple[Path, tuple[str, Path | Refusal]] | None:
    """The file at `match` if it lies within `base` and its kind is known; None for a folder within."""
    name = _name(match, base, root)
    try:
        file = match.resolve(strict=True)
    except (OSError, RuntimeError):
        return match, (name, Refusal(source=name, position=0, reason="broken link"))
    if not file.is_relative_to(base):
        return match, (name, Refusal(source=name, position=0, reason="link leaves its source"))
    if file.is_dir():
        return None
    name = _name(file, base, root)
    if not file.is_file():
        return file, (name, Refusal(source=name, position=0, reason="not a regular file"))
    if file.suffix.lower() not in FILE_TYPES:
        return file, (name, Refusal(source=name, position=0, reason="unknown file type"))
    return file, (name, file)


def _name(path: Path, base: Path, root: Path) -> str:
    """Relative to the home inside it, else from the source's own name on: no passport holds a machine's path."""
    name = path.relative_to(root if path.is_relative_to(root) else base.parent).as_posix()
    return name.encode("utf-8", "backslashreplace").decode()  # POSIX names may hold bytes that are no UTF-8


# --- reading one file ---------------------------------------------------------------------------------


def _read_file(
    file: Path, name: str, sides: _Sides, strict: bool, whitelist: Set[str] | None
) -> Iterator[Row | Refusal]:
    suffix = file.suffix.lower()
    with SourceFile(file) as source, BufferedReader(source) as binary:
        source.require_listed(name, whitelist)  # before anything makes sense of it
        source.seek(0)
        wide = binary.peek(2).startswith(_UTF16)  # as Notepad and PowerShell's > may write it
        encoding = "utf-16" if wide else "utf-8-sig"
        if suffix in _LINES and not wide:
            yield from _records(json_records.lines(binary), name, sides, strict)
        elif fault := "not UTF-8" if suffix in _LINES else _fault(binary, encoding):
            yield Refusal(source=name, position=0, reason=fault)
        else:
            binary.seek(0)
            text = TextIOWrapper(binary, encoding=encoding)
            if suffix == ".json":
                yield from _records(json_records.conversations(json_records.members(text)), name, sides, strict)
            else:
                if suffix == ".law" and not _skip_front_matter(text):
                    yield Refusal(source=name, position=0, reason="front matter never ends")
                if suffix in _PLAIN and whatsapp.is_one(text, name, sides.persona):
                    yield from _talks([whatsapp.entries(text)], name, sides, position=0)
                elif suffix in _PLAIN and whatsapp.is_called_so(name):
                    yield Refusal(source=name, position=0, reason="unknown form of chat")
                else:
                    yield from _passages(text, name)
        source.require_listed(name, whitelist)  # and that it was these very bytes


def _fault(stream: BinaryIO, encoding: str) -> str | None:
    """Why `stream` is no text. Found before its first row, so that a bad file is refused as a whole."""
    decode = codecs.getincrementaldecoder(encoding)().decode
    try:
        while chunk := stream.read(_CHUNK):
            if "\0" in decode(chunk):
                return "not valid text"
        decode(b"", final=True)
    except UnicodeDecodeError:
        return "not UTF-8"
    return None


def _skip_front_matter(stream: TextIO) -> bool:
    """Move past the TOML between two `+++` lines, where the text begins with one; False if it never ends."""
    if stream.readline(_CHUNK).rstrip() != "+++":
        stream.seek(0)
        return True
    return any(line.rstrip() == "+++" for line in iter(lambda: stream.readline(_CHUNK), ""))


def _passages(stream: TextIO, name: str) -> Iterator[Row]:
    row = None
    for position, (under, text) in enumerate(under_headings(passages(stream)), 1):
        if row:
            yield row
        row = Row(kind="text", source=name, position=position, text=text, ends_document=False, under=under)
    if row:
        yield replace(row, ends_document=True)


def _talks(
    chats: Iterable[Iterable[tuple[int, Entry]]], name: str, sides: _Sides, *, position: int
) -> Iterator[Row | Refusal]:
    """The conversations of chats between people, which as a whole are at `position`."""
    nobody = Refusal(source=name, position=position, reason="nobody is the persona")
    if not sides.persona:
        yield nobody
        return
    silent: list[int] = []
    heard = False
    for number, record in itertools.chain.from_iterable(map(sides.conversations, chats)):
        if record:
            heard = True
            yield row_of(record, source=name, position=number, voice=sides.voice)
        else:
            silent.append(number)
    for number in silent:
        yield replace(nobody, position=number, reason="the persona is silent" if heard else nobody.reason)


def _records(records: Iterator[tuple[int, object]], name: str, sides: _Sides, strict: bool) -> Iterator[Row | Refusal]:
    told = 0
    for position, record in records:
        if isinstance(record, json_records.Broken):
            yield _broken(record, name, position, strict)
        elif chats := chat_exports.chats(record):
            before = itertools.accumulate(map(len, chats), initial=told)
            yield from _talks(map(chat_exports.entries, chats, before), name, sides, position=position)
            told += sum(map(len, chats))
        else:
            yield row_of(record, source=name, position=position, voice=sides.voice, persona=sides.persona)


def _broken(record: json_records.Broken, name: str, position: int, strict: bool) -> Refusal:
    if strict and (record.ends or record.reason == "broken JSON"):
        lost = " and all that follows it" * record.ends
        raise DataError(
            f"{name} line {record.line}: {': '.join(filter(None, (record.reason, record.detail)))}",
            hint=f"mend or delete it, or set data.strict = false to leave it out{lost}",
        )
    return Refusal(source=name, position=position, reason=record.reason)
