"""Names of people who make and check: one spelling for each, and none that only looks like another.

Names are normalised (NFKC) and compared without case, format characters, accents and look-alike letters
(the ones that matter of Unicode TS 39, "confusables"). A name whose letters are of scripts that nobody writes together,
or that holds what nobody sees, is refused.
"""

from __future__ import annotations

import re
import unicodedata

from finbridge.core.errors import GiveUp

#: What the suite itself brings in, with nobody's eyes on it: sample tables of the stand-ins. No person has such a name.
SYSTEM = "system:"
SAMPLE_MAKER, SAMPLE_CHECKER = f"{SYSTEM}sample-maker", f"{SYSTEM}sample-checker"

_LONGEST = 100
#: Written together in names of East Asia, and unlike one another.
_TOGETHER = frozenset(
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"}
)
_MIDDLE_DOT = "·"  # 阿卜杜拉·买买提
#: Letters and marks that show nothing (Default_Ignorable_Code_Point beyond the format characters).
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {
    chr(code) for span in ((0x180B, 0x1810), (0xFE00, 0xFE10), (0xE0100, 0xE01F0)) for code in range(*span)
}
_SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])")
#: Letters of other alphabets, and rare Latin ones, each before the Latin letters that it looks like.
_SMALL = (
    "аa вb сc еe ԁd ԍg һh нh іi јj кk ӏl мm оo пn рp ԛq гr ѕs тt уy ѵv ԝw ѡw хx ьb αa βb γy εe ηn ιi κk νv οo ρp τt "
    "υu χx ωw ϲc ϳj ɑa ɡg ıi ɩi ʋu օo ոn սu ցg հh æae œoe øo đd łl ðd"
)
_CAPITAL = (
    "АA ВB СC ЕE НH ІI ЈJ КK ӀI МM ОO РP ЅS ТT УY ХX ЬB ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ÆAE ŒOE ØO ĐD ŁL"
)
_LOOKS_LIKE = {ord(word[0]): word[1:] for word in (*_SMALL.split(), *_CAPITAL.split())}


def person(name: str) -> str:
    """The one spelling under which a name is stored: NFKC, without blanks around it and with single ones inside.

    Raises:
        GiveUp: nobody, too long, something that is not seen, or scripts that are not written together.
    """
    clean = " ".join(unicodedata.normalize("NFKC", name).split())
    if not clean:
        raise GiveUp("name_missing", "请写明姓名 / say who you are: the name is empty")
    if len(clean) > _LONGEST:
        raise GiveUp("odd_name", f"姓名过长 / the name is longer than {_LONGEST} characters")
    odd = sorted({f"U+{ord(char):04X}" for char in (*name.strip(), *clean) if not _may_stand(char)})
    if odd:
        raise GiveUp(
            "odd_name",
            f"姓名含有不可见或特殊字符，拒绝接受 / the name holds characters that are not seen or are no part of "
            f"names: {', '.join(odd)}",
        )
    scripts = {_script(char) for char in clean if char.isalpha()}
    if len(scripts) > 1 and not scripts <= _TOGETHER:
        raise GiveUp(
            "odd_name",
            f"姓名混用了不同文字的字母，拒绝接受 / the name mixes letters of {', '.join(sorted(scripts))}: it could "
            "pass for another one",
        )
    return clean


def is_system(name: str) -> bool:
    """Whether a name is one that the suite keeps for itself."""
    return any(look.startswith(SYSTEM) for look in _looks(name))


def same_person(one: str, other: str) -> bool:
    """Whether two names are one, or cannot be told apart by looking at them."""
    return not _looks(one).isdisjoint(_looks(other))


def _may_stand(char: str) -> bool:
    if char in _UNSEEN:
        return False
    if char.isascii():
        return char.isprintable()
    # full-width forms and ideographic blanks were normalised: what is left of them is ASCII
    return char == _MIDDLE_DOT or unicodedata.category(char)[0] in "LM" or _is_ascii_form(char)


def _is_ascii_form(char: str) -> bool:
    plain = unicodedata.normalize("NFKC", char)
    return plain.isascii() and plain.isprintable()


def _script(char: str) -> str:
    return unicodedata.name(char, "?").split()[0]


def _looks(name: str) -> frozenset[str]:
    """What a name looks like in Latin letters: in small ones, and in capitals (Η looks like H, η like n)."""
    text = "".join(unicodedata.normalize("NFKC", name).split())
    return frozenset({_look(text.casefold()), _look(text.upper())})


def _look(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.translate(_LOOKS_LIKE))
    seen = (char for char in parts if unicodedata.category(char) not in ("Mn", "Cf") and char not in _UNSEEN)
    return "".join(_plain(char) for char in seen).translate(_LOOKS_LIKE).casefold()


def _plain(char: str) -> str:
    """A small capital, which knows no case, as the letter."""
    found = _SMALL_CAPITAL.fullmatch(unicodedata.name(char, ""))
    return found[1].lower() if found else char
