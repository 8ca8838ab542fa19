# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""Moves as finance holds them, compactly: two statements whatever the number.

A move is ``{'id', 'ref', 'number', 'date' (ISO), 'period', 'state', 'kind',
'document', 'reverses' (key or None), 'description', 'cancelled_by',
'lines'}``; a line is ``[account, side, amount, party, details]`` with the
amount as text, signed on its own side (红字: < 0), and in details what else
stands on it (None: nothing).

``cancelled_by`` names what people took the move back with: ``[number, date,
period, state]`` of each move that Tryton's own cancel made of it, in whatever
period. Such a move has no key; its origin names the move that it cancels. One
that was cancelled itself cancels nothing any more.
"""
from collections import defaultdict

from trytond.pool import Pool
from trytond.transaction import Transaction

from .refusals import Refusal

_HEADS = '''
SELECT m.id, m.external_ref, m.number, m.date, p.name, m.state,
    m.external_kind, m.external_document, o.external_ref, m.description
FROM account_move m
JOIN account_period p ON p.id = m.period
LEFT JOIN account_move o ON o.id = m.reverses
WHERE '''
_LINES = '''
SELECT l.move, a.code,
    CASE WHEN l.debit <> 0 THEN 'D' WHEN l.credit <> 0 THEN 'C'
        ELSE COALESCE(l.side, 'D') END,
    CASE WHEN l.debit <> 0 THEN l.debit ELSE l.credit END,
    y.code,
    l.department, l.cost_centre, l.project, l.dimensions, l.assignment,
    l.tax_code, c.code, l.amount_second_currency
FROM account_move_line l
JOIN account_account a ON a.id = l.account
LEFT JOIN party_party y ON y.id = l.party
LEFT JOIN currency_currency c ON c.id = l.second_currency
WHERE l.move = ANY(%s)
ORDER BY l.move, l.id'''
_DETAILS = [
    'department', 'cost_centre', 'project', 'dimensions', 'assignment',
    'tax_code', 'second_currency', 'second_amount',
    ]
_CANCELS = '''
SELECT r.id, split_part(r.origin, ',', 2)::int, r.number, r.date, p.name,
    r.state
FROM account_move r
JOIN account_period p ON p.id = r.period
WHERE r.origin = ANY(%s) AND r.external_ref IS NULL
ORDER BY r.id'''
_CANCELLED_IN = '''
SELECT DISTINCT split_part(r.origin, ',', 2)::int
FROM account_move r
WHERE r.origin ~ '^account[.]move,[0-9]+$'
    AND r.period = ANY(%s) AND r.external_ref IS NULL'''
_PERIODS = '''
SELECT p.id FROM account_period p
JOIN account_fiscalyear f ON f.id = p.fiscalyear
WHERE f.company = %s AND p.name = %s'''
# Whether a period is open, and for the journal: as codes.py asks it to post.
_OPEN = '''
SELECT p.state = 'open' AND NOT EXISTS (
    SELECT 1 FROM account_journal_period jp
    JOIN account_journal j ON j.id = jp.journal
    WHERE jp.period = p.id AND jp.state <> 'open' AND j.code = %s)
FROM account_period p
JOIN account_fiscalyear f ON f.id = p.fiscalyear
WHERE f.company = %s AND p.name = %s'''
# What a line may be booked on today: id, code, name, and whether it may.
_MASTER = {
    'account': '''
SELECT a.id, a.code, a.name, a.type IS NOT NULL
    AND NOT COALESCE(a.closed, false)
    AND COALESCE(a.start_date, CURRENT_DATE) <= CURRENT_DATE
    AND COALESCE(a.end_date, CURRENT_DATE) >= CURRENT_DATE
FROM account_account a
WHERE a.company = %s AND a.code <> '' AND a.id > %s
ORDER BY a.id LIMIT %s''',
    'cost_centre': '''
SELECT c.id, c.code, c.name, COALESCE(c.active, false)
FROM finbridge_cost_centre c
WHERE c.company = %s AND c.id > %s ORDER BY c.id LIMIT %s''',
    # Parties belong to no company; those of the companies themselves are
    # among them.
    'party': '''
SELECT p.id, p.code, COALESCE(p.name, ''), COALESCE(p.active, false)
FROM party_party p
WHERE %s IS NOT NULL AND p.code <> '' AND p.id > %s
ORDER BY p.id LIMIT %s''',
    }
MAX_PAGE = 5000


def check_caller():
    "Only members of the integration group may use the bridge"
    pool = Pool()
    ModelData = pool.get('ir.model.data')
    User = pool.get('res.user')
    group = ModelData.get_id('finbridge_bridge', 'group_integration')
    if Transaction().user != 0 and group not in User.get_groups():
        raise Refusal('access_denied')


def companies():
    "Code -> id of the companies that the user may work for"
    cursor = Transaction().connection.cursor()
    cursor.execute(
        'SELECT c.code, c.id FROM company_company c'
        ' JOIN "res_user-company_company" u ON u.company = c.id'
        ' WHERE u."user" = %s AND c.code IS NOT NULL', [Transaction().user])
    return dict(cursor.fetchall())


class Reading:
    "Read-only methods of the bridge"

    def find(self, company, refs):
        return self._answer(company, lambda id_: read(
                'm.company = %s AND m.external_ref = ANY(%s) ORDER BY m.id',
                [id_, _texts(refs)]))

    def period(self, company, period, after_id, limit):
        """Keyed moves of a period, and those of other periods that somebody
        cancelled in this one"""
        limit = max(1, min(int(limit), MAX_PAGE))

        def query(id_):
            periods = _ids(_PERIODS, [id_, _text(period)])
            if not periods:
                raise Refusal('no_period', _text(period))
            return read(
                'm.company = %s AND (m.period = ANY(%s) OR m.id = ANY(%s))'
                ' AND m.id > %s AND m.external_ref IS NOT NULL'
                ' ORDER BY m.id LIMIT %s',
                [id_, periods, _ids(_CANCELLED_IN, [periods]), int(after_id),
                    limit])
        return self._answer(company, query)

    def period_open(self, company, period, journal):
        "No moves, or a refusal that says why the period takes none"

        def query(id_):
            cursor = Transaction().connection.cursor()
            cursor.execute(_OPEN, [_text(journal), id_, _text(period)])
            rows = cursor.fetchall()
            if not rows:
                raise Refusal('no_period', _text(period))
            if not all(is_open for is_open, in rows):
                raise Refusal('period_closed', _text(period))
            return []
        return self._answer(company, query)

    def master(self, kind, company, after_id, limit):
        limit = max(1, min(int(limit), MAX_PAGE))

        def query(id_):
            if kind not in _MASTER:
                raise Refusal('bad_field', 'kind')
            cursor = Transaction().connection.cursor()
            cursor.execute(_MASTER[kind], [id_, int(after_id), limit])
            return [list(row) for row in cursor.fetchall()]
        return self._answer(company, query, 'records')

    def _answer(self, company, query, name='moves'):
        try:
            check_caller()
            known = companies()
            if company not in known:
                raise Refusal('unknown_company', str(company))
            return {'outcome': 'read', name: query(known[company])}
        except Refusal as refusal:
            return {
                'outcome': 'refused',
                'code': refusal.code,
                'detail': refusal.detail,
                }


def _text(value):
    "A parameter that PostgreSQL can take; what it cannot hold matches nothing"
    if not isinstance(value, str) or '\0' in value:
        return ''
    return value.encode('utf-8', 'replace').decode()


def _texts(values):
    return [_text(value) for value in values]


def _ids(query, parameters):
    cursor = Transaction().connection.cursor()
    cursor.execute(query, parameters)
    return [id_ for id_, in cursor.fetchall()]


def _cancels(ids):
    "Moves by the id of what they cancel, down to cancels of cancels"
    cursor = Transaction().connection.cursor()
    found, level = defaultdict(list), list(ids)
    while level:
        cursor.execute(_CANCELS, [['account.move,%s' % id_ for id_ in level]])
        level = []
        for id_, cancelled, *shown in cursor.fetchall():
            found[cancelled].append((id_, shown))
            level.append(id_)
    return found


def _stands(id_, cancels):
    "Whether no posted move that stands itself cancels this one"
    return not any(shown[-1] == 'posted' and _stands(by, cancels)
        for by, shown in cancels.get(id_, ()))


def read(where, parameters):
    "Moves for a condition on m (account_move) and p (account_period)"
    cursor = Transaction().connection.cursor()
    cursor.execute(_HEADS + where, parameters)
    moves = {}
    for (id_, ref, number, date, period, state, kind, document,
            reverses, description) in cursor.fetchall():
        moves[id_] = {
            'id': id_,
            'ref': ref,
            'number': number,
            'date': date.isoformat(),
            'period': period,
            'state': state,
            'kind': kind,
            'document': document,
            'reverses': reverses,
            'description': description,
            'cancelled_by': [],
            'lines': [],
            }
    if moves:
        cursor.execute(_LINES, [list(moves)])
        for id_, account, side, amount, party, *rest in cursor.fetchall():
            details = {name: str(value) for name, value
                in zip(_DETAILS, rest) if value not in (None, '')}
            moves[id_]['lines'].append(
                [account, side, str(amount), party, details or None])
        cancels = _cancels(moves)
        for id_, move in moves.items():
            move['cancelled_by'] = [
                [number, date.isoformat(), period, state]
                for by, (number, date, period, state) in cancels.get(id_, ())
                if _stands(by, cancels)]
    return list(moves.values())
