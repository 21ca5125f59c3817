/** What is wrong with an installation, one line for each thing looked at; nothing is changed. */
@NullMarked
package dev.grep11.doctor;

import org.jspecify.annotations.NullMarked;
