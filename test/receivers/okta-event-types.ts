import type { SignalKind } from '../../src/lifecycle/signals.ts'

/**
 * Reference §1.4 by area: every type that it names, with what it does by default. Of a family that it gives as a whole
 * (`policy.branch.*`) there is one example. `E`: a hook may carry it; `L`: it is in the System Log only.
 */
const sheet: ReadonlyArray<readonly ['E' | 'L', SignalKind, string, ...string[]]> = [
  // Joiner/leaver
  ['E', 'left', 'user.lifecycle.', 'deactivate', 'delete.initiated'],
  ['E', 'suspended', 'user.lifecycle.', 'suspend'],
  ['E', 'enabled', 'user.lifecycle.', 'activate', 'unsuspend', 'reactivate'],
  ['E', 'noted', 'user.lifecycle.', 'create'],
  ['L', 'left', 'user.lifecycle.', 'delete.completed'],
  // Mover/profile
  ['E', 'changed', 'user.account.', 'update_profile'],
  ['E', 'noted', 'user.account.', 'privilege.grant', 'privilege.revoke', 'lock', 'unlock', 'unlock_by_admin'],
  ['E', 'noted', 'user.account.', 'reset_password', 'update_password', 'report_suspicious_activity_by_enduser'],
  ['L', 'changed', 'user.account.', 'update_primary_email', 'update_secondary_email', 'update_user_type'],
  ['L', 'noted', 'user.account.', 'expire_password'],
  // Groups
  ['E', 'changed', 'group.user_membership.', 'add', 'remove'],
  ['E', 'changed', 'group.', 'lifecycle.create', 'lifecycle.delete', 'profile.update'],
  ['E', 'changed', 'group.application_assignment.', 'add', 'remove', 'update'],
  ['E', 'noted', 'group.privilege.', 'grant', 'revoke'],
  ['L', 'noted', 'group.user_membership.rule.', 'trigger'],
  // App assignment
  ['E', 'enabled', 'application.user_membership.', 'add'],
  ['E', 'left', 'application.user_membership.', 'remove'],
  ['E', 'changed', 'application.user_membership.', 'update'],
  ['E', 'noted', 'application.user_membership.', 'change_password'],
  ['E', 'noted', 'application.lifecycle.', 'create', 'activate', 'deactivate', 'update', 'delete'],
  ['L', 'changed', 'application.user_membership.', 'change_username'],
  ['L', 'left', 'application.user_membership.', 'deprovision', 'revoke'],
  ['L', 'enabled', 'application.user_membership.', 'restore'],
  ['L', 'noted', 'application.user_membership.', 'provision', 'approve'],
  // Provisioning to app
  ['E', 'noted', 'application.provision.user.', 'push', 'push_profile', 'reactivate', 'sync', 'import_profile'],
  ['E', 'noted', 'application.provision.user.', 'delete', 'delete.schedule'],
  ['E', 'noted', 'application.provision.user.', 'remove_entitlements', 'remove_entitlements.schedule'],
  ['L', 'noted', 'application.provision.user.', 'activate', 'deactivate', 'deprovision', 'import', 'push_password'],
  // Sessions
  ['E', 'noted', 'user.session.', 'start', 'end', 'context.change'],
  ['E', 'sessions_revoked', 'user.', 'session.clear', 'authentication.universal_logout'],
  ['E', 'noted', 'user.authentication.universal_logout.', 'scheduled'],
  ['L', 'noted', 'user.session.', 'expire', 'impersonation.grant', 'impersonation.initiate', 'impersonation.end'],
  // MFA/credentials
  ['E', 'noted', 'user.mfa.factor.', 'activate', 'deactivate', 'reset_all', 'suspend', 'unsuspend', 'update'],
  ['E', 'sessions_revoked', 'security.', 'breached_credential.detected'],
  // Risk
  ['E', 'noted', '', 'user.risk.detect', 'user.risk.change', 'policy.auth_reevaluate.fail'],
  ['L', 'noted', 'policy.', 'entity_risk.evaluate', 'auth_reevaluate.enforce', 'auth_reevaluate.action'],
  ['L', 'noted', 'policy.continuous_access.', 'evaluate'],
  // Policy
  ['E', 'noted', 'policy.lifecycle.', 'activate', 'deactivate', 'update'],
  ['E', 'noted', 'policy.rule.', 'add', 'update', 'activate', 'deactivate', 'delete'],
  ['E', 'noted', 'policy.branch.', 'add'],
  ['L', 'noted', 'policy.lifecycle.', 'create', 'delete', 'overwrite'],
  // Consent
  ['E', 'noted', 'app.oauth2.as.consent.', 'grant', 'revoke', 'revoke.user', 'revoke.user.client'],
  ['E', 'noted', 'app.oauth2.as.consent.revoke.implicit.', 'as', 'client', 'scope', 'user'],
  ['L', 'noted', 'app.oauth2.', 'consent.grant', 'admin.consent.grant'],
  // Tokens
  ['E', 'noted', 'app.oauth2.', 'token.grant.interclient_token', 'as.token.grant.interclient_token'],
  ['L', 'noted', 'app.oauth2.token.', 'revoke', 'revoke.implicit.as', 'revoke.implicit.client', 'revoke.implicit.user'],
  ['L', 'noted', 'app.oauth2.', 'as.token.revoke', 'token.detect_reuse', 'as.token.detect_reuse'],
  ['L', 'noted', 'app.oauth2.', 'token.grant.access_token', 'as.token.grant.refresh_token'],
  // Cross App Access
  ['L', 'noted', 'app.', 'oauth2.token.grant.id_jag'],
  ['L', 'noted', 'app.cross_app_access.connection.', 'create', 'update', 'delete'],
  // OAuth clients
  ['E', 'noted', 'app.oauth2.client.privilege.', 'grant', 'revoke'],
  ['E', 'noted', 'app.oauth2.trusted_server.', 'add', 'delete'],
  ['L', 'noted', 'app.oauth2.', 'client.lifecycle.create', 'signon'],
  // AI agents
  ['E', 'noted', 'workload_principal.ai_agent.', 'register', 'activate', 'deactivate', 'delete', 'update'],
  ['E', 'noted', 'workload_principal.ai_agent.credential.', 'create'],
  ['E', 'noted', 'workload_principal.resource_connection.', 'create', 'update', 'activate', 'deactivate', 'delete'],
  ['E', 'noted', 'workload_principal.delegation_link.', 'create', 'delete'],
  ['L', 'noted', 'app.oauth2.token.grant.', 'oauth_sts', 'vaulted_secret', 'service_account'],
  // MCP servers in Okta
  ['E', 'noted', 'resource_servers.mcp_server.', 'register', 'activate', 'deactivate', 'delete', 'update'],
  ['E', 'noted', 'resource_servers.', 'mcp_server.auth_server.add', 'virtual_mcp_server.register'],
  // Devices
  ['E', 'noted', 'device.', 'enrollment.create', 'lifecycle.deactivate', 'user.add', 'user.remove'],
  ['L', 'noted', 'device.', 'signals.change'],
]

export interface EventType {
  readonly type: string
  readonly way: 'E' | 'L'
  readonly kind: SignalKind
}

export const eventTypes: readonly EventType[] = sheet.flatMap(([way, kind, area, ...names]) =>
  names.map((name) => ({ type: area + name, way, kind })),
)
