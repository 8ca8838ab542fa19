"""One slice per external system. Slices never know each other; who needs one asks for it by name."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from finbridge.core.errors import GiveUp


def adapter_of(system: str) -> ModuleType:
    """The adapter module of a system; it offers ``connect(settings, *, tokens, flow) -> Source | Ledger``.

    Raises:
        GiveUp: there is no such slice; the flow's YAML names a system that is not installed.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", system):
        raise GiveUp("unknown_system", f"系统名称不正确 / not a system's name: {system!r}")
    try:
        return importlib.import_module(f"finbridge.systems.{system}.adapter")
    except ModuleNotFoundError as error:
        raise GiveUp(
            "unknown_system",
            f"没有该系统的连接器 / no connector for system {system!r}: look into plugins/finbridge/systems/",
        ) from error
