"""The checker: reads the OA's and finance's journals, nothing else, and names what finance lacks or has too much.

It shares no code, no code table and no opinion with the product: what a claim calls for stands in ``claims.py`` and in
a rules file of its own.
"""

from tools.checker.compare import Sets, check

__all__ = ["Sets", "check"]
