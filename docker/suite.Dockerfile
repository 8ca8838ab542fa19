# The suite: Airflow's services, the `finbridge` command and the OA's stand-in. Everything is locked with hashes.
FROM python:3.11.13-slim-bookworm
ENV PYTHONUNBUFFERED=1 GX_ANALYTICS_ENABLED=false AIRFLOW_HOME=/opt/airflow PATH=/opt/venv/bin:$PATH
RUN pip install --no-cache-dir uv==0.13.9 setuptools==80.9.0 && uv venv /opt/venv
WORKDIR /opt/finbridge
COPY requirements.txt ./
RUN uv pip sync --python /opt/venv/bin/python --no-cache --require-hashes --compile-bytecode requirements.txt
COPY . .
RUN uv pip install --python /opt/venv/bin/python --no-cache --no-deps --editable . \
    && useradd --create-home --uid 10001 finbridge \
    && mkdir -p /opt/airflow /var/lib/finbridge/logs /var/lib/finbridge/weaver \
    && chown -R finbridge /opt/airflow /var/lib/finbridge
USER finbridge
