"""Programs that come as Debian packages: from the PATH, or installed by root; else the test fails and says it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def program(name: str, *packages: str) -> Path:
    """Where the program is; ``packages`` hold it and what it needs to be of use (fonts)."""
    found = shutil.which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(packages)
        found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not on the PATH: install it (Debian: apt-get install {' '.join(packages)})")
    return Path(found)


def _install(packages: tuple[str, ...]) -> None:
    """Install; with fresh lists where those at hand do not know the packages or their files are gone."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if command is install and done.returncode == 0:
            return
    pytest.fail(f"apt-get install {' '.join(packages)} failed:\n{done.stderr[-2000:]}")
