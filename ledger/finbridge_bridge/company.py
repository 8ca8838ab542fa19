# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
from trytond.model import Unique, fields
from trytond.pool import PoolMeta


class Company(metaclass=PoolMeta):
    __name__ = 'company.company'
    code = fields.Char(
        "Code", help="Company code 公司代码 by which other systems name it.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ('code_uniq', Unique(table, table.code),
                'finbridge_bridge.msg_company_code_unique'))
