@NullMarked
package dev.grep11.gateway;

import org.jspecify.annotations.NullMarked;
