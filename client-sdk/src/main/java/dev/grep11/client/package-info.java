@NullMarked
package dev.grep11.client;

import org.jspecify.annotations.NullMarked;
