/**
 * Identity: who calls, proven by a token, and what that caller may do, by grants.
 *
 * <p>A token is verified against the keys of its issuer ({@link
 * dev.grep11.gateway.iam.TokenVerifier}); what its subject may do in an instance is held in memory
 * as verified state of the store under a lease ({@link dev.grep11.gateway.iam.Grants}), with roles
 * resolved by a data file ({@link dev.grep11.gateway.iam.Roles}). For those without an identity
 * provider {@link dev.grep11.gateway.iam.TokenService} gives tokens for API keys.
 */
@NullMarked
package dev.grep11.gateway.iam;

import org.jspecify.annotations.NullMarked;
