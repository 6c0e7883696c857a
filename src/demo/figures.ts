/** What the demo measured, as `--json` prints it. Milliseconds count from the request that Okta sent, unless they say. */
export interface Figures {
  readonly ok: boolean
  readonly people: number
  readonly groups: number
  readonly servers: number
  readonly startSeconds: number
  readonly onboarding: Onboarding
  readonly mover: Moved
  readonly agent: SignedIn
  readonly leaver: Left
  readonly replay: Replayed
  readonly release: Released
  readonly suspension: Suspended
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

/** The leaver's agent, still in good standing, calls a tool of the company's own server. From its first request on. */
export interface SignedIn {
  readonly name: string
  readonly server: string
  readonly serverName: string
  /** The server has answered 401, with where to get a token. */
  readonly challengedMs: number
  /** The identity provider has made an ID-JAG of the ID token. */
  readonly idJagMs: number
  /** Tenure has made a token of that. */
  readonly tokenMs: number
  /** The tool has answered. */
  readonly answeredMs: number
}

/** What became of what the leaver's agent did and tried. */
export interface AgentCut {
  /** The call that was running has ended. */
  readonly runningCallMs: number
  /** The one after it was answered 401. */
  readonly nextCallMs: number
  /** The silent retry, the whole flow over again, has ended in nothing. */
  readonly retryMs: number
  /** ID-JAGs that the identity provider minted for the retry. */
  readonly idJagsMinted: number
  /** How many of them bought no token. */
  readonly idJagsRefused: number
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
  readonly agent: AgentCut
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

/** Somebody of whom an event hook told before SCIM did. */
export interface Suspended {
  readonly name: string
  readonly userName: string
  /** Okta has the answer to its hook: the cut is committed. */
  readonly answeredMs: number
  /** The answer to the first introspection that began after that. */
  readonly introspectionDeniesMs: number
  readonly tokens: number
  readonly tokensDenied: number
  readonly told: readonly Told[]
  /** By how much the hook came before SCIM. */
  readonly leadMs: number
}

export interface Check {
  readonly claim: string
  readonly held: boolean
}

/** One part of the story: what was measured, and which promises were seen to hold. */
export interface Part<T> {
  readonly figures: T
  readonly checks: readonly Check[]
}

export interface Running {
  readonly adminUrl: string
  readonly scimBaseUrl: string
  /** Of the company's own server, which the guard protects. */
  readonly mcpUrl: string
  readonly adminKeyFile: string
  readonly logFile: string
}
