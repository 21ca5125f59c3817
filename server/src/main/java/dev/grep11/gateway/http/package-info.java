/**
 * HTTP/1.1 behind the gate of all ports, for those that reach no key: tokens, and what supervisors
 * ask.
 *
 * <p>{@link dev.grep11.gateway.http.HttpListener} reads requests within {@link
 * dev.grep11.gateway.http.HttpLimits} and hands them to {@link dev.grep11.gateway.http.Pages}.
 */
@NullMarked
package dev.grep11.gateway.http;

import org.jspecify.annotations.NullMarked;
