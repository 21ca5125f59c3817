@NullMarked
package dev.grep11.softhsm;

import org.jspecify.annotations.NullMarked;
