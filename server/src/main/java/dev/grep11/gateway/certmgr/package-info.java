/** The certificate manager: client CAs, their administrators, and the signed commands of these. */
@NullMarked
package dev.grep11.gateway.certmgr;

import org.jspecify.annotations.NullMarked;
