# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""The shape of what comes in: exactly these fields, of these types."""
from datetime import date, datetime
from decimal import Decimal

from .refusals import Refusal

KINDS = {'expense', 'payment'}
HEADER_ONLY = [
    'external_kind', 'external_document', 'business_number', 'voucher_word',
    'attachment_count', 'business_date',
    ]
LINE_TEXTS = [
    'description', 'department', 'cost_centre', 'project', 'dimensions',
    'assignment', 'tax_code',
    ]
MAX_INTEGER = 2 ** 31 - 1


def _code(value):
    return isinstance(value, str) and bool(value) and value == value.strip()


def _text(value):
    return value is None or isinstance(value, str)


def _optional_code(value):
    return value is None or _code(value)


def _date(value):
    return isinstance(value, date) and not isinstance(value, datetime)


def _count(value):
    return (isinstance(value, int) and not isinstance(value, bool)
        and 0 <= value <= MAX_INTEGER)


def _amount(value):
    return isinstance(value, Decimal) and value.is_finite()


def _optional_amount(value):
    return value is None or _amount(value)


def _list(value):
    return isinstance(value, list)


_BOTH = {
    'company': _code,
    'external_ref': _code,
    'journal': _code,
    'date': _date,
    'document_date': _date,
    'description': _text,
    'prepared_by': _text,
    'reviewed_by': _text,
    'lines': _list,
    }
_VOUCHER = {
    **_BOTH,
    'external_kind': KINDS.__contains__,
    'external_document': _code,
    'business_number': _text,
    'voucher_word': _text,
    'attachment_count': _count,
    'business_date': _date,
    }
_REVERSAL = {
    **_BOTH,
    'original_ref': _code,
    }
_LINE = {
    'account': _code,
    'side': {'D', 'C'}.__contains__,
    'amount': _amount,
    'party': _optional_code,
    'second_currency': _optional_code,
    'second_amount': _optional_amount,
    **dict.fromkeys(LINE_TEXTS, _text),
    }


def voucher(item):
    "Raise Refusal unless the item is a voucher"
    _check(item, _VOUCHER, '')
    _check_lines(item)
    for number, line in enumerate(item['lines'], start=1):
        if not isinstance(line, dict):
            raise Refusal('bad_field', 'lines.%d' % number)
        _check(line, _LINE, 'lines.%d.' % number)


def reversal(item):
    "Raise Refusal unless the item is a reversal"
    _check(item, _REVERSAL, '')
    _check_lines(item)
    for number, line in enumerate(item['lines'], start=1):
        where = 'lines.%d' % number
        if not isinstance(line, list) or len(line) != 4:
            raise Refusal('bad_field', where)
        account, side, amount, party = line
        _check({
                'account': account,
                'side': side,
                'amount': amount,
                'party': party,
                }, {name: _LINE[name]
                for name in ['account', 'side', 'amount', 'party']},
            where + '.')


def _check_lines(item):
    if not item['lines']:
        raise Refusal('no_lines')


def _check(values, shape, where):
    for name in sorted(values.keys() ^ shape.keys()):
        raise Refusal('bad_field', where + str(name))
    for name, fits in shape.items():
        value = values[name]
        if isinstance(value, str) and not _storable(value):
            raise Refusal('bad_text', where + name)
        try:
            good = fits(value)
        except TypeError:  # unhashable, looked for in a set
            good = False
        if not good:
            raise Refusal('bad_field', where + name)


def _storable(text):
    "Whether PostgreSQL can hold it: no NUL, no half of a surrogate pair"
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        return False
    return '\0' not in text
