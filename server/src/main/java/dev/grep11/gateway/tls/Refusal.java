package dev.grep11.gateway.tls;

import dev.grep11.gateway.trust.Verdict;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Why a connection does not open an instance.
 *
 * @param text for the client and the audit log
 */
public record Refusal(Cause cause, String text) {

  /** What stands in the way. */
  public sealed interface Cause {
    /** The client can do something about it: it showed no certificate, or one that is no good. */
    record Certificate(Verdict.Reason reason) implements Cause {}

    /**
     * The lock closed after the connection was made, and so the client had no occasion to show one:
     * it may have one, and show it on the next connection.
     */
    record NeverAsked() implements Cause {}

    /** The gateway does not know at present which certificates count. */
    record Unconfirmed() implements Cause {}

    /** The gateway has never heard of the instance. */
    record NoInstance() implements Cause {}
  }

  static final Refusal UNCONFIRMED =
      new Refusal(
          new Cause.Unconfirmed(),
          "the client CAs of the instance could not be confirmed within the lease");

  static final Refusal NO_INSTANCE =
      new Refusal(new Cause.NoInstance(), "there is no such instance");

  static final Refusal NO_CERTIFICATE =
      new Refusal(
          new Cause.Certificate(Verdict.Reason.NO_CERTIFICATE),
          "client certificate required: mutual TLS is on (no-certificate)");

  static final Refusal NEVER_ASKED =
      new Refusal(
          new Cause.NeverAsked(),
          "client certificate required: mutual TLS was turned on after this connection was made"
              + " (no-certificate); connect again and show one");

  static Refusal of(Verdict.Refused refused, List<X509Certificate> chain) {
    return new Refusal(
        new Cause.Certificate(refused.reason()),
        "client certificate refused: mutual TLS is on (%s): %s; %s"
            .formatted(refused.reason().word(), refused.text(), ShownCertificate.of(chain)));
  }

  /** The cause in one word, for whoever counts refusals. */
  public String word() {
    return switch (cause) {
      case Cause.Certificate(var reason) -> reason.word();
      case Cause.NeverAsked() -> Verdict.Reason.NO_CERTIFICATE.word();
      case Cause.Unconfirmed() -> "unconfirmed";
      case Cause.NoInstance() -> "no-instance";
    };
  }

  /** All that {@link #word} gives. */
  static Set<String> words() {
    return Stream.concat(
            Arrays.stream(Verdict.Reason.values()).map(Verdict.Reason::word),
            Stream.of(UNCONFIRMED.word(), NO_INSTANCE.word()))
        .collect(Collectors.toCollection(TreeSet::new));
  }
}
