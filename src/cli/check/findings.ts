import { plain } from '../plain.ts'
import { shorten } from '../width.ts'

export type Level = 'ok' | 'warning' | 'fault'

/** What the check has to say about one thing it looked at. A server with a fault is not ready; one with warnings is. */
export interface Finding {
  /** Stable: scripts go by it. */
  readonly id: FindingId
  readonly level: Level
  readonly seen: string
  readonly why: string
  /** Null where nothing is to be mended. */
  readonly fix: string | null
}

/** A finding that asks for something to be done. */
export type Doubt = Finding & { readonly id: DoubtId; readonly fix: string }

interface Entry {
  readonly level: Exclude<Level, 'ok'>
  readonly why: string
  readonly fix: string
}

/** What can be in order, and why that is asked for. */
export const virtues = {
  challenge: 'An MCP client begins at the 401: it says where the metadata is and which scopes to ask for.',
  'bad-token-refused': 'A server that looks at tokens refuses one that it never saw.',
  'resource-metadata': 'Protected-resource metadata (RFC 9728) tells clients which authorization server to use.',
  'resource-exact': 'ID-JAGs and tokens carry this identifier, and it is compared byte for byte.',
  'one-authorization-server': 'MCP clients use the first one only.',
  'authorization-server-metadata': 'It tells clients where to send an ID-JAG and what is understood there (RFC 8414).',
  'issuer-exact': 'The issuer is the audience of ID-JAGs, and it is compared byte for byte.',
  'profile-advertised': 'By this, clients and identity providers see that ID-JAGs are taken.',
  'jwt-bearer-supported': 'An ID-JAG is redeemed with this grant type (RFC 7523).',
  'token-endpoint': 'ID-JAGs are redeemed there, over a connection that nobody reads along.',
  'client-authentication': 'MCP SDKs send a secret as Basic credentials, Claude in the body.',
  revocation: 'A client that is done with a token, or has lost it, can take it back (RFC 7009).',
  introspection: 'A server that asks learns of a cut at its next request (RFC 7662).',
  'id-jag': 'Its audience, resource and client must be those of this server.',
  'token-issued': 'The authorization server trusts the identity provider and knows the user and the client.',
  'token-accepted': 'The server takes the tokens of its authorization server.',
  'replay-refused': 'An ID-JAG that was read in passing is worthless.',
  'revocation-honoured': 'What is taken back at the authorization server ends at the MCP server too.',
  'cut-honoured': 'The cut reaches tokens that are out already.',
  'remint-refused': 'A client fetches a new token in silence when its old one is refused; here it gets none.',
} as const satisfies Record<string, string>

