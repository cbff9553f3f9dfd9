"""The one way to the data files that ctiserver ships: from the wheel, else from the checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """The path of a shipped file or folder, such as ``shipped("ivr_flows")``.

    In a wheel it lies under ``ctiserver/_data``, in a checkout beside the package.

    Raises FileNotFoundError if the installation lacks it.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"this installation of ctiserver lacks {'/'.join(parts)}; reinstall it")


def package_file(*parts: str) -> Path:
    """The path of a file inside the package itself, such as the web console's static files."""
    path = _PACKAGE.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"this installation of ctiserver lacks {'/'.join(parts)}; reinstall it")
    return path
