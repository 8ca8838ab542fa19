# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""Create and post, or reverse and post, many vouchers in one transaction.

1. Everything that is named by a code is looked up set-wise, and what can be
   refused without writing is refused by itself.
2. Then the transaction begins anew with the locks (locking.py), so that
   nothing is decided by a snapshot that is older than they are.
3. What is left is created and posted under a savepoint; if Tryton refuses,
   the list is halved until the refused voucher stands alone.
"""
from collections import Counter, defaultdict
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from decimal import Decimal

from trytond import backend
from trytond.exceptions import TimeOutException
from trytond.pool import Pool
from trytond.transaction import (
    Transaction, TransactionError, without_check_access)

from . import locking, parsing, reading
from .codes import Codes
from .refusals import Exists, Refusal, translate


class Candidate:
    "A voucher on its way; ``result`` is set as soon as its fate is known"

    def __init__(self, item):
        self.item = item if isinstance(item, dict) else {}
        self.ref = self.item.get('external_ref')
        self.result = None
        self.values = None
        self.original = None
        self.move_id = None

    def settle(self, outcome, code=None, detail=None, move=None):
        self.result = {
            'ref': self.ref if isinstance(self.ref, str) else None,
            'outcome': outcome,
            'code': code,
            'detail': detail,
            'move': move,
            }

    def settle_by(self, meaning):
        if isinstance(meaning, Exists):
            self.settle('exists')
        else:
            self.settle('refused', meaning.code, meaning.detail)


class Posting:
    "One call of create_posted or reverse_posted"

    def create(self, vlist):
        return self._run(vlist, parsing.voucher, self._build_voucher)

    def reverse(self, vlist):
        return self._run(vlist, parsing.reversal, self._build_red)

    # -- the run

    def _run(self, vlist, parse, build):
        candidates = [Candidate(item) for item in vlist]
        with without_check_access():
            self._screen(candidates, parse)
            rounds = _rounds(candidates)
            self._take_existing(candidates)
            with self._locked(candidates):
                for some in rounds:
                    self._take_existing(some)
                    self._build(some, build)
                    self._post_all(some)
                    self._read_posted(some)
        return [candidate.result for candidate in candidates]

    def _screen(self, candidates, parse):
        "What can be refused without looking at accounts and periods"
        try:
            reading.check_caller()
        except Refusal as refusal:
            for candidate in candidates:
                candidate.settle_by(refusal)
            return
        self.companies = reading.companies()
        for candidate in candidates:
            try:
                parse(candidate.item)
                if candidate.item['company'] not in self.companies:
                    raise Refusal(
                        'unknown_company', candidate.item['company'])
            except Refusal as refusal:
                candidate.settle_by(refusal)

    def _locked(self, candidates):
        wanted = {(self.companies[c.item['company']], c.item['date'])
            for c in _open(candidates)}
        return locking.locked(wanted) if wanted else nullcontext()

    def _take_existing(self, candidates):
        by_company = defaultdict(list)
        for candidate in _open(candidates):
            by_company[candidate.item['company']].append(candidate)
        for company, group in by_company.items():
            there = {move['ref']: move for move in reading.read(
                    'm.company = %s AND m.external_ref = ANY(%s)',
                    [self.companies[company], [c.ref for c in group]])}
            for candidate in group:
                if candidate.ref in there:
                    candidate.settle('exists', move=there[candidate.ref])

    def _build(self, candidates, build):
        self.codes = Codes(
            self.companies, [c.item for c in _open(candidates)])
        for candidate in _open(candidates):
            try:
                build(candidate)
            except Refusal as refusal:
                candidate.settle_by(refusal)

    def _post_all(self, candidates):
        groups = defaultdict(list)
        for candidate in _open(candidates):
            groups[candidate.values['company']].append(candidate)
        for group in groups.values():
            self._post(group)

    def _post(self, group):
        Move = Pool().get('account.move')
        try:
            with savepoint():
                moves = self._write(group)
                Move.post(moves)
                for candidate, move in zip(group, moves):
                    candidate.move_id = move.id
        except (TransactionError, backend.DatabaseOperationalError,
                TimeOutException):
            raise
        except Exception as error:
            if len(group) == 1:
                group[0].settle_by(translate(error))
                return
            middle = len(group) // 2
            self._post(group[:middle])
            self._post(group[middle:])

    def _write(self, group):
        Move = Pool().get('account.move')
        if group[0].original is None:
            return Move.create([c.values for c in group])
        return _copy_red(group)

    def _read_posted(self, candidates):
        ids = [c.move_id for c in candidates if c.move_id]
        moves = {move['id']: move for move in reading.read(
                'm.id = ANY(%s)', [ids])} if ids else {}
        for candidate in candidates:
            if candidate.move_id:
                candidate.settle('posted', move=moves[candidate.move_id])

    # -- values

    def _header(self, item):
        company = self.companies[item['company']]
        journal, period = self.codes.journal_period(
            item['journal'], company, item['date'])
        return {
            'company': company,
            'journal': journal,
            'period': period,
            'date': item['date'],
            'description': item['description'],
            'external_ref': item['external_ref'],
            'document_date': item['document_date'],
            'prepared_by': item['prepared_by'],
            'reviewed_by': item['reviewed_by'],
            'received_at': datetime.now(timezone.utc).replace(tzinfo=None),
            }

    def _build_voucher(self, candidate):
        item = candidate.item
        company = self.companies[item['company']]
        lines = [self._line(company, item, line) for line in item['lines']]
        if sum(l['debit'] - l['credit'] for l in lines):
            raise Refusal('unbalanced', '%s / %s' % (
                    sum(l['debit'] for l in lines),
                    sum(l['credit'] for l in lines)))
        candidate.values = {
            **self._header(item),
            **{name: item[name] for name in parsing.HEADER_ONLY},
            'reverses': None,
            'lines': [('create', lines)],
            }

    def _line(self, company, item, line):
        amount = self.codes.amount(company, line['amount'])
        zero = Decimal(0)
        return {
            'account': self.codes.account(company, item['date'], line),
            'party': self.codes.party(line['party']),
            'side': line['side'],
            'debit': amount if line['side'] == 'D' else zero,
            'credit': amount if line['side'] == 'C' else zero,
            'second_currency': self.codes.currency(line['second_currency']),
            'amount_second_currency': line['second_amount'],
            **{name: line[name] for name in parsing.LINE_TEXTS},
            }

    def _build_red(self, candidate):
        item = candidate.item
        company = self.companies[item['company']]
        original = self.codes.original(company, item['original_ref'])
        if Counter(_mirror(original['lines'])) != Counter(
                (a, s, amount, p) for a, s, amount, p in item['lines']):
            raise Refusal('original_differs', item['original_ref'])
        header = self._header(item)
        candidate.original = original['id']
        candidate.values = {
            **header,
            'external_kind': 'reversal',
            'external_document': original['document'],
            'business_number': original['business_number'],
            'voucher_word': original['voucher_word'],
            'business_date': original['business_date'],
            'attachment_count': 0,
            'reverses': original['id'],
            }


def _open(candidates):
    return [c for c in candidates if c.result is None]


def _rounds(candidates):
    "The same key again in one call is decided after the first one"
    rounds, seen = [], Counter()
    for candidate in _open(candidates):
        key = candidate.item['company'], candidate.ref
        if seen[key] == len(rounds):
            rounds.append([])
        rounds[seen[key]].append(candidate)
        seen[key] += 1
    return rounds


def _mirror(lines):
    for account, side, amount, party, _ in lines:
        yield account, side, -Decimal(amount), party


def _copy_red(group):
    """Copies of the originals with negative amounts on the same sides.

    As Move.cancel(reversal=False) makes them, but with our key, date and
    period, and the lines in the original's order (copy() turns it round).
    """
    pool = Pool()
    Move = pool.get('account.move')
    Line = pool.get('account.move.line')
    made, summaries = {}, {}
    for candidate in group:
        move, = Move.copy([Move(candidate.original)], default={
                **candidate.values,
                'origin': 'account.move,%s' % candidate.original,
                'lines': None,
                })
        made[candidate.original] = move
        summaries[candidate.original] = candidate.values['description']

    def second(data):
        amount = data['amount_second_currency']
        return -amount if amount else amount
    lines = Line.search(
        [('move', 'in', list(made))], order=[('move', 'ASC'), ('id', 'ASC')])
    Line.copy(lines, default={
            'move': lambda data: made[data['move']].id,
            'debit': lambda data: -data['debit'],
            'credit': lambda data: -data['credit'],
            'amount_second_currency': second,
            'tax_lines.amount': lambda data: -data['amount'],
            'origin': lambda data: 'account.move.line,%s' % data['id'],
            'description': lambda data: summaries[data['move']],
            })
    return Move.browse([m.id for m in made.values()])


@contextmanager
def savepoint():
    "Undo the block's writes, in the database and in Tryton's caches"
    transaction = Transaction()
    cursor = transaction.connection.cursor()
    created = {
        name: list(ids) for name, ids in transaction.create_records.items()}
    cursor.execute('SAVEPOINT finbridge')
    try:
        yield
    except (TransactionError, backend.DatabaseOperationalError):
        raise  # the dispatcher starts the whole transaction again
    except BaseException:
        cursor.execute('ROLLBACK TO SAVEPOINT finbridge')
        for cache in transaction.cache.values():
            cache.clear()
        transaction.counter += 1
        transaction.create_records.clear()
        transaction.create_records.update(created)
        transaction.log_records.clear()
        raise
    cursor.execute('RELEASE SAVEPOINT finbridge')