/** What can be wrong. docs/check.md says the same. */
export const doubts = {
  'private-address': {
    level: 'fault',
    why: 'MCP clients that call from the internet, such as Claude, cannot get there, and careful ones refuse to.',
    fix: 'Publish an address that is public. To check a server inside your network, list its host: --allow-private.',
  },
  'not-https': {
    level: 'fault',
    why: 'Tokens and secrets would pass in clear text; clients take http at localhost only.',
    fix: 'Serve it over https, and publish its URL as an https one.',
  },
  redirect: {
    level: 'fault',
    why: 'Clients do not take tokens through redirects, and most do not follow one to another origin.',
    fix: 'Answer at this URL itself, or publish the URL that it redirects to.',
  },
  'redirect-to-private': {
    level: 'fault',
    why: 'It leads whoever follows into a private network, perhaps to where a cloud hands out credentials.',
    fix: 'Remove the redirect. If nobody put it there, find out who did.',
  },
  timeout: {
    level: 'fault',
    why: 'Clients give up, and the user sees a server that cannot be connected.',
    fix: 'See why it is slow. --timeout waits longer here, but clients will not.',
  },
  unreachable: {
    level: 'fault',
    why: 'Nothing further can be learnt there, by this check or by a client.',
    fix: 'Start it, or mend its name, port or certificate. NODE_EXTRA_CA_CERTS names an authority of your own.',
  },
  'open-without-token': {
    level: 'fault',
    why: 'The sign-in begins at a 401, and what answers without a token no cut can take away.',
    fix: 'Refuse requests without a valid token with 401, before anything else is done with them.',
  },
  'no-401': {
    level: 'fault',
    why: 'Claude and others take nothing but a 401 for a challenge, so the sign-in never begins.',
    fix: 'Answer 401 with WWW-Authenticate: Bearer to every request without a token, whatever its method and body.',
  },
  'no-bearer-challenge': {
    level: 'fault',
    why: 'Without a Bearer challenge the client does not know that a token would help.',
    fix: 'Send WWW-Authenticate: Bearer resource_metadata="…" with the 401.',
  },
  'challenge-not-first': {
    level: 'warning',
    why: 'The MCP SDK for TypeScript reads the first challenge only.',
    fix: 'Put Bearer before the other schemes in WWW-Authenticate.',
  },
  'no-resource-metadata-link': {
    level: 'warning',
    why: 'Clients then guess where the metadata is; not all of them try.',
    fix: 'Add resource_metadata with the full URL of the metadata to the Bearer challenge.',
  },
  'bad-token-accepted': {
    level: 'fault',
    why: 'The server does not look at tokens: any text opens it.',
    fix: 'Verify every token: by introspection, or its signature, audience and expiry.',
  },
  'refusal-not-401': {
    level: 'fault',
    why: 'A client fetches a new token only after a 401; any other answer leaves the user stuck.',
    fix: 'Answer 401 with error="invalid_token" to a token that is wrong, expired or revoked; 403 is for too few scopes.',
  },
  'resource-metadata-missing': {
    level: 'fault',
    why: 'Without it clients cannot find the authorization server.',
    fix: 'Serve it at /.well-known/oauth-protected-resource followed by the path of the MCP endpoint (RFC 9728).',
  },
  'resource-metadata-root-only': {
    level: 'warning',
    why: 'Clients ask at the path of the endpoint first, and a second server at this host would have no place.',
    fix: 'Serve it with the path of the endpoint behind /.well-known/oauth-protected-resource as well.',
  },
  'metadata-status': {
    level: 'fault',
    why: 'Clients take this for a broken server and stop, or look elsewhere.',
    fix: 'Answer 200 with the document, to everybody: metadata takes no token. Answer 404 where there is none.',
  },
  'metadata-not-json': {
    level: 'fault',
    why: 'Clients cannot read it.',
    fix: 'Answer with one JSON object; a login page or a proxy may be in the way.',
  },
  'metadata-too-large': {
    level: 'fault',
    why: 'Clients bound what they read, as does this check: 64 KiB.',
    fix: 'Keep the document to what clients need.',
  },
  'metadata-content-type': {
    level: 'warning',
    why: 'RFC 8414 and RFC 9728 ask for application/json, and strict clients insist.',
    fix: 'Send content-type: application/json.',
  },
  'resource-mismatch': {
    level: 'fault',
    why: 'Clients drop metadata that speaks of another resource, and tokens would be meant for that one.',
    fix: 'Publish as resource exactly the URL that clients are given, and register the same at the authorization server.',
  },
  'resource-broader': {
    level: 'warning',
    why: 'Some clients take a resource that this URL is a part of; strict ones want the URL itself.',
    fix: 'Publish as resource exactly the URL that clients are given, at the path of the endpoint.',
  },
  'trailing-slash': {
    level: 'fault',
    why: 'Identifiers are compared byte for byte, at Okta and in the SDK for Python for one: a slash makes another one.',
    fix: 'Spell it the same everywhere, best without the slash.',
  },
  'header-not-supported': {
    level: 'fault',
    why: 'MCP clients send the token in the Authorization header and nowhere else.',
    fix: 'List header in bearer_methods_supported, or leave the field out.',
  },
  'no-authorization-server': {
    level: 'fault',
    why: 'Clients do not learn where a token is to be had.',
    fix: 'List the issuer of the authorization server in authorization_servers.',
  },
  'several-authorization-servers': {
    level: 'warning',
    why: 'Claude and VS Code read the first one only; the others are never asked.',
    fix: 'List one. To move to another, replace it.',
  },
  'no-scopes': {
    level: 'warning',
    why: 'Clients do not know which scopes to ask for, and may get a token that is good for nothing.',
    fix: 'Name them as scope in the 401 or as scopes_supported in the metadata.',
  },
  'scope-disagrees': {
    level: 'warning',
    why: 'Clients ask for what the 401 names, else for what the metadata lists, and are refused what is not known.',
    fix: 'List in scopes_supported, of the server and of its authorization server, every scope that is asked for.',
  },
  'offline-access-listed': {
    level: 'warning',
    why: 'It asks for refresh tokens, which outlive a cut and are not needed: a client repeats the exchange.',
    fix: 'Leave offline_access out of scopes_supported and of the 401.',
  },
  'authorization-server-metadata-missing': {
    level: 'fault',
    why: 'Without it clients do not know where to send an ID-JAG.',
    fix: 'Serve it at /.well-known/oauth-authorization-server followed by the path of the issuer (RFC 8414).',
  },
  'issuer-mismatch': {
    level: 'fault',
    why: 'Clients drop metadata of another issuer before they send a credential, and ID-JAGs would have the wrong audience.',
    fix: 'Make issuer in the metadata and the entry of authorization_servers the same, byte for byte, behind every proxy.',
  },
  'profile-not-advertised': {
    level: 'fault',
    why: 'Clients look for the ID-JAG profile, and fall back to a sign-in that no enterprise manages.',
    fix: 'List urn:ietf:params:oauth:grant-profile:id-jag in authorization_grant_profiles_supported.',
  },
  'jwt-bearer-missing': {
    level: 'fault',
    why: 'An ID-JAG is redeemed with this grant type, and the profile obliges to list it.',
    fix: 'List urn:ietf:params:oauth:grant-type:jwt-bearer in grant_types_supported.',
  },
  'token-endpoint-missing': {
    level: 'fault',
    why: 'There is nowhere to redeem an ID-JAG.',
    fix: 'Name token_endpoint in the metadata.',
  },
  'sdk-fields-missing': {
    level: 'fault',
    why: 'The SDK for TypeScript refuses metadata without them, although an ID-JAG needs neither.',
    fix: 'Name authorization_endpoint and response_types_supported, if need be an endpoint that answers with an OAuth error.',
  },
  'client-authentication-unusable': {
    level: 'fault',
    why: 'No MCP client can authenticate in any of these ways.',
    fix: 'Support client_secret_basic and client_secret_post.',
  },
  'client-authentication-narrow': {
    level: 'warning',
    why: 'MCP SDKs send Basic credentials and Claude sends the secret in the body, whatever the metadata says.',
    fix: 'Support client_secret_basic and client_secret_post, and list both.',
  },
  'no-revocation-endpoint': {
    level: 'warning',
    why: 'Nobody can take a single token back; it ends when it expires.',
    fix: 'Offer revocation (RFC 7009) and name revocation_endpoint in the metadata.',
  },
  'no-introspection-endpoint': {
    level: 'warning',
    why: 'The MCP server cannot ask whether a token still holds, so a cut may wait for its expiry.',
    fix: 'Offer introspection (RFC 7662), or keep tokens short-lived and tell the server of cuts.',
  },
  'resource-not-listed': {
    level: 'warning',
    why: 'The authorization server names the resources it protects, and this one is not among them.',
    fix: 'Register the resource at the authorization server, or leave protected_resources out.',
  },
  'not-tried': {
    level: 'warning',
    why: 'What was to be tried with a real ID-JAG was left alone, so that no credential goes where it should not.',
    fix: 'Mend what is named above, then check again.',
  },
  'id-jag-not-minted': {
    level: 'fault',
    why: 'Without an ID-JAG there is no token.',
    fix: "See that the ID token is fresh and this client's own, and that the identity provider connects user, client and resource.",
  },
  'id-jag-unreadable': {
    level: 'fault',
    why: 'An ID-JAG is a signed JWT in compact form.',
    fix: 'Give what the identity provider returned as access_token of the exchange, nothing around it.',
  },
  'id-jag-type': {
    level: 'fault',
    why: 'Authorization servers take typ oauth-id-jag+jwt only, so that no other JWT passes for an ID-JAG.',
    fix: 'Ask for requested_token_type urn:ietf:params:oauth:token-type:id-jag, and give that.',
  },
  'id-jag-audience': {
    level: 'fault',
    why: 'The audience must be the issuer of the authorization server, alone: no token endpoint, no MCP URL.',
    fix: 'Set the audience of this resource at the identity provider to the issuer.',
  },
  'id-jag-resource': {
    level: 'fault',
    why: 'An ID-JAG for another resource gives no token for this one.',
    fix: 'Set the resource at the identity provider to exactly what the protected-resource metadata says.',
  },
  'id-jag-client': {
    level: 'fault',
    why: "client_id is the client's id at the authorization server, which often is not its id at the identity provider.",
    fix: 'Map the client at the identity provider to the id that it has here.',
  },
  'id-jag-life': {
    level: 'fault',
    why: 'Authorization servers refuse an ID-JAG that has expired or lives for more than 5 minutes.',
    fix: 'Take a fresh one, with at most 300 s between iat and exp.',
  },
  'id-jag-refused': {
    level: 'fault',
    why: 'The client gets no token.',
    fix: 'See the log of the authorization server: is the issuer trusted, the client known, the user there and entitled?',
  },
  'token-response-wrong': {
    level: 'fault',
    why: 'Clients cannot use the answer of the token endpoint.',
    fix: 'Answer JSON with access_token and token_type Bearer (RFC 6749 §5.1), errors included.',
  },
  'token-cacheable': {
    level: 'warning',
    why: 'Whatever is between may keep the token.',
    fix: 'Send cache-control: no-store with every answer of the token endpoint.',
  },
  'token-life-long': {
    level: 'warning',
    why: 'Where a cut is not honoured at once, the token outlives it for so long.',
    fix: 'Let tokens expire after an hour at most, after minutes if the MCP server checks them by itself.',
  },
  'refresh-token-returned': {
    level: 'warning',
    why: 'It is of great value to a thief, and clients ignore it here: they repeat the exchange.',
    fix: 'Return none for an ID-JAG.',
  },
  'scope-not-echoed': {
    level: 'warning',
    why: 'A client that was given less than it asked for does not learn of it.',
    fix: 'Return scope with every token.',
  },
  'token-refused': {
    level: 'fault',
    why: 'The token was issued for this server, and the server does not take it.',
    fix: 'See that the server trusts this issuer, expects its own resource as audience, and asks for scopes that were given.',
  },
  'not-mcp': {
    level: 'warning',
    why: 'The token passed, but what answered is no MCP server as this check knows it.',
    fix: 'See that this is the URL of the MCP endpoint.',
  },
  'replay-accepted': {
    level: 'warning',
    why: 'An ID-JAG that was read in passing gives its reader a token. EMA forbids it, though the ID-JAG draft allows it.',
    fix: 'Take each jti once only.',
  },
  'revocation-failed': {
    level: 'fault',
    why: 'The endpoint is there and takes nothing back.',
    fix: 'Answer 200 to a client that revokes a token of its own (RFC 7009).',
  },
  'revocation-ignored': {
    level: 'fault',
    why: 'Whoever was cut goes on as before until the token expires.',
    fix: 'Have the MCP server introspect each token, or tell it of cuts and keep no positive answer for more than seconds.',
  },
  'remint-accepted': {
    level: 'fault',
    why: 'Ending tokens is not enough: the client repeats the exchange in silence and is back.',
    fix: 'Have the authorization server refuse ID-JAGs from before the cut, and any of somebody who is no longer entitled.',
  },
  'remint-not-tried': {
    level: 'warning',
    why: 'Whether the client would be back in silence is not known.',
    fix: 'Give a second ID-JAG in the file, or --idp-token-endpoint and --id-token-file to have one minted.',
  },
} as const satisfies Record<string, Entry>

export type VirtueId = keyof typeof virtues
export type DoubtId = keyof typeof doubts
export type FindingId = VirtueId | DoubtId

/** @param seen may hold what the far side said: it is shown as one plain line */
export function virtue(id: VirtueId, seen: string): Finding {
  return { id, level: 'ok', seen: shown(seen), why: virtues[id], fix: null }
}

export function doubt(id: DoubtId, seen: string): Doubt {
  return { id, seen: shown(seen), ...doubts[id] }
}

export function isDoubt(value: object): value is Doubt {
  return 'id' in value && 'level' in value
}

function shown(text: string): string {
  return shorten(plain(text.slice(0, 2_000)), 300)
}
