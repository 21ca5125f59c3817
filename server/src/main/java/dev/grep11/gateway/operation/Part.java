package dev.grep11.gateway.operation;

/**
 * What an Update gives back.
 *
 * @param state to go on from; the one before stays good
 * @param output what could be worked on by now; empty for hashes and signatures
 */
public record Part(byte[] state, byte[] output) {}
