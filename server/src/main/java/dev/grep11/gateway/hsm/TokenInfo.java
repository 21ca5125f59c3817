package dev.grep11.gateway.hsm;

/** What CK_TOKEN_INFO tells about the token, without the padding. */
public record TokenInfo(
    String label, String serial, String manufacturer, String model, String firmware) {}
