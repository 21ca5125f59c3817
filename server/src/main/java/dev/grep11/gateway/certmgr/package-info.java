/**
 * Administration of the second lock: who may change which client CAs are registered, and what is
 * written down of it.
 */
@NullMarked
package dev.grep11.gateway.certmgr;

import org.jspecify.annotations.NullMarked;
