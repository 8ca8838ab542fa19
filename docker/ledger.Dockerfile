# The ledger (Tryton, GPL-3) with its module, in an image of its own. Everything is locked with hashes.
FROM python:3.11.13-slim-bookworm
ENV PYTHONUNBUFFERED=1 PATH=/opt/venv/bin:$PATH
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /opt/venv
WORKDIR /opt/finbridge
COPY ledger ledger
RUN uv pip sync --python /opt/venv/bin/python --no-cache --require-hashes --compile-bytecode ledger/requirements.txt \
    && uv pip install --python /opt/venv/bin/python --no-cache --no-deps --editable ledger \
    && useradd --create-home --uid 10001 ledger
USER ledger
