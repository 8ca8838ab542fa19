"""Texts that come from the hub in both languages at once, shown in one."""

from __future__ import annotations

import re

from finbridge.hub.reasons import REASONS, reason
from finbridge.pages.texts import Language, text, word

_CHINESE = re.compile("[\u3400-\u9fff]")
_NUMBER = re.compile(r"\d+")
_QUOTED = re.compile(r"「([^」]+)」")
#: ``left: 中文 / English: values``, ``… [rows]``: what stands before and behind belongs to both.
_BOTH = re.compile(r"(?P<before>(?:.*: )?)(?P<zh>.*?) / (?P<en>[^:\[]*?)(?P<behind>(?:: | ?\[).*)?", flags=re.DOTALL)
_COMPARED = re.compile(r"(?P<field>[^:]+): (?P<ours>.*) → (?P<theirs>.*)", flags=re.DOTALL)
_PLACES = re.compile(r"\[(line_id|kind) ([^\]]+)\]")


def one_language(said: str, language: Language) -> str:
    """``中文 / English`` in one language, with what stands before it (``payable: ``) and behind it (``: 1 → 2``,
    ``[line_id 7]``). What cannot be told apart stays as it is, and so does a text of which a number would be lost.
    """
    found = _BOTH.fullmatch(said) if said.count(" / ") == 1 else None
    if found is None:
        return said
    before, chinese, english, behind = (found[name] or "" for name in ("before", "zh", "en", "behind"))
    foreign = english
    for name in _QUOTED.findall(chinese):  # a name of the OA is the same in both
        foreign = foreign.replace(name, "")
    lost = set(_NUMBER.findall(chinese)) - set(_NUMBER.findall(english + behind))
    if not _CHINESE.search(chinese) or _CHINESE.search(foreign) or lost:
        return said
    return before.replace("行/row", "行" if language == "zh" else "row") + (
        (chinese if language == "zh" else english) + behind
    )


def detail_in_words(said: str, language: Language) -> str:
    """A stored detail in one language; its row and its kind of voucher in words."""

    def place(found: re.Match[str]) -> str:
        name, value = found.groups()
        return f"[{word(language, 'kind', value) if name == 'kind' else text(language, 'words.line', number=value)}]"

    return _PLACES.sub(place, " | ".join(one_language(part, language) for part in said.split(" | ")))


def reasons_in_words(said: str, language: Language) -> str:
    """``unknown_code, vat_mismatch`` as what they mean; anything else as it is, in one language where it has two."""
    codes = said.split(", ")
    if all(code in REASONS for code in codes):
        return "; ".join(str(getattr(reason(code), language)) for code in codes)
    return "; ".join(one_language(part, language) for part in said.split(" | "))


def compared_in_words(said: str, language: Language) -> list[tuple[str, str, str]]:
    """Field, ours, theirs of each part ``字段 / field: ours → theirs``; empty where a part is anything else."""
    rows = []
    for part in said.split(" | "):
        found = _COMPARED.fullmatch(one_language(part, language))
        if found is None:
            return []
        rows.append((found["field"], found["ours"], found["theirs"]))
    return rows
