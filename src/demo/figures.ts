/** What the demo measured, as `--json` prints it. Milliseconds count from the request that Okta sent. */
export interface Figures {
  readonly ok: boolean
  readonly people: number
  readonly groups: number
  readonly servers: number
  readonly startSeconds: number
  readonly onboarding: Onboarding
  readonly mover: Moved
  readonly leaver: Left
  readonly replay: Replayed
  readonly release: Released
  readonly checks: readonly Check[]
  /** With `--keep`: where to look. */
  readonly running?: Running
}

export interface Onboarding {
  /** From Okta's first request to the last server's last answer. */
  readonly seconds: number
  readonly peoplePerSecond: number
  readonly deliveries: number
  readonly deliveriesPerSecond: number
  readonly oktaRequests: number
  /** Until Okta had its last answer. */
  readonly oktaSeconds: number
}

/** One server, told of one person. */
export interface Told {
  readonly server: string
  readonly name: string
  readonly type: string
  readonly scopes: readonly string[]
  readonly ms: number
}

export interface Moved {
  readonly name: string
  readonly userName: string
  readonly from: string
  readonly to: string
  readonly told: readonly Told[]
  /** Nothing changed there, so nothing was said. */
  readonly untold: readonly string[]
}

export interface Left {
  readonly name: string
  readonly userName: string
  readonly userId: string
  /** By Tenure's clock, in whole milliseconds; the rest by the demo's. */
  readonly receivedMs: number
  /** Okta has its 2xx: the change is committed. */
  readonly committedMs: number
  /** The answer to the first introspection that began after that. */
  readonly introspectionDeniesMs: number
  readonly tokens: number
  readonly tokensDenied: number
  /** The servers that were well. */
  readonly told: readonly Told[]
  readonly hanging: {
    readonly server: string
    readonly name: string
    /** When the leaver's revocation arrived there. */
    readonly ms: number
    /** Since when another request had been open there; negative. */
    readonly sinceMs: number
    /** Whether that request was still open when all the others had been told. */
    readonly openAtTheEnd: boolean
  }
  readonly failing: { readonly server: string; readonly name: string; readonly ms: number; readonly status: number }
}

export interface Replayed {
  readonly server: string
  readonly name: string
  readonly requeued: number
  /** From the admin's request to the server's answer. */
  readonly landedMs: number
}

export interface Released {
  readonly server: string
  readonly name: string
  readonly heldMs: number
  readonly delivered: boolean
}

export interface Check {
  readonly claim: string
  readonly held: boolean
}

export interface Running {
  readonly adminUrl: string
  readonly scimBaseUrl: string
  readonly adminKeyFile: string
  readonly logFile: string
}
