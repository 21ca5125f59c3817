/**
 * What is wrong with a gateway's host, token, database and files, told without changing any of it:
 * {@code grep11 doctor --config}. One class for each subject.
 */
@NullMarked
package dev.grep11.gateway.doctor;

import org.jspecify.annotations.NullMarked;
