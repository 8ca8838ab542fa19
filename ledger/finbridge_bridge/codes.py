# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""From the codes of a call to ids, set-wise: the number of statements does
not depend on the number of vouchers."""
from datetime import date

from trytond.transaction import Transaction

from . import locking, reading
from .refusals import Refusal


class Codes:
    "Ids behind the codes of a call, looked up once, set-wise"

    def __init__(self, companies, items):
        self.cursor = Transaction().connection.cursor()
        lines = [(companies[item['company']], line)
            for item in items for line in item['lines']
            if isinstance(line, dict)]
        self.periods = locking.periods(
            {(companies[item['company']], item['date']) for item in items})
        self.digits = dict(self._all(
                'SELECT c.id, y.digits FROM company_company c'
                ' JOIN currency_currency y ON y.id = c.currency'))
        self.journals = dict(self._all(
                'SELECT code, id FROM account_journal WHERE code = ANY(%s)',
                {item['journal'] for item in items}))
        self.journal_periods = {tuple(pair): state
            for *pair, state in self._all(
                'SELECT journal, period, state FROM account_journal_period'
                ' WHERE journal = ANY(%s) AND period = ANY(%s)',
                set(self.journals.values()),
                {period.id for period in self.periods.values()})}
        self.currencies = dict(self._all(
                'SELECT code, id FROM currency_currency'
                ' WHERE code = ANY(%s)',
                {line['second_currency'] for _, line in lines}))
        self.parties = dict(self._all(
                'SELECT code, id FROM party_party'
                ' WHERE code = ANY(%s) AND active',
                {line['party'] for _, line in lines}))
        self.accounts = {(company, code): rest
            for company, code, *rest in self._all(
                'SELECT company, code, id, type IS NOT NULL AND'
                ' NOT COALESCE(closed, false), start_date, end_date,'
                ' COALESCE(party_required, false) FROM account_account'
                ' WHERE code = ANY(%s) AND company = ANY(%s)',
                {line['account'] for _, line in lines},
                {company for company, _ in lines})}
        self._originals({(companies[item['company']], item['original_ref'])
                for item in items if 'original_ref' in item})

    def _all(self, query, *sets):
        self.cursor.execute(query, [
                [v for v in values if v is not None] for values in sets])
        return self.cursor.fetchall()

    def _originals(self, wanted):
        self.originals = {}
        if not wanted:
            return
        refs = {ref for _, ref in wanted}
        self.cursor.execute(
            'SELECT m.id, m.company, m.external_ref, m.business_number,'
            ' m.voucher_word, m.business_date, m.reverses, r.external_ref'
            ' FROM account_move m'
            ' LEFT JOIN account_move r ON r.reverses = m.id'
            ' WHERE m.external_ref = ANY(%s)', [list(refs)])
        rows = {row[0]: row for row in self.cursor.fetchall()}
        for move in reading.read('m.id = ANY(%s)', [list(rows)]):
            (_, company, ref, number, word, day, reverses,
                reversed_by) = rows[move['id']]
            self.originals[company, ref] = {
                **move,
                'business_number': number,
                'voucher_word': word,
                'business_date': day,
                'is_reversal': reverses is not None,
                'reversed_by': reversed_by,
                }

    def journal_period(self, code, company, day):
        "Journal and period, both open for each other"
        journal = _known(self.journals, code, 'unknown_journal', code)
        period = self._period(company, day)
        state = self.journal_periods.get((journal, period))
        if state == 'closed':
            raise Refusal('period_closed', '%s %s' % (code, day.isoformat()))
        if state is None:
            self._open_journal_period(journal, period)
        return journal, period

    def _open_journal_period(self, journal, period):
        """What Tryton does at the first move, but without its table lock.

        It asks for that lock half-way and starts the transaction again; we
        have the number series already and nobody else posts here.
        """
        self.cursor.execute(
            'INSERT INTO account_journal_period'
            ' (journal, period, state, create_uid, create_date)'
            " VALUES (%s, %s, 'open', %s, CURRENT_TIMESTAMP)"
            ' ON CONFLICT DO NOTHING',
            [journal, period, Transaction().user])
        self.journal_periods[journal, period] = 'open'

    def _period(self, company, day):
        period = _known(
            self.periods, (company, day), 'no_period', day.isoformat())
        if period.state != 'open':
            raise Refusal('period_closed', day.isoformat())
        if period.sequence is None:
            raise Refusal('no_number_series', day.isoformat())
        return period.id

    def account(self, company, day, line):
        code = line['account']
        id_, posting, start, end, party_required = _known(
            self.accounts, (company, code), 'unknown_account', code)
        if (not posting or (start or date.min) > day
                or (end or date.max) < day):
            raise Refusal('account_not_posting', code)
        if party_required and line['party'] is None:
            raise Refusal('party_required', code)
        if line['party'] is not None and not party_required:
            raise Refusal('party_not_allowed', code)
        return id_

    def party(self, code):
        if code is None:
            return None
        return _known(self.parties, code, 'unknown_party', code)

    def currency(self, code):
        if code is None:
            return None
        return _known(self.currencies, code, 'unknown_currency', code)

    def amount(self, company, amount):
        if amount != round(amount, self.digits[company]):
            raise Refusal('bad_amount', str(amount))
        return amount

    def original(self, company, ref):
        original = _known(
            self.originals, (company, ref), 'original_missing', ref)
        if original['state'] != 'posted':
            raise Refusal('original_not_posted', ref)
        if original['is_reversal']:
            raise Refusal('original_is_reversal', ref)
        if original['reversed_by'] is not None:
            raise Refusal('already_reversed', original['reversed_by'])
        for number, _, _, state in original['cancelled_by']:
            if state == 'posted':
                raise Refusal('already_reversed', number)
        return original


def _known(table, key, code, detail):
    try:
        return table[key]
    except KeyError:
        raise Refusal(code, detail) from None
