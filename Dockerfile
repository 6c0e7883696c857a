# Tenure as an image: `docker build -t tenure .`. The commands are those of `tenure --help`: api (default), worker, migrate, …
#
# The tag is that of the Node that the tests run on. To pin what is behind it as well, build with the digest that
# `docker buildx imagetools inspect` shows for it: --build-arg NODE_IMAGE=node:24.21.0-trixie-slim@sha256:…
ARG NODE_IMAGE=node:24.21.0-trixie-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Optional packages are a Node, a Postgres and native helpers for machines that lack them. Nothing left has a script to run.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Tenure" \
      org.opencontainers.image.description="The lifecycle side of MCP Enterprise-Managed Authorization" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# Package managers have nothing to do here.
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8480
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY bin bin
COPY migrations migrations
COPY workers workers
COPY src src
# The user `node`, by number, so that Kubernetes can tell it is not root. It owns nothing here and writes nothing.
USER 1000:1000
EXPOSE 8480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["node", "bin/healthcheck.js"]
ENTRYPOINT ["node", "bin/tenure.js"]
CMD ["api"]
