"""Switches of the stand-in, set on the control port and kept over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields


class BadOption(ValueError):
    """An option that does not exist, or a value of the wrong kind."""


@dataclass(slots=True)
class Options:
    """How this OA behaves; the defaults are the documented behaviour without disturbance."""

    regist_regenerates: bool = True  # a second regist kills the first's ciphertexts
    jsessionid_trap: bool = True  # a cookie sent back wins over the userid header
    token_miss: float = 0.0  # share of calls that meet a node which does not know the token
    repeat: int = 1  # list and log rows come this many times, with late copies of earlier days
    shuffle_log_rows: bool = False
    list_lag_seconds: float = 0.0  # real seconds during which a changed request is in no list
    page_drift: int = 0  # offset by which every page after the first is shifted (negative: rows double)
    date_skew_seconds: float = 0.0  # what the Date header is off by
    seed: int = 0  # of everything that is shuffled or drawn
    code_as_object: bool = False  # some builds answer {"name", "statusCode"} instead of a text code
    mode_reply_as_string: bool = False  # form-mode: the whole reply is a JSON string once more
    mode_charset: str = "utf-8"  # form-mode: "declared-gbk" says GBK over UTF-8 bytes, "gbk" sends GBK
    gone_answer: str = "PARAM_ERROR"  # code for an unknown or deleted request: PARAM_ERROR or NO_PERMISSION

    def update(self, values: Mapping[str, object]) -> None:
        """Set some options.

        Raises:
            BadOption: unknown name or wrong type; nothing is changed then.
        """
        kinds = {item.name: type(getattr(self, item.name)) for item in fields(self)}
        converted: dict[str, object] = {}
        for name, value in values.items():
            kind = kinds.get(name)
            if kind is None:
                raise BadOption(f"unknown option {name!r}; known: {', '.join(kinds)}")
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)  # noqa: PLW2901  # JSON writes 2.0 as 2
            if type(value) is not kind:
                raise BadOption(f"option {name!r} wants {kind.__name__}")
            converted[name] = value
        for name, value in converted.items():
            setattr(self, name, value)

    def describe(self) -> dict[str, object]:
        """All options as JSON."""
        return asdict(self)
