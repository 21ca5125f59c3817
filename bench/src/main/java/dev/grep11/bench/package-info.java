@NullMarked
package dev.grep11.bench;

import org.jspecify.annotations.NullMarked;
