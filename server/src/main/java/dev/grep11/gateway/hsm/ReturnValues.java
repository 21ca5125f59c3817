package dev.grep11.gateway.hsm;

import dev.grep11.gateway.pkcs11.Ckr;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Collectors;

/**
 * How often calls gave which return value, by its name; {@code vendor} for those that the standard
 * does not name, of which a token may have any number. Safe for use by several threads.
 */
final class ReturnValues {
  private static final String VENDOR = "vendor";

  /** With one from the start: who reads them finds the count before the first failure too. */
  private final Map<String, LongAdder> counted =
      new ConcurrentHashMap<>(Map.of(VENDOR, new LongAdder()));

  void count(long returnValue) {
    var name = Ckr.isKnown(returnValue) ? Ckr.name(returnValue) : VENDOR;
    counted.computeIfAbsent(name, _ -> new LongAdder()).increment();
  }

  Map<String, Long> counts() {
    return counted.entrySet().stream()
        .collect(Collectors.toUnmodifiableMap(Map.Entry::getKey, each -> each.getValue().sum()));
  }
}
