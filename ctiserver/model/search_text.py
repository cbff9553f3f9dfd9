"""Text as it is searched by any part of it: what an index of three-character windows can find, one 汉字 included.

Such an index finds nothing shorter than three characters, yet Chinese words and names have one, two or three. So 汉字
are kept with a mark around each (``_张_伟_``): one alone is three characters then, and a window holds two of them, as
few texts do. Letters and digits stay as they are, and words stand between blanks, so that two letters can be looked
for where a word begins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Ideographs, kana and hangul: scripts with words of one or two characters.
_SHORT_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
#: What stands between the digits of a number or of a house: it is left out on both sides.
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[().\-/]+(?=\d)")
_IN_NUMBERS = re.compile(r"[\s().\-/+]+")
_WINDOW = 3


def encoded(parts: Iterable[str]) -> str:
    """Several texts as one is kept of them: folded, without punctuation, every word between blanks."""
    words = [word for part in parts for word in _words(part)]
    return f" {' '.join(words)} " if words else ""


def wanted(query: str) -> tuple[str, ...]:
    """The pieces that an encoded text must all hold to be found by ``query``; empty if it says too little.

    A number may be typed with blanks and dashes. A word of two letters or digits is looked for where a word begins, a
    single letter or digit not at all.
    """
    number = _IN_NUMBERS.sub("", unicodedata.normalize("NFKC", query))
    words = [number] if number.isdecimal() else _words(query)
    pieces = [_piece(word) for word in words]
    return tuple(dict.fromkeys(piece for piece in pieces if len(piece) >= _WINDOW))


def _piece(word: str) -> str:
    bare = word.strip("_")  # the outer marks' windows hold one 汉字 alone, which many texts have
    if len(bare) >= _WINDOW:
        return bare
    return word if len(word) >= _WINDOW else f" {word}"


def _words(text: str) -> list[str]:
    folded = _BETWEEN_DIGITS.sub("", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in folded)
    return [_SHORT_WORDS.sub(lambda run: f"_{'_'.join(run[0])}_", word) for word in kept.split()]
