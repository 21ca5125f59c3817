/** Where token objects are kept: records of attributes and sealed key blobs. */
@NullMarked
package dev.grep11.agent.store;

import org.jspecify.annotations.NullMarked;
