/**
 * The certificate administrator's command line, {@code certmgr}, also known as {@code
 * hpcs-cert-mgr}: the documented commands, files and output, over {@link
 * dev.grep11.client.certmgr}.
 */
@NullMarked
package dev.grep11.certmgr;

import org.jspecify.annotations.NullMarked;
