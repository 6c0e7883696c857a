import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/secret-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Vitest exits when it is over, whatever is still under way: the scan for secrets must not be cut short.
    teardownTimeout: 120_000,
    // Two cores and real databases: more files at once only make each of them slower.
    maxWorkers: 2,
    pool: 'forks',
  },
})
