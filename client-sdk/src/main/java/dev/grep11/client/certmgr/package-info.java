/**
 * Client of the certificate manager: who decides which client certificates a gateway accepts.
 *
 * <p>{@link dev.grep11.client.certmgr.CertificateManagerClient} is the way in. Every change is
 * signed by an {@link dev.grep11.client.certmgr.AdministratorKeyPair}, whose private half never
 * leaves this process; {@link dev.grep11.client.certmgr.SignedCommands} says exactly what is
 * signed.
 */
@NullMarked
package dev.grep11.client.certmgr;

import org.jspecify.annotations.NullMarked;
