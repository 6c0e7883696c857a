#!/usr/bin/env node
// Exits with 0 when the Tenure of this container is ready. For the image, which has no curl.
const answer = await fetch(`http://127.0.0.1:${process.env.PORT || 8480}/readyz`, {
  signal: AbortSignal.timeout(4_000),
}).catch(() => undefined)
process.exitCode = answer?.ok ? 0 : 1
