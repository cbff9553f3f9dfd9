"""How values are spoken: words that are rendered ahead, so that no engine is needed during a call.

Chinese: 两 before 百 千 万 亿 and measure words, 零 inside numbers, 元角分, years digit by digit. English: short scale,
ordinals in dates. Numbers up to 99 are single recordings, since a syllable alone sounds cut.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from ctiserver.ivr.language.requests import Said, SayAs
from ctiserver.model.expression.expression import Money, Value, to_text

_ZH_DIGITS = "零一二三四五六七八九"
_EN_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_EN_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_EN_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_EN_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_EN_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth", "twenty-first", "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth",
    "twenty-seventh", "twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first",
)  # fmt: skip
_EN_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
#: Larger numbers are spoken digit by digit.
_LARGEST = 10**15


def words(language: str, said: Said) -> tuple[str, ...]:
    """The words that speak a value in ``zh-CN`` or ``en``, each one of :func:`vocabulary` or free text.

    A language whose grammar is not known here gets the value as plain text.
    """
    as_ = _kind(said.value) if said.as_ == "auto" else said.as_
    if said.value is None or said.value == "":
        return ()
    if language == "zh-CN":
        return _zh(said.value, as_)
    if language == "en":
        return _en(said.value, as_)
    return (to_text(said.value),)


def vocabulary(language: str) -> tuple[str, ...]:
    """Every word that values can need in this language."""
    if language == "zh-CN":
        numbers = [_zh_below_100(n) for n in range(100)]
        teens = [f"一{_zh_below_100(n)}" for n in range(10, 20)]  # 一百一十, where 十 alone would be wrong
        return (*numbers, *teens, *"两百千万亿点负元角分年月日", "星号", "井号")
    if language == "en":
        numbers = [_en_below_100(n) for n in range(100)]
        scales = [name for _, name in _EN_SCALES]
        return (
            *numbers,
            "hundred",
            *scales,
            "point",
            "minus",
            "oh",
            "yuan",
            "star",
            "hash",
            *_EN_MONTHS,
            *_EN_ORDINALS,
        )
    return ()


def _kind(value: Value) -> SayAs:
    match value:
        case Money():
            return "money"
        case datetime():
            return "time"
        case date():
            return "date"
        case bool():
            return "text"
        case int() | Decimal():
            return "number"
        case str() if re.fullmatch(r"[0-9*#]{1,64}", value):
            return "digits"
        case _:
            return "text"


def _number(value: Value) -> Decimal | None:
    if isinstance(value, Money):
        return value.amount
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", value):
        return Decimal(value)
    return None


def _zh(value: Value, as_: SayAs) -> tuple[str, ...]:
    if as_ == "digits":
        keys = [key for key in to_text(value) if key in "0123456789*#"]
        return tuple({"*": "星号", "#": "井号"}.get(key) or _ZH_DIGITS[int(key)] for key in keys)
    if as_ in ("date", "time") and isinstance(value, date):
        day = [*(_ZH_DIGITS[int(digit)] for digit in str(value.year)), "年"]
        day += [_zh_below_100(value.month), "月", _zh_below_100(value.day), "日"]
        return (*day, *_zh_clock(value)) if as_ == "time" and isinstance(value, datetime) else tuple(day)
    number = _number(value)
    if number is None:
        return (to_text(value),)
    if abs(number) >= _LARGEST:
        return tuple(_ZH_DIGITS[int(digit)] for digit in str(abs(int(number))))
    if as_ == "money":
        return _zh_money(number)
    if as_ == "count" and number == 2:
        return ("两",)
    return _zh_decimal(number)


def _zh_clock(value: datetime) -> tuple[str, ...]:
    hour = "两" if value.hour == 2 else _zh_below_100(value.hour)
    if value.minute == 0:
        return (hour, "点")
    return (hour, "点", *(("零",) if value.minute < 10 else ()), _zh_below_100(value.minute), "分")


def _zh_money(amount: Decimal) -> tuple[str, ...]:
    cents = int((abs(amount) * 100).quantize(Decimal(1), ROUND_HALF_UP))
    yuan, jiao, fen = cents // 100, cents // 10 % 10, cents % 10
    out: list[str] = ["负"] if amount < 0 and cents else []
    if yuan or not (jiao or fen):
        out += (["两"] if yuan == 2 else list(_zh_integer(yuan))) + ["元"]
    if jiao:
        out += ["两" if jiao == 2 and not yuan else _ZH_DIGITS[jiao], "角"]
    if fen:
        out += (["零"] if yuan and not jiao else []) + [_ZH_DIGITS[fen], "分"]
    return tuple(out)


def _zh_decimal(number: Decimal) -> tuple[str, ...]:
    sign = ("负",) if number < 0 else ()
    number = abs(number)
    whole, _, fraction = f"{number:f}".partition(".")
    fraction = fraction.rstrip("0")
    tail = ("点", *(_ZH_DIGITS[int(digit)] for digit in fraction)) if fraction else ()
    return (*sign, *_zh_integer(int(whole)), *tail)


def _zh_integer(number: int) -> tuple[str, ...]:
    if number < 100:
        return (_zh_below_100(number),)
    out: list[str] = []
    gap = False
    for size, name in ((10**12, "万亿"), (10**8, "亿"), (10**4, "万"), (1, "")):
        part, number = divmod(number, size)
        if part == 0:
            gap = gap or bool(out)
            continue
        if out and (gap or part < 1000):
            out.append("零")
        gap = False
        out += _zh_below_10000(part, first=not out, scaled=bool(name))
        out += list(name)
    return tuple(out)


def _zh_below_10000(number: int, *, first: bool, scaled: bool) -> list[str]:
    if number == 2 and scaled:
        return ["两"]
    if number < 100:
        text = _zh_below_100(number)
        return [text] if first or number >= 20 or number < 10 else ["一" + text]
    out: list[str] = []
    thousands, rest = divmod(number, 1000)
    hundreds, rest = divmod(rest, 100)
    if thousands:
        out += ["两" if thousands == 2 else _ZH_DIGITS[thousands], "千"]
    if hundreds:
        out += ["两" if hundreds == 2 else _ZH_DIGITS[hundreds], "百"]
    elif thousands and rest:
        out.append("零")
    if rest >= 10:
        out.append(_zh_below_100(rest) if rest >= 20 else "一" + _zh_below_100(rest))
    elif rest:
        out += (["零"] if hundreds else []) + [_ZH_DIGITS[rest]]
    return out


def _zh_below_100(number: int) -> str:
    tens, ones = divmod(number, 10)
    if tens == 0:
        return _ZH_DIGITS[ones]
    return (_ZH_DIGITS[tens] if tens > 1 else "") + "十" + (_ZH_DIGITS[ones] if ones else "")


def _en(value: Value, as_: SayAs) -> tuple[str, ...]:
    if as_ == "digits":
        keys = [key for key in to_text(value) if key in "0123456789*#"]
        return tuple({"*": "star", "#": "hash"}.get(key) or _EN_DIGITS[int(key)] for key in keys)
    if as_ in ("date", "time") and isinstance(value, date):
        day = (_EN_MONTHS[value.month - 1], _EN_ORDINALS[value.day - 1], *_en_year(value.year))
        if as_ == "time" and isinstance(value, datetime):
            minutes = ("oh", _EN_DIGITS[value.minute]) if 0 < value.minute < 10 else (_en_below_100(value.minute),)
            return (*day, _en_below_100(value.hour), *(minutes if value.minute else ("hundred",)))
        return day
    number = _number(value)
    if number is None:
        return (to_text(value),)
    if abs(number) >= _LARGEST:
        return tuple(_EN_DIGITS[int(digit)] for digit in str(abs(int(number))))
    if as_ == "money":
        cents = number.quantize(Decimal("0.01"), ROUND_HALF_UP)
        fraction = f"{abs(cents):f}".partition(".")[2]
        whole = (("minus",) if cents < 0 else ()) + _en_integer(int(abs(cents)))
        tail = () if fraction == "00" else ("point", *(_EN_DIGITS[int(digit)] for digit in fraction))
        return (*whole, *tail, "yuan")
    sign = ("minus",) if number < 0 else ()
    whole_text, _, fraction = f"{abs(number):f}".partition(".")
    fraction = fraction.rstrip("0")
    tail = ("point", *(_EN_DIGITS[int(digit)] for digit in fraction)) if fraction else ()
    return (*sign, *_en_integer(int(whole_text)), *tail)


def _en_year(year: int) -> tuple[str, ...]:
    if 2000 <= year < 2010 or year % 100 == 0 or not 1000 <= year <= 9999:
        return _en_integer(year)
    tail = ("oh", _EN_DIGITS[year % 10]) if year % 100 < 10 else (_en_below_100(year % 100),)
    return (_en_below_100(year // 100), *tail)


def _en_integer(number: int) -> tuple[str, ...]:
    if number < 100:
        return (_en_below_100(number),)
    out: list[str] = []
    for size, name in _EN_SCALES:
        part, number = divmod(number, size)
        if part:
            out += [*_en_integer(part), name]
    hundreds, rest = divmod(number, 100)
    if hundreds:
        out += [_en_below_100(hundreds), "hundred"]
    if rest:
        out.append(_en_below_100(rest))
    return tuple(out)


def _en_below_100(number: int) -> str:
    if number < 10:
        return _EN_DIGITS[number]
    if number < 20:
        return _EN_TEENS[number - 10]
    tens, ones = divmod(number, 10)
    return _EN_TENS[tens] + (f"-{_EN_DIGITS[ones]}" if ones else "")
