package dev.grep11.client.certmgr;

import java.security.cert.X509Certificate;
import java.time.Instant;

/** A client CA, under the id that its administrator gave it. */
public record RegisteredCertificate(String id, X509Certificate certificate, Instant registered) {}
