# This file is part of finbridge's ledger module: GPL-3.0-or-later, see ../LICENSE.
"""Vouchers from an OA system in Tryton: keyed, posted in one call, reversed as 红字."""
