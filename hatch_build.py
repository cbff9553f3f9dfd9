"""Building the package speaks all that it can say into it, so that a fresh machine without an engine has it.

The voice is the wheel ``espeakng-loader``, a build requirement: no root, no system package. What is spoken already is
not spoken again. Where that wheel does not exist for a platform, the package is built without prompts, and says so;
`ctiserver serve` then speaks them with whatever engine it finds.
"""
# ruff: noqa: PLC0415 - our own code can be imported only once its folder is on the path

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: What a server that ran on the shipped configuration keeps beside it: databases and recordings among them.
_DATA = "data"


def configuration(root: Path) -> dict[str, str]:
    """The shipped configuration: where each part lies, and where it goes in the wheel."""
    parts = sorted(part for part in (root / "config").iterdir() if part.name != _DATA)
    return {str(part): f"ctiserver/_data/config/{part.name}" for part in parts}


class SpeakPrompts(BuildHookInterface[Any]):
    """Renders ``ivr_flows/prompts`` before the files are collected, and adds ``config/``."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling calls this before wheels, editable ones included."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        if version == "standard":  # an editable installation reads the checkout
            build_data["force_include"].update(configuration(root))
        sys.path.insert(0, str(root))
        from ctiserver.ivr.speech import espeak
        from ctiserver.ivr.speech.prompts import Shelf
        from ctiserver.ivr.speech.texts import texts_of_package
        from ctiserver.ivr.speech.together import speak_together
        from ctiserver.settings import PromptSettings

        if not espeak.available():
            self.app.display_warning("espeakng-loader is not here: this build holds no spoken prompts")
            return
        shelf = Shelf(PromptSettings(), root / "ivr_flows" / "prompts")
        for text, reason in speak_together(shelf, texts_of_package()):
            self.app.display_warning(f"not spoken: {text.text}: {reason}")
