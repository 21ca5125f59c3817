@NullMarked
package dev.grep11.demo;

import org.jspecify.annotations.NullMarked;
