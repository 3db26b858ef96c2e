# PostgreSQL as Debian packages it, for compose: one role, one database, password from a secret file, data in a volume.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 \
    && install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
COPY infra/images/db.sh /usr/local/bin/db
USER postgres
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --start-period=30s CMD ["pg_isready", "--quiet", "--host", "127.0.0.1", "--username", "keepsake", "--dbname", "keepsake"]
ENTRYPOINT ["/bin/sh", "/usr/local/bin/db"]
