"""A chat as WhatsApp exports it: text, each entry stamped with its time and who says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import NamedTuple, TextIO

from germline.corpus.chat_log import LONGEST, Entry
from germline.corpus.shapes import called

_HEAD = 2**16
"""Characters in which a log is known by its first line and its speakers."""

_MARK = "\u200e"
"""iOS sets it before what it says in somebody's place, and before an entry that has such words."""
_MARKS = f"{_MARK}\u200f\u202a\u202c\ufeff"
_LINE = re.compile(
    rf"(?P<marks>[{_MARKS}]*)(?P<open>\[?)(?P<date>\d{{1,4}}(?P<between>[./-]) ?\d{{1,2}}[./-] ?\d{{1,4}}\.?)(?: г\.)?"
    r"(?P<comma>[,،]?)\s(?P<early>[^\W\d]{0,3}\s?)(?P<hour>\d{1,2})[:.](?P<minute>\d\d)(?:[:.]\d\d)?"
    r"(?P<late>\s?[^\W\d]\.?\s?[^\W\d]?\.?)?(?:\]\s| - )(?P<said>.*)"
)
_AFTERNOON = re.compile(r"p\.?\s?m|下午|午後|오후|ös|μ\.?\s?μ|م", re.IGNORECASE)
_MORNING = re.compile(r"a\.?\s?m|上午|午前|오전|öö|π\.?\s?μ|ص", re.IGNORECASE)
_SPEAKER = re.compile(r"(?P<name>.{1,80}?):(?:\s(?P<words>.*))?")
_NOT_SAID = re.compile(
    r"(?:this message was deleted(?: by .{1,80})?|you deleted this message"
    r"|d(?:iese|u hast diese) nachricht (?:wurde )?gelöscht|eliminaste este mensaje|se eliminó este mensaje"
    r"|vous avez supprimé ce message|ce message a été supprimé|hai eliminato questo messaggio"
    r"|questo messaggio è stato eliminato|(?:você )?apag(?:ou|aste) esta mensagem|(?:esta )?mensagem (?:foi )?apagada"
    r"|[uj]e? he(?:bt|b) dit bericht verwijderd|dit bericht is verwijderd|bu mesajı sildiniz|bu mesaj silindi"
    r"|вы удалили (?:это|данное) сообщение|(?:данное )?сообщение удалено|usunięto tę wiadomość"
    r"|ta wiadomość została usunięta|waiting for this message.*|live location shared.*|null"
    r"|(?:missed|silenced) (?:group )?(?:voice|video) call.*)\.?",
    re.IGNORECASE,
)
"""What the app says in the place of words that were taken back, or never came, in some languages."""
_SHOWN = re.compile(
    r"<[^<>\n]{1,80}>(?:\n.*)?|[^\n]{1,200}\.\w{1,10} \([^()\n]{1,40}\)(?:\n.*)?"
    r"|(?:[^\n:]{1,40}: )?https?://(?:maps\.google\.com/|www\.google\.com/maps|foursquare\.com/)\S*"
    r"|[^\W\d_]{2,12}:\n.{0,2000}\n[^\W\d_]{2,12}: .{1,200}\(\d+ [^()\n]{1,20}\)",
    re.DOTALL,
)
"""What Android says in the place of a picture or file (`<Media omitted>`, `IMG-1.jpg (file attached)`; what was written
below it goes with it), a place or a poll."""
_EDITED = re.compile(r"<[^<>\n/=:]{1,40} [^<>\n/=:]{1,40}>")
_FILE = re.compile(
    r"(?:^|/)(?:_?chat(?: ?\(?\d+\)?)?|[^/]*whatsapp[ -]?(?:chat|sohbet)[^/]*"
    r"|[^/]*(?:chat|conversa|discussion|чат|czat)[^/]*whatsapp[^/]*)\.(?:txt|text)$",
    re.IGNORECASE,
)
"""As WhatsApp calls its exports in some languages, and as a second one in the same folder is called."""


class _Stamp(NamedTuple):
    """What a stamped line says. All of one file have the same `form`."""

    form: tuple[str, ...]
    entry: Entry
    marked: bool


def is_called_so(file: str) -> bool:
    """Whether a file's name is one that WhatsApp gives."""
    return bool(_FILE.search(file))


def is_one(stream: TextIO, file: str, persona: Set[str]) -> bool:
    """Whether a text file is such a log: its first line is stamped as its lines are, and it is called as WhatsApp
    calls them, or one of `persona` speaks near its beginning. A ship's log is a document. The stream is at its
    beginning before and after."""
    head = stream.read(_HEAD)
    stream.seek(0)
    found = [_stamped(line) for line in head.strip().splitlines()]
    if not found or not found[0]:
        return False
    return is_called_so(file) or any(not persona.isdisjoint(line.entry.names) for line in found if line)


def entries(stream: TextIO) -> Iterator[tuple[int, Entry]]:
    """Each entry with the number of its first line. Lines without a stamp, or with one of another form than the first,
    belong to the one before; what is longer than `LONGEST` goes on in the next."""
    stamp: _Stamp | None = None
    lines: list[str] = []
    at = size = told = 0
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST), ""), 1):
        found = _stamped(line.removesuffix("\n"))
        if stamp and found and found.form != stamp.form:
            found = None
        if stamp and (found or size > LONGEST):
            yield at, _whole(stamp, "".join(lines), first=not told)
            lines, at, size, told = [], number, 0, told + 1
        if found:
            stamp, at = found, number
            line = found.entry.words + "\n"
        lines.append(line)
        size += len(line)
    if stamp:
        yield at, _whole(stamp, "".join(lines), first=not told)


def _stamped(line: str) -> _Stamp | None:
    if not (found := _LINE.fullmatch(line)):
        return None
    hour, half = int(found["hour"]), f"{found['early']} {found['late'] or ''}"
    if _AFTERNOON.search(half):
        hour = hour % 12 + 12
    elif _MORNING.search(half):
        hour %= 12
    said = _SPEAKER.fullmatch(found["said"])
    name = called(said["name"]) if said and not _is_amid_quotes(said["name"]) else ""
    entry = Entry(
        names=(name,) if name else (),
        words=((said["words"] or "") if said else ""),
        date=found["date"],
        minute=60 * hour + int(found["minute"]),
    )
    return _Stamp((found["open"], found["between"], found["comma"]), entry, _MARK in found["marks"])


def _is_amid_quotes(text: str) -> bool:
    """As where a group of the name "Trip: Rome" is renamed."""
    return text.count('"') % 2 == 1 or text.count("“") > text.count("”")


def _whole(stamp: _Stamp, words: str, *, first: bool) -> Entry:
    """The entry that `stamp` begins, with all its words."""
    words = _without_edited(words.strip())
    of_app = words.startswith(tuple(_MARKS)) or (_MARK in words and (stamp.marked or f"{_MARK}<" in words))
    plain = words.translate(dict.fromkeys(map(ord, _MARKS)))
    read = not (of_app or _SHOWN.fullmatch(plain) or _NOT_SAID.fullmatch(plain))
    notice = first and of_app and not _SHOWN.fullmatch(plain)  # iOS: that all is encrypted, in somebody's mouth
    return stamp.entry._replace(names=() if notice else stamp.entry.names, words=plain, read=read)


def _without_edited(words: str) -> str:
    """Without `<This message was edited>` behind them, in whatever language."""
    said, mark, last = words.rpartition("<")
    if mark and said.strip(f"{_MARKS} \n") and not said.endswith("\n") and _EDITED.fullmatch(mark + last):
        return said.rstrip(f"{_MARKS} \n\t")
    return words
