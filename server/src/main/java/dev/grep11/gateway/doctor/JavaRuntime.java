package dev.grep11.gateway.doctor;

import dev.grep11.findings.Findings;
import dev.grep11.gateway.tls.ServerTls;

/** The Java that runs a gateway, its flags, and its TLS library. */
final class JavaRuntime {
  private static final int OLDEST = 25;
  private static final String LAUNCHER = "start by ./grep11, or add ";

  private JavaRuntime() {}

  static void look(Surroundings surroundings, Findings findings) {
    var version = surroundings.java();
    if (version.feature() < OLDEST) {
      findings.bad(
          "Java",
          "this is Java %s, and %d is needed".formatted(version, OLDEST),
          "install a JDK %d or later, and set JAVA_HOME".formatted(OLDEST));
    } else {
      findings.good("Java", "Java " + version);
    }
    int before = findings.all().size();
    requireFlag(
        surroundings,
        findings,
        "DisableAttachMechanism",
        "true",
        "who has this user's rights can attach to the gateway and read what is in its memory",
        "-XX:+DisableAttachMechanism");
    requireFlag(
        surroundings,
        findings,
        "HeapDumpOnOutOfMemoryError",
        "false",
        "a gateway that is out of memory writes tokens and payloads to a file",
        "-XX:-HeapDumpOnOutOfMemoryError");
    if (findings.all().size() == before) {
      findings.good("Java flags", "no attaching, no heap dumps");
    }
    try {
      ServerTls.requireNoResumption();
      findings.good("TLS library", "BoringSSL is there, sessions are not resumed");
    } catch (IllegalStateException e) {
      findings.bad(
          "TLS library",
          String.valueOf(e.getMessage()),
          "start by ./grep11; the library is there for Linux on x86_64 and aarch64 with glibc");
    }
  }

  private static void requireFlag(
      Surroundings surroundings,
      Findings findings,
      String name,
      String value,
      String otherwise,
      String option) {
    var found = surroundings.flag().apply(name);
    if (found.isPresent() && !found.get().equals(value)) {
      findings.warning(
          "Java flags", "%s is %s: %s".formatted(name, found.get(), otherwise), LAUNCHER + option);
    }
  }
}
