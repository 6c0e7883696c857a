import type { ClientAuth } from '../db/tables.ts'

export const presetNames = ['claude-chat', 'claude-code', 'claude-cowork', 'vscode'] as const

export type PresetName = (typeof presetNames)[number]

/**
 * A well-known MCP client: its Client ID Metadata Document as it was last seen, pinned because some are not served to
 * everybody (Claude's answers 403 to data centres). Where a document lists no jwt-bearer, the operator who registers it
 * is who allows that.
 */
export interface Preset {
  /** The day of the copy. */
  readonly seen: string
  readonly document: {
    readonly client_id: string
    readonly client_name: string
    readonly redirect_uris: readonly string[]
    readonly grant_types: readonly string[]
    readonly token_endpoint_auth_method: ClientAuth
  }
  /** What is different in use, and is to be configured. */
  readonly note: string
}

const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

const claude: Preset = {
  seen: '2026-09-02',
  document: {
    client_id: 'https://claude.ai/oauth/mcp-oauth-client-metadata',
    client_name: 'Claude',
    redirect_uris: ['https://claude.ai/api/mcp/auth_callback', 'https://claude.com/api/mcp/auth_callback'],
    grant_types: ['authorization_code', 'refresh_token', jwtBearer],
    token_endpoint_auth_method: 'none',
  },
  note: 'One identity for Claude on the web, on the desktop, on phones, and for Cowork. Where Anthropic holds credentials of a client that you register, give its id and auth client_secret_post, which Claude uses whatever the metadata says.',
}

export const presets: Readonly<Record<PresetName, Preset>> = {
  'claude-chat': claude,
  'claude-cowork': claude,
  'claude-code': {
    seen: '2026-10-01',
    document: {
      client_id: 'https://claude.ai/oauth/claude-code-client-metadata',
      client_name: 'Claude Code',
      redirect_uris: ['http://localhost/callback', 'http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    },
    note: 'Its document lists no jwt-bearer: registering it here allows it. Claude Code comes this way only through the connectors of its organisation, not for servers that are configured locally or bundled with a plug-in.',
  },
  vscode: {
    seen: '2026-10-01',
    document: {
      client_id: 'https://vscode.dev/oauth/client-metadata.json',
      client_name: 'Visual Studio Code',
      redirect_uris: ['http://127.0.0.1:33418/', 'https://vscode.dev/redirect'],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    },
    note: 'Its document lists no jwt-bearer: registering it here allows it. With enterprise-managed authorization VS Code sends the client id that stands in oauth.clientId of the server: give that id here where it is another, and an auth with a secret where one is configured beside it.',
  },
}
