package dev.grep11.gateway.tls;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.net.InetAddress;
import java.net.UnknownHostException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which addresses a range holds, and which texts are none. */
class AddressRangeTest {
  @ParameterizedTest
  @CsvSource({
    "10.1.0.0/16,     10.1.255.255,     true",
    "10.1.0.0/16,     10.2.0.0,         false",
    "10.1.2.128/25,   10.1.2.127,       false",
    "10.1.2.128/25,   10.1.2.200,       true",
    "0.0.0.0/0,       203.0.113.9,      true",
    "0.0.0.0/0,       2001:db8::1,      false",
    "192.0.2.7,       192.0.2.7,        true",
    "192.0.2.7,       192.0.2.8,        false",
    "192.0.2.7/32,    ::ffff:192.0.2.7, true",
    "2001:db8::/32,   2001:db8:ffff::1, true",
    "2001:db8::/32,   2001:db9::1,      false",
    "2001:db8::1,     2001:db8::1,      true",
    "::/0,            192.0.2.7,        false",
    "fe80::/10,       febf::1,          true"
  })
  void holdsTheAddressesThatBeginAsItDoes(String range, String address, boolean held)
      throws Exception {
    assertThat(AddressRange.parse(range).contains(InetAddress.getByName(address))).isEqualTo(held);
  }

  @ParameterizedTest
  @CsvSource({
    "10.1.2.3/16,       did you mean 10.1.0.0/16?",
    "2001:db8::1/32,    did you mean 2001:db8:0:0:0:0:0:0/32?",
    "10.1.0.0/33,       no prefix of 33 bits",
    "2001:db8::/129,    no prefix of 129 bits",
    "10.1.0.0/,         no number of bits",
    "10.1.0.0/-1,       no number of bits",
    "10.1.0.0/8/8,      no address range",
    "10.1/16,           no address range",
    "localhost,         no address range",
    "gateway.example/8, no address range",
    "999.1.1.1,         is no address",
    "'',                no address range"
  })
  void saysWhatIsWrongWithAText(String text, String problem) {
    assertThatThrownBy(() -> AddressRange.parse(text))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(problem);
  }

  @Test
  void asksNoResolverForWhatOnlyLooksLikeAnAddress() {
    assertThatThrownBy(() -> AddressRange.parse("999.1.1.1"))
        .satisfies(
            refusal -> assertThat(refusal.getCause()).isNotInstanceOf(UnknownHostException.class));
  }
}
