package dev.grep11.gateway.tls;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.tls.RefusedConnection.Reason;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.embedded.EmbeddedChannel;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Who is let in, by a clock of the test. */
class ConnectionGateTest {
  private static final int MANY = 1_000_000;

  private final AtomicLong nanos = new AtomicLong();
  private final List<Reason> refusals = new ArrayList<>();
  private @Nullable ConnectionGate gate;
  private int port = 1024;

  private void limits(ConnectionLimits limits) {
    gate = new ConnectionGate(limits, refused -> refusals.add(refused.reason()), nanos::get);
  }

  /** A client's end at the gate; open when it was let in. */
  private Channel arrive(String address) throws UnknownHostException {
    var remote = new InetSocketAddress(InetAddress.getByName(address), port++);
    var client =
        new EmbeddedChannel() {
          @Override
          protected SocketAddress remoteAddress0() {
            return remote;
          }
        };
    var acceptor = new EmbeddedChannel(gate);
    acceptor.writeInbound(client);
    assertThat(acceptor.inboundMessages().isEmpty()).isEqualTo(!client.isOpen());
    return client;
  }

  /** Also of those that were sent away a moment ago. */
  private static boolean isOpen(Channel channel) {
    ((EmbeddedChannel) channel).runPendingTasks();
    return channel.isOpen();
  }

  private static void leave(Channel channel) {
    channel.close().syncUninterruptibly();
  }

  private static Channel admitted(Channel channel) {
    return admitted(channel, "somebody");
  }

  private static Channel admitted(Channel channel, String caller) {
    ConnectionGate.shookHands(channel);
    var _ = ConnectionGate.welcome(channel, caller);
    return channel;
  }

  @Test
  void refusesANewOneWhereAllThatAreOpenAreKnown() throws Exception {
    limits(new ConnectionLimits(2, MANY, MANY, MANY, MANY, MANY, MANY, Duration.ofMinutes(1)));
    var first = admitted(arrive("192.0.2.1"));
    var second = admitted(arrive("192.0.2.2"));

    var third = arrive("192.0.2.3");

    assertThat(isOpen(third)).isFalse();
    assertThat(isOpen(first)).isTrue();
    assertThat(refusals).containsExactly(Reason.CONNECTIONS);
    leave(second);
    assertThat(isOpen(arrive("192.0.2.3"))).isTrue();
  }

  @Test
  void theStrangerThatWasThereTheLongestMakesRoom() throws Exception {
    limits(new ConnectionLimits(3, MANY, MANY, MANY, MANY, MANY, MANY, Duration.ofMinutes(1)));
    var known = admitted(arrive("192.0.2.1"));
    var idle = arrive("192.0.2.2");
    ConnectionGate.shookHands(idle);
    var younger = arrive("192.0.2.3");

    var next = arrive("192.0.2.4");

    assertThat(isOpen(idle)).isFalse();
    assertThat(isOpen(known)).isTrue();
    assertThat(isOpen(younger)).isTrue();
    assertThat(isOpen(next)).isTrue();
    assertThat(refusals).containsExactly(Reason.CONNECTIONS);
  }

  @Test
  void ofACallerWhoHasVeryManyTheFurtherOnesMakeRoom() throws Exception {
    limits(new ConnectionLimits(4, MANY, 2, MANY, MANY, MANY, MANY, Duration.ofMinutes(1)));
    var first = admitted(arrive("192.0.2.1"), "many");
    var second = admitted(arrive("192.0.2.2"), "many");
    var third = admitted(arrive("192.0.2.3"), "many");
    assertThat(ConnectionGate.welcome(third, "many")).as("asked again").isFalse();
    assertThat(ConnectionGate.isStranger(third)).as("in what it may send").isFalse();
    var other = admitted(arrive("192.0.2.4"), "few");

    var next = admitted(arrive("192.0.2.5"), "few");

    assertThat(isOpen(third)).isFalse();
    assertThat(ConnectionGate.welcome(second, "many")).isTrue();
    assertThat(List.of(isOpen(first), isOpen(second), isOpen(other), isOpen(next)))
        .containsOnly(true);
    leave(first);
    // Whatever else was said of one that has left, its place is free.
    assertThat(ConnectionGate.welcome(first, "many")).isTrue();
    var again = admitted(arrive("192.0.2.1"), "many");
    assertThat(isOpen(arrive("192.0.2.6"))).as("all that are open are known").isFalse();
    assertThat(isOpen(again)).isTrue();
    assertThat(refusals).containsExactly(Reason.CONNECTIONS, Reason.CONNECTIONS);
  }

