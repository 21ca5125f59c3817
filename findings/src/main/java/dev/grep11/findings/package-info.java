/** What an examination found and how it is shown: of the gateway, and of the PKCS #11 agent. */
@NullMarked
package dev.grep11.findings;

import org.jspecify.annotations.NullMarked;
