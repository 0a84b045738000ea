"""Text without its markup: Markdown's and HTML's emphasis, code marks, links, comments, entities."""

from __future__ import annotations

import html
import re

LONGEST = 400
"""Characters of a sentence, item or cell, with its markup."""

_STRUCK_OUT = re.compile(r"(?<![~\\])~~(?=[^\s~])(?:[^~\n]|~(?!~))*(?<=[^\s~])~~(?!~)")
_STRUCK_OUT_TAGS = re.compile(r"<(del|s|strike)(?:\s[^<>]{0,200})?>.{0,2000}?</\1\s*>", re.DOTALL | re.IGNORECASE)
_MARKED = re.compile(r"[\[`*_\\<&]|==")
_RAISED = re.compile(r"\d[`*_]*<su[pb]>(?!(?:st|nd|rd|th)<)", re.IGNORECASE)
"""A footnote's mark or a power of ten: without its tag it would make another number of the one before it."""
_LETTER = r"(?<![^\W\d_])"
_FOOTNOTE = re.compile(
    rf"(?<!{_LETTER}[ms])(?<!{_LETTER}[µcdkm]m)(?<!{_LETTER}ft)<sup>[ ]*(?:\d{{1,2}}|[a-e*†‡])\)?[ ]*</sup>",
    re.IGNORECASE,
)
"""Not the power of a unit."""
_LITERAL = re.compile(r"`+([^`]*)`+|\\([^\w\s\\]|_)")
"""Code, and a mark that is meant as it stands."""
_HIDDEN = 0xE000
"""Characters from here on, of private use, stand for what is literal while markup is stripped."""
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]\w{1,30});")
_TAG = "a|abbr|b|big|code|em|font|i|kbd|mark|small|span|strong|sub|sup|tt|u|var"
_MARKUP = (
    (re.compile(r"\[\[(?:[^\]|]*\|)?([^\]|]+)\]\]"), r"\1"),  # of wikis and notebooks
    (re.compile(r"==(?=\S)(.+?)(?<=\S)=="), r"\1"),
    (re.compile(r"!\[[^\]]*\]\([^)]*\)|\[\^[^\]]+\]"), ""),
    (re.compile(r"\[([^\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"<br[ ]*/?>", re.IGNORECASE), " "),
    (re.compile(rf"</?(?:{_TAG})(?:\s[^<>]*)?>", re.IGNORECASE), ""),
    (re.compile(r"(?<![\w*])(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<![\w_])(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"(?<=\S)[ ]?\[\d{1,3}\](?=[\s.,;]|$)"), ""),  # a citation
)


def shown(text: str) -> str:
    """`text`, of many lines, but for its comments and what is struck out. What is never closed is a comment to its
    end."""
    before, *parts = text.split("<!--")
    text = before + "".join(part.partition("-->")[2] for part in parts)
    return _STRUCK_OUT_TAGS.sub("", _STRUCK_OUT.sub("", text))


def plain(text: str) -> str:
    """`text` without Markdown's and HTML's emphasis, code marks, links, footnotes and pictures.

    Nothing is left of a long text: no fact is that long, and the patterns would labour on it. Nor of one in which
    something is raised behind a digit: which number is meant, nobody could say.
    """
    if len(text) > LONGEST or _RAISED.search(text):
        return ""
    if _MARKED.search(text):
        literal: list[str] = []

        def hidden(found: re.Match[str]) -> str:
            literal.append(found[1] or found[2] or "")
            return chr(_HIDDEN + len(literal) - 1)

        text = _LITERAL.sub(hidden, _FOOTNOTE.sub("", _PRIVATE.sub("", text)))
        for pattern, replacement in _MARKUP:
            text = pattern.sub(replacement, text)
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        text = text.translate({_HIDDEN + place: mark for place, mark in enumerate(literal)})
    return text.strip()
