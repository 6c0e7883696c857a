/** The direction of imports: docs/architecture.md draws it. Left may import right, never the reverse, and nothing in a circle. */
const compose = ['^src/(main|compose)\\.ts$', '^src/demo/', '^workers/']
const speak = ['^src/(scim|receivers|oauth|admin|console)/']
const act = ['^src/(entitlement|directory|delivery|ledger|trust|operators|housekeeping|connectors|queue|db)/']
const decide = ['^src/(lifecycle|filter|schemas)/']
const plumbing = ['^src/http/']
const cli = ['^src/cli/']
const leaves = ['^src/(?!main|compose)[^/]+\\.ts$']

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'protocols-do-not-compose', severity: 'error', from: { path: speak }, to: { path: compose } },
    {
      name: 'protocols-do-not-know-each-other',
      severity: 'error',
      from: { path: '^src/(scim|receivers|oauth|admin|console)/' },
      to: { path: speak, pathNot: '^src/$1/' },
    },
    {
      name: 'acting-is-below-speaking',
      severity: 'error',
      from: { path: act },
      to: { path: [...compose, ...speak, ...plumbing] },
    },
    {
      name: 'deciding-is-pure',
      severity: 'error',
      from: { path: decide },
      to: { path: [...compose, ...speak, ...act, ...plumbing] },
    },
    {
      name: 'plumbing-has-no-product-words',
      severity: 'error',
      from: { path: plumbing },
      to: { path: [...compose, ...speak, ...act, ...decide] },
    },
    {
      name: 'leaves-import-nothing-of-ours',
      severity: 'error',
      from: { path: leaves },
      to: { path: '^(src|workers)/', pathNot: leaves },
    },
    {
      name: 'operators-speak-http',
      comment: 'The command line is a client of the admin API like any other.',
      severity: 'error',
      from: { path: cli },
      to: { path: '^(src|workers|migrations)/', pathNot: [...cli, ...leaves] },
    },
    {
      name: 'nobody-asks-the-command-line',
      severity: 'error',
      from: { pathNot: [...cli, '^src/main\\.ts$'] },
      to: { path: cli },
    },
    {
      name: 'operators-do-not-load-the-server',
      comment: 'A static import in main.ts would make every operator wait for all that serves.',
      severity: 'error',
      from: { path: '^src/main\\.ts$' },
      to: { path: '^(src|workers)/', pathNot: [...cli, ...leaves], dynamic: false, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'the-guard-stands-alone',
      comment: 'It is published, and runs in other processes than ours.',
      severity: 'error',
      from: { path: '^src/guard/' },
      to: { pathNot: ['^src/guard/', 'node_modules/(jose|standardwebhooks)/'], dependencyTypesNot: ['core'] },
    },
    {
      name: 'nobody-of-ours-is-guarded',
      severity: 'error',
      from: { path: '^(src|workers)/', pathNot: ['^src/guard/', '^src/demo/'] },
      to: { path: '^src/guard/' },
    },
    {
      name: 'one-door-to-bullmq',
      severity: 'error',
      from: { pathNot: '^(src/queue/|workers/)' },
      to: { path: 'node_modules/bullmq' },
    },
    {
      name: 'one-door-out',
      severity: 'error',
      from: { pathNot: '^src/(connectors/egress\\.ts|demo/)' },
      to: { path: 'node_modules/undici' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js'], conditionNames: ['import', 'node', 'default'] },
  },
}
