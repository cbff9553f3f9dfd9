"""Every sentence that the product itself speaks, in each of its languages; what flows and sites write is not here.

It is the one place for them: the package is built with all of them spoken, and a test refuses a sentence elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Sentence = Mapping[str, str]  #: language → text

#: What a language without a translation gets.
_DEFAULT = "en"

# An agent's own phone, by dialling *11 to *14.
LOGGED_IN: Sentence = {"zh-CN": "您已登录，可以接听来电", "en": "You are logged in and will be offered calls."}
LOGGED_OUT: Sentence = {"zh-CN": "您已退出", "en": "You are logged out."}
PAUSED: Sentence = {"zh-CN": "您已暂停接听", "en": "You are paused."}
READY: Sentence = {"zh-CN": "您可以接听来电", "en": "You will be offered calls again."}
NO_AGENT: Sentence = {"zh-CN": "这部话机没有分配坐席", "en": "This phone belongs to no agent."}
REFUSED: Sentence = {"zh-CN": "操作没有成功，请联系班长", "en": "That did not work. Please ask your supervisor."}

# A caller who waits in a queue.
POSITION_BEFORE: Sentence = {"zh-CN": "您目前排在第", "en": "You are number"}
POSITION_AFTER: Sentence = {"zh-CN": "位，请不要挂机", "en": "in the queue. Please hold the line."}
CALLBACK_OFFER: Sentence = {
    "zh-CN": "请按一，由我们回电给您，并保留您的排队位置；或继续等候",
    "en": "Press one and we will call you back and keep your place, or stay on the line.",
}
#: Told to every caller whose menus stay unanswered, once, before the call ends as ``silent``.
ANY_KEY: Sentence = {"zh-CN": "如需人工服务，请按任意键", "en": "To speak to a person, press any key."}

# In place of a text that has no sound: the nearest that has.
CHOOSE: Sentence = {"zh-CN": "语音提示暂时无法播放，请按键", "en": "The recording can't be played. Please press a key."}
NOT_PLAYED: Sentence = {"zh-CN": "语音提示暂时无法播放", "en": "The recording can't be played."}
RECORDED: Sentence = {"zh-CN": "本次通话可能会被录音", "en": "This call may be recorded."}
LEAVE_MESSAGE: Sentence = {
    "zh-CN": "请在提示音后留言，按井号结束",
    "en": "Please leave a message after the tone. Press hash to end.",
}
GOODBYE: Sentence = {"zh-CN": "感谢您的来电，再见", "en": "Thank you for calling. Goodbye."}


def in_language(sentence: Sentence, language: str) -> tuple[str, str]:
    """(language, text): as the caller speaks, else in English."""
    spoken = language if language in sentence else _DEFAULT
    return spoken, sentence[spoken]


def every() -> Iterator[tuple[str, str]]:
    """(language, text) of each sentence of this module."""
    for value in list(globals().values()):
        if isinstance(value, dict) and _DEFAULT in value:
            yield from value.items()


def spoken_length_s(language: str, text: str) -> float:
    """An estimate of how long a text takes to speak, for checks before anything is rendered."""
    return len(text) / (4.0 if language == "zh-CN" else 14.0)
