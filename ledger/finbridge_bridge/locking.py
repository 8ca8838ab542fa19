# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""Locks for a posting transaction, taken as its first statements.

Tryton works in REPEATABLE READ: what a transaction knows is as old as its
first statement. A period that is closed after that, in a transaction that
commits first, would still look open, and the voucher would land in a closed
period. So the transaction is begun anew here, and its first statements lock

* the strict number series (FOR UPDATE): one poster at a time for a company
  and year, whose snapshot has all vouchers of the ones before;
* the periods (FOR SHARE): whoever closes one waits, and a period closed
  meanwhile ends the transaction, which the dispatcher starts again.

Tryton's own way to lock a series ends the transaction half-way, starts it
again and polls every half second; here nothing was written yet and the
dispatcher comes back after 20 ms, 40 ms and so on (``[database] retry``).
"""
from collections import namedtuple
from contextlib import contextmanager

from trytond.model import dualmethod
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

Period = namedtuple('Period', 'id state sequence')
#: Private context keys cannot come from outside: the dispatcher drops them.
_LOCKED = '_finbridge_locked_sequences'
STATEMENT_SECONDS = 60


def periods(wanted):
    "(company id, date) -> Period, for those that exist"
    cursor = Transaction().connection.cursor()
    cursor.execute(
        'SELECT w.company, w.day, p.id, p.state,'
        ' COALESCE(p.move_sequence, f.move_sequence)'
        ' FROM unnest(%s::int[], %s::date[]) AS w(company, day)'
        ' JOIN account_fiscalyear f ON f.company = w.company'
        ' JOIN account_period p ON p.fiscalyear = f.id'
        ' AND w.day BETWEEN p.start_date AND p.end_date'
        " WHERE p.type = 'standard'", [
            [company for company, _ in wanted],
            [day for _, day in wanted]])
    return {(company, day): Period(*rest)
        for company, day, *rest in cursor.fetchall()}


@contextmanager
def locked(wanted):
    """Begin the transaction anew, with the locks for (company id, date).

    Only before anything was written.
    """
    found = periods(wanted).values()
    sequences = sorted({p.sequence for p in found if p.sequence is not None})
    transaction = Transaction()
    transaction.rollback()
    cursor = transaction.connection.cursor()
    # The limit of the RPC went with the rollback; SET takes no snapshot.
    cursor.execute(
        'SET LOCAL statement_timeout = %d' % (STATEMENT_SECONDS * 1000))
    cursor.execute(
        'SELECT 1 FROM ir_sequence_strict WHERE id = ANY(%s)'
        ' ORDER BY id FOR UPDATE NOWAIT', [sequences])
    cursor.execute(
        'SELECT 1 FROM account_period WHERE id = ANY(%s)'
        ' ORDER BY id FOR SHARE NOWAIT', [sorted({p.id for p in found})])
    with transaction.set_context({_LOCKED: frozenset(sequences)}):
        yield


class SequenceStrict(metaclass=PoolMeta):
    __name__ = 'ir.sequence.strict'

    @dualmethod
    def lock(cls, records=None):
        if records is not None:
            mine = Transaction().context.get(_LOCKED, frozenset())
            records = [r for r in records if int(r) not in mine]
            if not records:
                return
        super().lock(records)