  @ParameterizedTest
  @CsvSource({
    "192.0.2.1,     192.0.2.1,     true",
    "192.0.2.1,     192.0.2.2,     false",
    "2001:db8::1,   2001:db8::2,   true",
    "2001:db8::1,   2001:db8:0:1::1, false",
    "::ffff:192.0.2.1, 192.0.2.1,  true"
  })
  void countsAnIpv4AddressAndAnIpv6Subnet(String first, String second, boolean same)
      throws Exception {
    limits(new ConnectionLimits(MANY, 1, MANY, MANY, MANY, MANY, MANY, Duration.ofMinutes(1)));
    admitted(arrive(first));

    assertThat(isOpen(arrive(second))).isEqualTo(!same);
    assertThat(refusals).isEqualTo(same ? List.of(Reason.CONNECTIONS_OF_ADDRESS) : List.of());
  }

  @Test
  void theOldestOfTooManyHandshakesEndsAndThoseThatAreDoneDoNot() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, 3, 2, MANY, MANY, Duration.ofMinutes(1)));
    var done = arrive("192.0.2.1");
    ConnectionGate.shookHands(done);
    var oldest = arrive("192.0.2.1");
    var ofOther = arrive("192.0.2.2");
    var second = arrive("192.0.2.1");

    var third = arrive("192.0.2.1");

    assertThat(isOpen(oldest)).as("the oldest of the address").isFalse();
    assertThat(List.of(isOpen(done), isOpen(ofOther), isOpen(second), isOpen(third)))
        .containsOnly(true);
    var ofThirdAddress = arrive("192.0.2.3");
    assertThat(isOpen(ofOther)).as("the oldest of all").isFalse();
    assertThat(isOpen(ofThirdAddress)).isTrue();
    assertThat(refusals).containsExactly(Reason.HANDSHAKES_OF_ADDRESS, Reason.HANDSHAKES);
  }

  @Test
  void whoIsRecognizedComesBackDuringAFloodOfStrangersAndMakesRoom() throws Exception {
    limits(new ConnectionLimits(2, MANY, MANY, MANY, MANY, 1, MANY, Duration.ofMinutes(1)));
    var probe = arrive("192.0.2.1");
    ConnectionGate.shookHands(probe);
    ConnectionGate.recognize(probe);
    for (int i = 2; i < 50; i++) {
      arrive("198.51.100." + i);
    }

    assertThat(isOpen(probe)).as("it was the oldest where all are strangers").isFalse();
    assertThat(isOpen(arrive("198.51.100.1"))).as("one more stranger").isFalse();
    assertThat(refusals.getLast()).isEqualTo(Reason.RATE);
    assertThat(isOpen(arrive("192.0.2.1"))).as("the next probe").isTrue();
  }

  @Test
  void anAddressComesAtARateAndAsABurstAfterAPause() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, MANY, 2, Duration.ofMinutes(1)));
    int burst = 2 * ConnectionLimits.BURST_SECONDS;
    for (int i = 0; i < burst; i++) {
      assertThat(isOpen(arrive("192.0.2.1"))).isTrue();
    }

    assertThat(isOpen(arrive("192.0.2.1"))).isFalse();
    assertThat(isOpen(arrive("192.0.2.2"))).isTrue();
    nanos.addAndGet(Duration.ofMillis(500).toNanos());
    assertThat(isOpen(arrive("192.0.2.1"))).isTrue();
    assertThat(isOpen(arrive("192.0.2.1"))).isFalse();
    assertThat(refusals).containsOnly(Reason.RATE_OF_ADDRESS).hasSize(2);
  }

  @Test
  void aFloodFromManyAddressesKeepsThoseAwayWhereNobodyIsServed() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, 1, MANY, Duration.ofMinutes(1)));
    var served = admitted(arrive("192.0.2.1"));
    var left = admitted(arrive("192.0.2.2"));
    leave(left);
    for (int i = 0; i < ConnectionLimits.BURST_SECONDS; i++) {
      arrive("198.51.100." + i);
    }

    assertThat(isOpen(arrive("198.51.100.200"))).isFalse();
    assertThat(isOpen(arrive("192.0.2.1"))).as("one of whom more is there").isTrue();
    assertThat(isOpen(arrive("192.0.2.2"))).as("one who left of late").isTrue();
    assertThat(isOpen(served)).isTrue();
    nanos.addAndGet(Duration.ofMinutes(11).toNanos());
    for (int i = 0; i < ConnectionLimits.BURST_SECONDS; i++) {
      arrive("198.51.100." + i);
    }
    assertThat(isOpen(arrive("192.0.2.2"))).as("one who left long ago").isFalse();
    assertThat(refusals).containsOnly(Reason.RATE);
  }

  @Test
  void whatHasGoneCountsNoMore() throws Exception {
    limits(new ConnectionLimits(2, 2, MANY, 2, 2, MANY, MANY, Duration.ofMinutes(1)));
    for (int i = 0; i < 1000; i++) {
      leave(arrive("192.0.2.1"));
      leave(admitted(arrive("192.0.2.1")));
    }

    assertThat(refusals).isEmpty();
    assertThat(gate == null ? -1 : gate.open()).isZero();
  }

  /** How many calls it may begin before it is cut off. */
  private int calls(Channel channel, int most) {
    // HEADERS (RFC 9113, 6.2) that end their stream.
    return frames(channel, 1, 5, most);
  }

  private int frames(Channel channel, int type, int flags, int most) {
    var client = (EmbeddedChannel) channel;
    client.pipeline().addLast(new FrameLimit(refused -> refusals.add(refused.reason())));
    client.writeInbound(Unpooled.copiedBuffer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", US_ASCII));
    int refusedBefore = refusals.size();
    int calls = 0;
    while (calls < most && refusals.size() == refusedBefore) {
      client.writeInbound(
          Unpooled.wrappedBuffer(new byte[] {0, 0, 0, (byte) type, (byte) flags, 0, 0, 0, 1}));
      client.releaseInbound();
      calls++;
    }
    return calls;
  }

  @Test
  void strangersMayBeginSoManyCallsOfAnAddressAndThoseWhoAreKnownAnyNumber() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, MANY, MANY, Duration.ofMinutes(1)));
    var stranger = arrive("192.0.2.1");
    var known = admitted(arrive("192.0.2.1"));

    assertThat(calls(stranger, MANY)).isBetween(2001, 2100);
    assertThat(isOpen(stranger)).isFalse();
    assertThat(refusals).containsExactly(Reason.FRAMES_OF_ADDRESS);
    refusals.clear();

    assertThat(calls(known, 10_000)).isEqualTo(10_000);
    assertThat(calls(arrive("192.0.2.1"), 10)).as("the innocent behind it").isEqualTo(10);
    assertThat(calls(arrive("192.0.2.1"), MANY)).isLessThan(100);
    assertThat(calls(arrive("192.0.2.2"), 1000)).isEqualTo(1000);
    assertThat(refusals).containsExactly(Reason.FRAMES_OF_ADDRESS);
  }

  /** RST_STREAM, PING and CONTINUATION. */
  @ParameterizedTest
  @org.junit.jupiter.params.provider.ValueSource(ints = {3, 6, 9})
  void framesThatDoNoWorkCountForTheAddressAlsoOfThoseWhoAreKnown(int type) throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, MANY, MANY, Duration.ofMinutes(1)));
    assertThat(frames(admitted(arrive("192.0.2.1")), type, 0, MANY)).isBetween(2001, 2100);
    assertThat(refusals).containsExactly(Reason.FRAMES_OF_ADDRESS);
    assertThat(frames(admitted(arrive("192.0.2.1")), type, 0, MANY)).isBetween(2, 20);
    assertThat(frames(arrive("192.0.2.1"), type, 0, 1000)).as("a stranger").isEqualTo(1000);
    assertThat(frames(arrive("192.0.2.1"), type, 0, MANY)).isBetween(1000, 1100);
    assertThat(frames(arrive("192.0.2.1"), type, 0, MANY)).isBetween(2, 20);
    assertThat(frames(arrive("192.0.2.2"), type, 0, 2000)).isEqualTo(2000);
  }

  @Test
  void strangersHaveNoKnownAddressForgotten() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, 1, MANY, Duration.ofMinutes(1)));
    leave(admitted(arrive("192.0.2.1")));
    for (int i = 0; i < 20_000; i++) {
      var _ = arriveAndLeave("10.%d.%d.%d".formatted(i >> 16, i >> 8 & 255, i & 255));
    }
    assertThat(arrive("198.51.100.1").isOpen()).as("a stranger").isFalse();
    assertThat(arrive("192.0.2.1").isOpen()).as("who was known").isTrue();
  }

  private Channel arriveAndLeave(String address) throws Exception {
    var channel = arrive(address);
    leave(channel);
    return channel;
  }

  @Test
  void anAddressGetsNoNewRateByLeaving() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, MANY, 2, Duration.ofMinutes(1)));
    int let = 0;
    for (int i = 0; i < 100; i++) {
      var channel = arrive("192.0.2.1");
      let += channel.isOpen() ? 1 : 0;
      leave(channel);
    }
    assertThat(let).isEqualTo(10);
  }

  @Test
  void ofStrangersThatLeftNoMoreAreRememberedThanSoMany() throws Exception {
    limits(new ConnectionLimits(MANY, MANY, MANY, MANY, MANY, MANY, 1, Duration.ofMinutes(1)));
    for (int i = 0; i < 5; i++) {
      var _ = arriveAndLeave("192.0.2.1");
    }
    assertThat(arrive("192.0.2.1").isOpen()).as("beyond its rate").isFalse();
    for (int i = 0; i < 20_000; i++) {
      var _ = arriveAndLeave("10.%d.%d.%d".formatted(i >> 16, i >> 8 & 255, i & 255));
    }
    assertThat(arrive("192.0.2.1").isOpen()).as("forgotten").isTrue();
  }
}
