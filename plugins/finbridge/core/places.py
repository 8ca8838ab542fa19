"""Where the project's data lies on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def include_folder() -> Path:
    """Where flows, mappings and expectations lie: ``FINBRIDGE_INCLUDE``, or ``include/`` beside ``plugins/``."""
    given = os.environ.get("FINBRIDGE_INCLUDE")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "include"
