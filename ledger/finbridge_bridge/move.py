# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
from sql import Null
from trytond import backend
from trytond.model import Index, Unique, fields
from trytond.pool import PoolMeta
from trytond.rpc import RPC

from . import posting, reading

HEADER = [
    'external_ref', 'external_document', 'external_kind', 'business_number',
    'voucher_word', 'attachment_count', 'prepared_by', 'reviewed_by',
    'business_date', 'document_date',
    ]
DIMENSIONS = ['department', 'cost_centre', 'project']
TEXTS = [*DIMENSIONS, 'dimensions', 'assignment', 'tax_code']


class Move(metaclass=PoolMeta):
    __name__ = 'account.move'
    external_ref = fields.Char(
        "External Key",
        help="Key of the voucher in the bridge; unique in the company.")
    external_document = fields.Char(
        "OA Document", help="Id of the document in the OA system.")
    external_kind = fields.Selection([
            (None, ""),
            ('expense', "Expense 报销"),
            ('payment', "Payment 付款"),
            ('reversal', "Reversal 红字冲销"),
            ], "OA Kind", translate=False)
    business_number = fields.Char("Business Number 单据编号")
    voucher_word = fields.Char("Voucher Word 凭证字")
    attachment_count = fields.Integer("Attachments 附单据数")
    prepared_by = fields.Char("Prepared by 制单")
    reviewed_by = fields.Char("Reviewed by 审核")
    business_date = fields.Date("Business Date 业务日期")
    document_date = fields.Date("Document Date 凭证日期")
    received_at = fields.Timestamp("Received at")
    reverses = fields.Many2One(
        'account.move', "Reverses 冲销", ondelete='RESTRICT',
        help="The posted move that this one cancels with negative amounts.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        # These two constraints, not any check in Python, are what makes a
        # second voucher and a second reversal impossible.
        cls._sql_constraints += [
            ('external_ref_uniq',
                Unique(table, table.company, table.external_ref),
                'finbridge_bridge.msg_external_ref_unique'),
            ('reverses_uniq', Unique(table, table.reverses),
                'finbridge_bridge.msg_reverses_unique'),
            ]
        # What people cancelled is found by the move that it came from.
        cls._sql_indexes.add(
            Index(table, (table.origin, Index.Equality(cardinality='high')),
                where=table.origin != Null))
        cls.__rpc__.update(
            create_posted=RPC(readonly=False, timeout=60),
            reverse_posted=RPC(readonly=False, timeout=60),
            find_refs=RPC(),
            list_period=RPC(),
            period_open=RPC(),
            list_master=RPC())

    @classmethod
    def __register__(cls, module):
        if backend.name != 'postgresql':
            # On SQLite Tryton posts unbalanced moves (decimals are stored
            # as text there and its check never matches).
            raise NotImplementedError("finbridge_bridge needs PostgreSQL")
        super().__register__(module)

    @classmethod
    def copy(cls, moves, default=None):
        default = {} if default is None else default.copy()
        for name in [*HEADER, 'received_at', 'reverses']:
            default.setdefault(name, None)
        return super().copy(moves, default=default)

    @classmethod
    def create_posted(cls, vlist):
        """Create and post vouchers in one transaction.

        Each item names company, account, party and currency by code::

            {'company': '1000', 'external_ref': …, 'external_kind': …,
             'external_document': …, 'business_number': …,
             'voucher_word': '记', 'attachment_count': 3,
             'prepared_by': …, 'reviewed_by': …, 'business_date': date,
             'document_date': date, 'date': date (posting date),
             'journal': 'FIN', 'description': …,
             'lines': [{'account': '660201', 'side': 'D',
                        'amount': Decimal, 'party': 'E0001' or None,
                        'description': …, 'department': …,
                        'cost_centre': …, 'project': …, 'dimensions': …,
                        'assignment': …, 'tax_code': …,
                        'second_currency': 'USD' or None,
                        'second_amount': Decimal or None}, …]}

        Returns for each item, in order, ``{'ref', 'outcome', 'code',
        'detail', 'move'}`` with outcome ``posted`` (move as stored),
        ``exists`` (somebody was first; move, or None when it was committed
        a moment ago and must be read) or ``refused`` (code: see
        refusals.py). A refusal decides nothing for the other items.
        """
        return posting.Posting().create(vlist)

    @classmethod
    def reverse_posted(cls, vlist):
        """Reverse posted vouchers as 红字: same accounts and sides, negative.

        Each item: ``{'company', 'original_ref', 'external_ref', 'date',
        'document_date', 'description', 'prepared_by', 'reviewed_by',
        'journal', 'lines'}``. ``lines`` ([account, side, amount, party])
        say what the caller expects; if the original's mirror is another,
        nothing is done (``original_differs``). Returns as create_posted.
        """
        return posting.Posting().reverse(vlist)

    @classmethod
    def find_refs(cls, company, refs):
        "Moves under these keys, with lines; see reading.py for the shape"
        return reading.Reading().find(company, refs)

    @classmethod
    def list_period(cls, company, period, after_id=0, limit=500):
        """A page of keyed moves of a period (YYYY-MM), by rising id

        With them those of other periods that were cancelled in this one;
        ``no_period`` where finance knows no such period.
        """
        return reading.Reading().period(company, period, after_id, limit)

    @classmethod
    def period_open(cls, company, period, journal):
        """Read, with no moves, where a period (YYYY-MM) takes vouchers

        Refused by ``period_closed`` or ``no_period`` where it does not.
        """
        return reading.Reading().period_open(company, period, journal)

    @classmethod
    def list_master(cls, kind, company, after_id=0, limit=500):
        "A page of accounts, cost centres or parties, by rising id"
        return reading.Reading().master(kind, company, after_id, limit)


class Line(metaclass=PoolMeta):
    __name__ = 'account.move.line'
    side = fields.Selection([
            (None, ""),
            ('D', "Debit 借"),
            ('C', "Credit 贷"),
            ], "Side", translate=False,
        help="The side as sent; it tells the side of a line of 0.00.")
    department = fields.Char("Department 部门")
    cost_centre = fields.Char("Cost Centre 成本中心")
    project = fields.Char("Project 项目")
    dimensions = fields.Text(
        "Dimensions 辅助核算", help="Other dimensions as a JSON object.")
    assignment = fields.Char("Assignment")
    tax_code = fields.Char("Tax Code")
