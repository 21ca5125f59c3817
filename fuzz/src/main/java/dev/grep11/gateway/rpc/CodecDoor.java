package dev.grep11.gateway.rpc;

import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.Template;
import java.util.Map;
import org.jspecify.annotations.NullMarked;

/** Lets the fuzz targets into the codec, which stays closed to everybody else. */
@NullMarked
public final class CodecDoor {
  public static Mechanism mechanism(dev.grep11.proto.Mechanism wire) {
    return Codec.mechanism(true, wire);
  }

  public static Template template(Map<Long, dev.grep11.proto.AttributeValue> wire) {
    return Codec.template(wire);
  }

  /** To the wire; what came from it can always go back. */
  public static Map<Long, dev.grep11.proto.AttributeValue> attributes(Template template) {
    return Codec.attributes(template);
  }

  private CodecDoor() {}
}
