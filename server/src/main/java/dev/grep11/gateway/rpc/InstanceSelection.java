package dev.grep11.gateway.rpc;

import java.util.Locale;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Which instance a call is for: the listener's own, the host name's, the header's. Whatever is
 * present must agree; nothing present is a refusal.
 */
final class InstanceSelection {
  /** {@code <UUID>.ep11.<region>.…} and its private variant. */
  private static final Pattern HOST =
      Pattern.compile("([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\\.ep11\\..*");

  private static final int UUID_LENGTH = 36;
  private static final String SERVICE = ".ep11.";

  private final Optional<UUID> ofListener;

  InstanceSelection(Optional<UUID> ofListener) {
    this.ofListener = ofListener;
  }

  /**
   * The instance of a call.
   *
   * @param serverName SNI of the handshake, null when the client sent none
   * @param authority of the call, null when the client sent none
   * @param header values of {@code bluemix-instance}
   */
  UUID select(@Nullable String serverName, @Nullable String authority, Iterable<String> header) {
    var selected = ofListener;
    selected = agree(selected, ofHost(serverName));
    selected = agree(selected, ofHost(authority));
    for (var value : header) {
      selected = agree(selected, Optional.of(ofHeader(value)));
    }
    return selected.orElseThrow(
        () -> RefusedException.permissionDenied("neither host name nor header names an instance"));
  }

  /** The class UUID also takes groups of other lengths, so that one UUID has many texts. */
  private static UUID ofHeader(String value) {
    try {
      var named = UUID.fromString(value);
      if (value.length() == UUID_LENGTH && named.toString().equalsIgnoreCase(value)) {
        return named;
      }
    } catch (IllegalArgumentException e) {
      // As for another text.
    }
    throw RefusedException.permissionDenied("bluemix-instance is not a UUID");
  }

  private static Optional<UUID> ofHost(@Nullable String host) {
    if (host == null || !host.regionMatches(true, UUID_LENGTH, SERVICE, 0, SERVICE.length())) {
      return Optional.empty();
    }
    var matcher = HOST.matcher(host.toLowerCase(Locale.ROOT));
    return matcher.matches() ? Optional.of(UUID.fromString(matcher.group(1))) : Optional.empty();
  }

  private static Optional<UUID> agree(Optional<UUID> selected, Optional<UUID> next) {
    if (selected.isPresent() && next.isPresent() && !selected.equals(next)) {
      throw RefusedException.permissionDenied("the instance is named in two ways that disagree");
    }
    return selected.isPresent() ? selected : next;
  }
}
