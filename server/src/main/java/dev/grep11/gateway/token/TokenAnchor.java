package dev.grep11.gateway.token;

import static dev.grep11.gateway.pkcs11.Cka.CKA_APPLICATION;
import static dev.grep11.gateway.pkcs11.Cka.CKA_CLASS;
import static dev.grep11.gateway.pkcs11.Cka.CKA_LABEL;
import static dev.grep11.gateway.pkcs11.Cka.CKA_PRIVATE;
import static dev.grep11.gateway.pkcs11.Cka.CKA_TOKEN;
import static dev.grep11.gateway.pkcs11.Cka.CKA_VALUE;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.grep11.gateway.hsm.Session;
import dev.grep11.gateway.pkcs11.Cko;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import dev.grep11.gateway.pkcs11.Template;
import dev.grep11.gateway.store.GenerationAnchor;
import java.time.Duration;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;

/**
 * The store's generation as data objects on the token, labelled with the id of the store key.
 *
 * <p>An object is never changed: SoftHSM cannot update a value, and loses an object whose label it
 * updates when the process is killed meanwhile. The next one is made first, then the older ones are
 * destroyed, and the highest rules; so a kill at any moment leaves at least one. The objects are
 * private, so that nobody without the PIN reads, removes or makes them through PKCS #11: a public
 * session may make public objects of any label and value, which count for nothing here (PKCS #11
 * v2.40, 2.4).
 */
public final class TokenAnchor implements GenerationAnchor {
  private static final Pattern NUMBER = Pattern.compile("\\d{1,18}");

  /** Each look that finds an object vanish means that another process went on in between. */
  private static final int LOOKS = 20;

  private static final int ATTEMPTS = 5;
  private static final Duration PAUSE = Duration.ofMillis(20);

  private final HsmCalls hsm;
  private final String label;

  public TokenAnchor(HsmCalls hsm, TokenKeys keys) {
    this.hsm = hsm;
    this.label = "grep11 store " + HexFormat.of().formatHex(keys.storeKey()) + " generation";
  }

  @Override
  public String name() {
    return "data object \"" + label + "\"";
  }

  @Override
  public long highest() {
    return hsm.call(session -> highest(generations(session)));
  }

  /**
   * SoftHSM answers CKR_GENERAL_ERROR now and then while another session looks at the same objects;
   * to ask again does no harm, since the highest rules.
   */
  @Override
  public void advance(long generation) {
    for (int attempt = 1; ; attempt++) {
      try {
        tryToAdvance(generation);
        return;
      } catch (Pkcs11Exception e) {
        if (attempt == ATTEMPTS) {
          throw e;
        }
        LockSupport.parkNanos(PAUSE.multipliedBy(attempt).toNanos());
      }
    }
  }

  private void tryToAdvance(long generation) {
    var _ =
        hsm.call(session -> {
          var before = generations(session);
          if (highest(before) < generation) {
            session.createObject(
                objects()
                    .put(CKA_PRIVATE, true)
                    .put(CKA_APPLICATION, "grep11-gateway".getBytes(US_ASCII))
                    .put(CKA_VALUE, Long.toString(generation).getBytes(US_ASCII))
                    .build());
            before.keySet().forEach(object -> forget(session, object));
          }
          return true;
        });
  }

  private static long highest(Map<Long, Long> generations) {
    return generations.values().stream().mapToLong(Long::longValue).max().orElse(0);
  }

  /** By object. All that were there at one moment, or the highest of them would not be known. */
  private Map<Long, Long> generations(Session session) {
    for (int look = 1; ; look++) {
      try {
        var found = new LinkedHashMap<Long, Long>();
        for (long object : session.findObjects(objects().build())) {
          var attributes = session.attributes(object, CKA_PRIVATE, CKA_VALUE);
          // Not every token heeds each attribute of a search.
          if (attributes.isTrue(CKA_PRIVATE)) {
            found.put(object, generation(attributes));
          }
        }
        return found;
      } catch (Pkcs11Exception | NumberFormatException e) {
        if (look == LOOKS) {
          throw new StartException(
              "%s on the token cannot be read: %s".formatted(name(), e.getMessage()), e);
        }
      }
    }
  }

  private static long generation(Template attributes) {
    var value = new String(attributes.bytes(CKA_VALUE).orElse(new byte[0]), US_ASCII);
    if (!NUMBER.matcher(value).matches()) {
      throw new NumberFormatException("its value is no number");
    }
    return Long.parseLong(value);
  }

  private static void forget(Session session, long object) {
    try {
      session.destroyObject(object);
    } catch (Pkcs11Exception _) {
      // Another process was faster, or it stays until the next advance: the highest rules.
    }
  }

  private Template.Builder objects() {
    return Template.builder()
        .put(CKA_CLASS, Cko.CKO_DATA)
        .put(CKA_TOKEN, true)
        .put(CKA_PRIVATE, true)
        .put(CKA_LABEL, label.getBytes(US_ASCII));
  }
}
