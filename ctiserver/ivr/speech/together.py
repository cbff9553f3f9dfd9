"""Speak hundreds of texts by the wheel's espeak-ng, in a process for each processor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Protocol

from ctiserver.ivr.speech.prompts import Text

#: How often all processors are tried. The library has crashed on a busy machine, and then spoken the same texts.
_TRIES = 2
#: Not forked: a builder may have threads, which a forked process does not.
_FRESH = get_context("spawn")


class Speaker(Protocol):
    """What speaks, and knows what is spoken: a :class:`~ctiserver.ivr.speech.prompts.Shelf`."""

    def missing(self, texts: Sequence[Text]) -> Sequence[Text]:
        """Those that are not spoken yet."""
        ...

    def speak_bundled(self, text: Text) -> str:
        """Speak one; why not, "" if it did."""
        ...


def speak_together(speaker: Speaker, texts: Sequence[Text]) -> Iterator[tuple[Text, str]]:
    """Speak what is missing of ``texts``; those that could not be spoken, each with the reason."""
    for _ in range(_TRIES):
        missing = speaker.missing(texts)
        if not missing:
            return
        try:
            pool = ProcessPoolExecutor(os.cpu_count(), _FRESH)
        except (OSError, ImportError):  # /dev/shm is not there, or can't be written: one after the other, here
            reasons = [speaker.speak_bundled(text) for text in missing]
        else:
            try:
                with pool:
                    reasons = list(pool.map(speaker.speak_bundled, missing, chunksize=8))
            except BrokenProcessPool:
                continue  # with what is missing still
        yield from ((text, reason) for text, reason in zip(missing, reasons, strict=True) if reason)
        return
    for text in speaker.missing(texts):  # alone: one that crashes the library takes no other along
        try:
            with ProcessPoolExecutor(1, _FRESH) as alone:
                reason = alone.submit(speaker.speak_bundled, text).result()
        except BrokenProcessPool:
            reason = "the speech engine crashes with this text"
        if reason:
            yield text, reason
