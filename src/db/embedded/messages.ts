import type { EmbeddedErrorCode } from './embedded-error.ts'

/** What the keeper tells its parent, one JSON object a line on its standard output. The other way there is only the end of its input: stop. */
export type KeeperMessage =
  | { type: 'ready'; ownerUrl: string; url: string; dataFolder: string; postgresPid: number }
  | { type: 'notice'; message: string }
  | { type: 'failed'; code: EmbeddedErrorCode; message: string }
