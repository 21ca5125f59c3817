package dev.grep11.gateway.tls;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Arrays;
import java.util.regex.Pattern;

/**
 * Addresses that begin with the same bits (RFC 4632, RFC 4291 2.3), such as {@code 10.1.0.0/16}.
 *
 * @param first of them: the bits after the prefix are 0
 */
public record AddressRange(InetAddress first, int prefixBits) {
  /** Four numbers, or hexadecimal ones with colons: no other form of a literal, and no name. */
  private static final Pattern LITERAL =
      Pattern.compile("(?:[0-9]{1,3}(?:\\.[0-9]{1,3}){3}|(?=.*:)[0-9A-Fa-f:.]+)");

  private static final Pattern BITS = Pattern.compile("[0-9]{1,3}");

  public AddressRange {
    if (prefixBits < 0 || prefixBits > Byte.SIZE * first.getAddress().length) {
      throw new IllegalArgumentException(
          first.getHostAddress() + " has no prefix of " + prefixBits + " bits");
    }
    if (!Arrays.equals(prefix(first, prefixBits), first.getAddress())) {
      throw new IllegalArgumentException(
          "%s/%d has bits after its prefix; did you mean %s/%d?"
              .formatted(
                  first.getHostAddress(),
                  prefixBits,
                  address(prefix(first, prefixBits)).getHostAddress(),
                  prefixBits));
    }
  }

  /**
   * Reads {@code ADDRESS/BITS}, or one address.
   *
   * @throws IllegalArgumentException saying what is wrong with it
   */
  public static AddressRange parse(String text) {
    var parts = text.split("/", -1);
    if (parts.length > 2 || !LITERAL.matcher(parts[0]).matches()) {
      throw new IllegalArgumentException(
          "\"" + text + "\" is no address range such as 10.1.0.0/16 or 2001:db8::/32");
    }
    InetAddress address;
    try {
      address = InetAddress.ofLiteral(parts[0]);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException("\"" + parts[0] + "\" is no address", e);
    }
    if (parts.length == 1) {
      return new AddressRange(address, Byte.SIZE * address.getAddress().length);
    }
    if (!BITS.matcher(parts[1]).matches()) {
      throw new IllegalArgumentException("\"" + text + "\" has no number of bits after the /");
    }
    return new AddressRange(address, Integer.parseInt(parts[1]));
  }

  /** An IPv4 address that came by an IPv6 socket is one of IPv4. */
  public boolean contains(InetAddress address) {
    var bytes = unmapped(address.getAddress());
    return bytes.length == first.getAddress().length
        && Arrays.equals(prefix(address(bytes), prefixBits), first.getAddress());
  }

  private static byte[] prefix(InetAddress address, int bits) {
    byte[] bytes = address.getAddress();
    for (int i = 0; i < bytes.length; i++) {
      int kept = Math.clamp(bits - (long) i * Byte.SIZE, 0, Byte.SIZE);
      bytes[i] &= (byte) (0xff << (Byte.SIZE - kept));
    }
    return bytes;
  }

  /** RFC 4291, 2.5.5.2; {@link InetAddress#getByAddress} does it too, but not every native one. */
  private static byte[] unmapped(byte[] address) {
    return address(address).getAddress();
  }

  private static InetAddress address(byte[] bytes) {
    try {
      return InetAddress.getByAddress(bytes);
    } catch (UnknownHostException e) {
      throw new IllegalArgumentException("an address has 4 or 16 bytes", e);
    }
  }

  @Override
  public String toString() {
    return first.getHostAddress() + "/" + prefixBits;
  }
}
