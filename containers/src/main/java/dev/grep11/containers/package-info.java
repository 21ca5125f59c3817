/** The image and the compose file as they are shipped, tried with a container engine. */
@NullMarked
package dev.grep11.containers;

import org.jspecify.annotations.NullMarked;
