# Two images. `runtime` is Airflow with the runbooks, for any environment:  docker build --target runtime .
# `sandbox` adds the platform in small, which docker-compose.yaml starts.   docker compose build door
# Neither was built where this was written: there is no engine there. tests/test_compose.py checks what can be checked.

FROM apache/airflow:3.3.2-python3.12 AS runtime
ARG CODE_VERSION=unknown
# Without byte code every start of Airflow takes two to five times as long, so it is compiled here and allowed later.
ENV PYTHONPATH=/opt/airflow \
    PYTHONDONTWRITEBYTECODE= \
    OPS_CODE_VERSION=${CODE_VERSION}
# pg_dump must not be older than the server, and Debian's own is: PostgreSQL's packages bring the one that is asked for.
ARG POSTGRESQL_MAJOR=17
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-common ca-certificates \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && apt-get install --yes --no-install-recommends postgresql-client-${POSTGRESQL_MAJOR} \
    && rm -rf /var/lib/apt/lists/*
USER airflow
ENV OPS_BACKUP__PROGRAMS=/usr/lib/postgresql/${POSTGRESQL_MAJOR}/bin
COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY dags/ dags/
COPY plugins/ plugins/
COPY include/ include/
COPY config/ config/

FROM runtime AS sandbox
COPY requirements-dev.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements-dev.txt
COPY sandbox/ sandbox/
COPY watch/ watch/
COPY deploy/ deploy/
# The projects' own releases, checked against their checksums; whatever cannot be fetched is built from source.
RUN python -m sandbox.binaries
USER root
RUN install --directory --owner=airflow --group=0 --mode=0711 /sandbox
USER airflow
ENV SANDBOX_STATE=/sandbox
