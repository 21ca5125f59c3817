/**
 * A SoftHSM token, provisioned: for development, demonstration and tests. Runs the distribution's
 * {@code softhsm2-util}; touches no other token of the user.
 */
@NullMarked
package dev.grep11.softhsm;

import org.jspecify.annotations.NullMarked;
