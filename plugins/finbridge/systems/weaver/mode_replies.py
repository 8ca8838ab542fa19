"""What an answer of e-cology's form-mode interfaces means (OA contracts, section 1.4).

Replies are JSON inside JSON: rows in the text ``result``, ids of saved rows in the text ``datajson``, and on some
builds the whole reply once more a JSON text. Gateways send UTF-8 declared as GBK, or GBK itself.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from finbridge.core.errors import RetryLater
from finbridge.core.transport import Response

_OK = "1"


class ModeRefused(RetryLater):
    """Another status than "1", or 401/403: the OA's words in ``engineer``. Of a batch, some rows may be done."""


class Unreadable(ValueError):
    """No reply of a form-mode interface."""


def _text(value: object) -> str:
    """Numbers as text, null as nothing."""
    return "" if value is None else str(value)


Text = Annotated[str, BeforeValidator(_text)]


class ModeItem(BaseModel):
    """One row of getModeDataPageList; ``mainTable`` holds its ``id`` among the columns."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    mainTable: dict[str, Text]  # noqa: N815 - the vendor's name


class SavedItem(BaseModel):
    """One saved row."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    billid: Text


class _SavedData(BaseModel):
    data: list[SavedItem]


_ITEMS = TypeAdapter(list[ModeItem])


def read_rows(response: Response) -> list[dict[str, str]]:
    """Columns of each row.

    Raises:
        ModeRefused: a status says so.
        Unreadable: something else.
    """
    try:
        return [item.mainTable for item in _ITEMS.validate_python(_inner(_body(response).get("result")))]
    except ValidationError as error:
        raise Unreadable(f"{error.error_count()} fields of a list do not fit") from None


def read_count(response: Response) -> int:
    """The number of rows. Raises as :func:`read_rows` does."""
    text = str(_inner(_body(response).get("result")))
    if not text.isdigit():
        raise Unreadable("a count that is no number")
    return int(text)


def read_saved(response: Response) -> list[str]:
    """Ids of the saved rows in order. Raises as :func:`read_rows` does."""
    body = _body(response)
    if str(body.get("status")) != _OK:
        raise Unreadable("a save without a status")
    try:
        return [item.billid for item in _SavedData.model_validate(_inner(body.get("datajson"))).data]
    except ValidationError as error:
        raise Unreadable(f"{error.error_count()} fields of a save do not fit") from None


def _body(response: Response) -> dict[str, Any]:
    """The reply as an object, unless it refuses."""
    if response.status in (401, 403):
        raise _refused(f"HTTP {response.status}")
    if response.status != 200:
        raise Unreadable(f"HTTP {response.status}, {len(response.body)} bytes")
    body = _inner(_decoded(response.body))
    if not isinstance(body, dict):
        raise Unreadable(f"{len(response.body)} bytes that are no object")
    if str(body.get("status", _OK)) != _OK:
        raise _refused(f"status {body['status']}: {str(body.get('message', ''))[:200]}")
    return body


def _refused(words: str) -> ModeRefused:
    return ModeRefused("mode_refused", f"OA 建模接口拒绝 / the OA's form-mode interface refuses: {words}")


def _decoded(body: bytes) -> str:
    """The charset header is not to be believed: UTF-8 unless the bytes are none."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        try:
            return body.decode("gb18030")
        except UnicodeDecodeError:
            raise Unreadable("neither UTF-8 nor GBK") from None


def _inner(value: object) -> Any:
    """JSON in a text; what is no text already is taken as it is."""
    if not isinstance(value, str):
        return value
    try:
        inner = orjson.loads(value)
    except ValueError:
        raise Unreadable("not JSON") from None
    return orjson.loads(inner) if isinstance(inner, str) and inner[:1] in ("{", "[") else inner
