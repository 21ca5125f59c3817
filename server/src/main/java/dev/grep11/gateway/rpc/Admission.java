package dev.grep11.gateway.rpc;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.iam.VerifiedToken;
import dev.grep11.gateway.operation.Requester;
import dev.grep11.gateway.pkcs11.HsmUnavailableException;
import dev.grep11.gateway.tls.Connection;
import dev.grep11.gateway.tls.Connections;
import dev.grep11.gateway.tls.Refusal;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/**
 * Decides on a call's headers whether its body is read at all: instance, network policy, client
 * certificate, token, action, in this order of network to application. Nothing of it is remembered
 * for the next call.
 */
final class Admission {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Metadata.Key<String> INSTANCE =
      Metadata.Key.of("bluemix-instance", Metadata.ASCII_STRING_MARSHALLER);

  private final InstanceSelection instances;
  private final NetworkAccess network;
  private final AccessControl accessControl;
  private final ClientCertificates clientCertificates;
  private final CallRates rates;

  Admission(
      InstanceSelection instances,
      NetworkAccess network,
      AccessControl accessControl,
      ClientCertificates clientCertificates,
      CallRates rates) {
    this.instances = instances;
    this.network = network;
    this.accessControl = accessControl;
    this.clientCertificates = clientCertificates;
    this.rates = rates;
  }

  /** From everywhere, as often as one likes. */
  Admission(
      InstanceSelection instances,
      AccessControl accessControl,
      ClientCertificates clientCertificates) {
    this(instances, NetworkAccess.OPEN, accessControl, clientCertificates, CallRates.ANY);
  }

  /** What a call was admitted with. */
  record Admitted(VerifiedToken token, Requester requester, Connection connection) {
    private static Admitted to(UUID instance, VerifiedToken token, Connection connection) {
      var subject = token.subject();
      return new Admitted(
          token, new Requester(instance, subject.issuer() + "|" + subject.id()), connection);
    }

    UUID instance() {
      return requester.instance();
    }
  }

  /** The instance of a call; needs no token, so that refusals are recorded with it. */
  UUID instance(ServerCall<?, ?> call, Metadata headers) {
    var connection = connection(call);
    return instances.select(
        connection.serverName().orElse(null), call.getAuthority(), values(headers, INSTANCE));
  }

  /**
   * Completes, perhaps later and on another thread, or fails with {@link RefusedException}.
   *
   * @param known is told whose token it is before it is decided what they may do
   */
  CompletableFuture<Admitted> admit(
      ServerCall<?, ?> call,
      Metadata headers,
      UUID instance,
      Set<String> actions,
      Consumer<VerifiedToken> known) {
    var connection = connection(call);
    network
        .refusal(instance, connection)
        .ifPresent(refusal -> {
          throw RefusedException.network(refusal);
        });
    judgeCertificate(connection, instance);
    return accessControl
        .authenticate(values(headers, AUTHORIZATION))
        .thenApply(principal -> {
          known.accept(principal);
          authorize(principal, instance, actions, connection);
          connection.welcome(principal.subject());
          var admitted = Admitted.to(instance, principal, connection);
          rates.spend(admitted.requester());
          return admitted;
        });
  }

  /** Once more, right before the token is used: the lock may have closed since. */
  void confirm(Admitted admitted) {
    judgeCertificate(admitted.connection(), admitted.instance());
  }

  static Connection connection(ServerCall<?, ?> call) {
    var connection = call.getAttributes().get(Connections.CONNECTION);
    if (connection == null) {
      throw RefusedException.unauthenticated("not a connection of a TLS listener");
    }
    return connection;
  }

  private void judgeCertificate(Connection connection, UUID instance) {
    clientCertificates
        .refusal(instance, connection)
        .ifPresent(refusal -> {
          throw switch (refusal.cause()) {
            case Refusal.Cause.Certificate _ -> RefusedException.unauthenticated(refusal.text());
            case Refusal.Cause.NeverAsked _ ->
                RefusedException.unauthenticatedForNow(refusal.text());
            case Refusal.Cause.Unconfirmed _ -> new HsmUnavailableException(refusal.text());
            case Refusal.Cause.NoInstance _ -> RefusedException.permissionDenied(refusal.text());
          };
        });
  }

  private static List<String> values(Metadata headers, Metadata.Key<String> key) {
    var given = headers.getAll(key);
    if (given == null) {
      return List.of();
    }
    var values = new ArrayList<String>(1);
    given.forEach(values::add);
    return values;
  }

  private void authorize(
      VerifiedToken token, UUID instance, Set<String> actions, Connection connection) {
    token
        .certificateThumbprint()
        .ifPresent(bound -> requireSameCertificate(bound, connection.thumbprint()));
    accessControl.authorize(token, instance, actions);
  }

  private static void requireSameCertificate(String bound, Optional<String> shown) {
    if (shown.isEmpty()
        || !MessageDigest.isEqual(bound.getBytes(US_ASCII), shown.get().getBytes(US_ASCII))) {
      throw RefusedException.unauthenticated("the token is bound to another client certificate");
    }
  }
}
