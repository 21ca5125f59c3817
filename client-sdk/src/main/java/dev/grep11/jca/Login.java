package dev.grep11.jca;

import dev.grep11.agent.config.ClientConfig.Token;
import dev.grep11.agent.config.ClientConfig.User;
import dev.grep11.agent.config.Secret;
import dev.grep11.agent.config.UserConnection;
import dev.grep11.agent.store.RemoteStore;
import dev.grep11.client.Grep11Client;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;

/**
 * Somebody who reaches a gateway, and the keystores that he has there.
 *
 * @param reach the gateway, with his rights
 * @param keystores what he sees; new entries go into the first
 * @param connection to close at the end; none of a client that is somebody else's
 */
record Login(RemoteStore.Reach reach, List<Place> keystores, Optional<UserConnection> connection) {

  /** A keystore, and what CKA_PRIVATE of its objects is. */
  record Place(RemoteStore store, boolean isPrivate) {}

  /** The normal user, in the private keystore and in the public one. */
  static Login ofUser(Token token, UserConnection connection) {
    return of(
        connection,
        List.of(
            place(connection, token.normal(), true), place(connection, token.anonymous(), false)));
  }

  /** Who does not log in, in the public keystore alone. */
  static Login ofAnonymous(Token token, UserConnection connection) {
    return of(connection, List.of(place(connection, token.anonymous(), false)));
  }

  private static Login of(UserConnection connection, List<Place> keystores) {
    return new Login(connection::ask, keystores, Optional.of(connection));
  }

  private static Place place(UserConnection connection, User owner, boolean isPrivate) {
    return new Place(
        new RemoteStore(connection::ask, owner.keystore().orElseThrow(), owner.keystorePassword()),
        isPrivate);
  }

  /** A client that the application has made. */
  static Login ofClient(Grep11Client client, Optional<UUID> keystore, Optional<Secret> password) {
    var reach = new OfClient(client);
    return new Login(
        reach,
        keystore
            .map(id -> List.of(new Place(new RemoteStore(reach, id, password), true)))
            .orElse(List.of()),
        Optional.empty());
  }

  private record OfClient(Grep11Client client) implements RemoteStore.Reach {
    @Override
    public <T> T ask(Function<Grep11Client, T> call) {
      return call.apply(client);
    }
  }

  void close() {
    connection.ifPresent(UserConnection::close);
  }
}
