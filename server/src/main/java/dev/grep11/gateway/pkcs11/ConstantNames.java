package dev.grep11.gateway.pkcs11;

import java.lang.reflect.Modifier;
import java.util.HashMap;
import java.util.Map;

/** Names of the constants that a class of header numbers declares. */
record ConstantNames(Map<Long, String> byValue) {

  static ConstantNames of(Class<?> declaring, String prefix) {
    var names = new HashMap<Long, String>();
    for (var field : declaring.getDeclaredFields()) {
      if (Modifier.isPublic(field.getModifiers()) && field.getName().startsWith(prefix)) {
        try {
          names.putIfAbsent(field.getLong(null), field.getName());
        } catch (IllegalAccessException e) {
          throw new LinkageError(field.getName(), e);
        }
      }
    }
    return new ConstantNames(Map.copyOf(names));
  }

  boolean has(long value) {
    return byValue.containsKey(value);
  }

  String name(long value) {
    var name = byValue.get(value);
    return name == null ? "0x" + Long.toHexString(value) : name;
  }
}
