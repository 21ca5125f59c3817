/**
 * What operators do on the host of a gateway: instances, sealing keys, administrators, each with
 * its audit event.
 */
@NullMarked
package dev.grep11.gateway.host;

import org.jspecify.annotations.NullMarked;
