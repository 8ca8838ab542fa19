# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
from trytond.model import (
    DeactivableMixin, ModelSQL, ModelView, Unique, fields)


class CostCentre(DeactivableMixin, ModelSQL, ModelView):
    "Cost Centre 成本中心"
    __name__ = 'finbridge.cost_centre'
    company = fields.Many2One(
        'company.company', "Company", required=True, ondelete='CASCADE')
    code = fields.Char("Code", required=True)
    name = fields.Char("Name", required=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append(
            ('code_uniq', Unique(table, table.company, table.code),
                'finbridge_bridge.msg_cost_centre_code_unique'))
        cls._order.insert(0, ('code', 'ASC'))
