package dev.grep11.certmgr;

import java.util.UUID;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * The Cloud Resource Name of an instance; only the UUID in its eighth segment counts.
 *
 * @param text as it was given
 */
record Crn(String text, UUID instance) {
  static final String FORM =
      "crn:v1:grep11:public:hs-crypto:<location>:a/<account>:<instance UUID>::";

  private static final int INSTANCE_SEGMENT = 7;
  private static final Pattern UUID_FORM =
      Pattern.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");

  static Crn of(String text) {
    var segments = text.split(":", -1);
    if (!segments[0].equals("crn")
        || segments.length <= INSTANCE_SEGMENT
        || !UUID_FORM.matcher(segments[INSTANCE_SEGMENT]).matches()) {
      throw new IllegalArgumentException("expected " + FORM);
    }
    return new Crn(text, UUID.fromString(segments[INSTANCE_SEGMENT]));
  }

  static final class Converter implements ITypeConverter<Crn> {
    @Override
    public Crn convert(String value) {
      try {
        return of(value);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException("\"%s\" is no CRN; %s".formatted(value, e.getMessage()));
      }
    }
  }
}
