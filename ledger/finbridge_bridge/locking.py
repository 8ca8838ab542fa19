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
The threads of one server need not even poll: they take turns before they ask
the database, and the turn ends with the transaction.
"""
import threading
import time
from collections import defaultdict, deque, namedtuple
from contextlib import contextmanager

from trytond.model import dualmethod
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

Period = namedtuple('Period', 'id state sequence')
#: Private context keys cannot come from outside: the dispatcher drops them.
_LOCKED = '_finbridge_locked_sequences'
STATEMENT_SECONDS = 60
TURN_SECONDS = 30
POLL_SECONDS = 0.1


class Turns:
    "A lock that transactions get in the order in which they came"

    def __init__(self):
        self._guard = threading.Lock()
        self._queue = deque()  # (transaction, event); the first one has it

    def acquire(self, transaction, timeout):
        mine = transaction, threading.Event()
        until = time.monotonic() + timeout
        with self._guard:
            self._queue.append(mine)
        while True:
            with self._guard:
                self._drop_ended()
                if self._queue[0] is mine:
                    return True
                if time.monotonic() > until:
                    self._queue.remove(mine)
                    return False
            mine[1].wait(POLL_SECONDS)

    def release(self, transaction):
        with self._guard:
            self._queue = deque(p for p in self._queue if p[0] != transaction)
            if self._queue:
                self._queue[0][1].set()

    def _drop_ended(self):
        # A transaction that cannot even be rolled back, because its database
        # went away, ends without telling anybody.
        while self._queue[0][0].database is None:
            self._queue.popleft()


_turns = defaultdict(Turns)  # (database, number series) -> turns


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
    _take_turn(transaction, sequences)
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


def _take_turn(transaction, sequences):
    """Wait for the threads that post before us.

    Whoever waited in vain goes on: the lock in the database decides, as it
    does between the processes of a larger site.
    """
    for sequence in sequences:
        turns = _turns[transaction.database.name, sequence]
        transaction.atexit(turns.release, transaction)
        turns.acquire(transaction, TURN_SECONDS)


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
