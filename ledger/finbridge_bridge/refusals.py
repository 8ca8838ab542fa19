# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""Refusals with stable codes, so that nobody must read message texts.

================== ====================================================
code               meaning
================== ====================================================
period_closed      the period of the posting date is closed or locked
no_period          finance has no period for the posting date
unbalanced         debit and credit differ
no_lines           nothing to post
unknown_company    no such code among the companies of the user
unknown_account    no such code in the company's chart
unknown_party      no such party code
unknown_currency   no such currency code
unknown_journal    no such journal code
account_not_posting  the account is a heading, closed or out of its dates
party_required     the account wants a party
party_not_allowed  the account takes no party
bad_amount         not a finite Decimal, or more digits than the currency
bad_text           a text that the database cannot hold
bad_field          unknown, missing or mistyped field (detail names it)
no_number_series   the fiscal year has no strict number series
original_missing   nothing to reverse under that key
original_not_posted  the original is a draft
original_is_reversal  a reversal is not reversed
original_differs   the original's mirror is not what the caller expects
already_reversed   it has a reversal under another key, or people cancelled it
access_denied      the user is not in the integration group
invalid            Tryton refused; detail holds its class and text
internal_error     a fault of the module; nothing was done
================== ====================================================
"""
import logging

from trytond import backend
from trytond.model.exceptions import (
    DigitsValidationError, ForbiddenCharValidationError, SQLConstraintError)
from trytond.modules.account.exceptions import PeriodNotFoundError, PostError
from trytond.exceptions import TrytonException

logger = logging.getLogger(__name__)

EXTERNAL_REF = 'account_move_external_ref_uniq'
REVERSES = 'account_move_reverses_uniq'


class Refusal(Exception):
    "One voucher is refused; nothing was done for it"

    def __init__(self, code, detail=''):
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Exists(Exception):
    "The key was taken by another transaction after ours began"


def constraint_of(error):
    "Name of the violated constraint behind an exception, or None"
    seen = error
    while seen is not None:
        if isinstance(seen, backend.DatabaseIntegrityError):
            return seen.diag.constraint_name
        seen = seen.__cause__
    return None


def translate(error):
    "The Refusal or Exists that an exception means"
    if isinstance(error, (Refusal, Exists)):
        return error
    constraint = constraint_of(error)
    if constraint == EXTERNAL_REF:
        return Exists()
    if constraint == REVERSES:
        return Refusal('already_reversed')
    text = '%s: %s' % (type(error).__name__, error)
    for class_, code in [
            (PeriodNotFoundError, 'no_period'),
            (PostError, 'unbalanced'),
            (DigitsValidationError, 'bad_amount'),
            (ForbiddenCharValidationError, 'bad_text'),
            (SQLConstraintError, 'invalid'),
            (TrytonException, 'invalid'),
            ]:
        if isinstance(error, class_):
            return Refusal(code, text)
    logger.exception("unexpected error while posting", exc_info=error)
    return Refusal('internal_error', type(error).__name__)
