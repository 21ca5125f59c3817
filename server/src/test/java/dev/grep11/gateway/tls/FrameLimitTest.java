package dev.grep11.gateway.tls;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.tls.RefusedConnection.Reason;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What a client sends, byte by byte or at once, up to where it is cut off. */
class FrameLimitTest {
  private static final int DATA = 0;
  private static final int HEADERS = 1;
  private static final int PRIORITY = 2;
  private static final int SETTINGS = 4;
  private static final int WINDOW_UPDATE = 8;
  private static final int UNKNOWN = 0xfa;
  private static final int END_STREAM = 1;
  private static final int ACK = 1;
  private static final int PADDED = 8;

  /** All that a pause brings, and what comes back while a slow machine tests. */
  private static final int FAR_TOO_MANY = 20_000;

  private final List<Reason> refusals = new ArrayList<>();
  private final EmbeddedChannel channel =
      new EmbeddedChannel(new FrameLimit(refused -> refusals.add(refused.reason())));

  private static ByteBuf preface() {
    return Unpooled.copiedBuffer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", US_ASCII);
  }

  private static ByteBuf frame(int type, int flags, int length) {
    return Unpooled.buffer()
        .writeMedium(length)
        .writeByte(type)
        .writeByte(flags)
        .writeInt(1)
        .writeZero(length);
  }

  private void send(ByteBuf bytes) {
    channel.writeInbound(bytes);
    channel.releaseInbound();
  }

  /** Until it is cut off. */
  private int sends(int type, int flags, int length) {
    for (int i = 0; i < FAR_TOO_MANY; i++) {
      send(frame(type, flags, length));
      if (!refusals.isEmpty()) {
        return i;
      }
    }
    return FAR_TOO_MANY;
  }

  @Test
  void payloadsOfZerosAreNoFrames() {
    send(preface());
    for (int call = 0; call < 500; call++) {
      send(frame(HEADERS, 4, 900));
      for (int piece = 0; piece < 64; piece++) {
        send(frame(DATA, 0, 16_384));
      }
      send(frame(WINDOW_UPDATE, 0, 4));
      send(frame(DATA, END_STREAM, 0));
    }
    assertThat(refusals).isEmpty();
  }

  @Test
  void whereTheBytesAreCutChangesNothing() {
    var random = new Random(7);
    var all = preface();
    for (int call = 0; call < 200; call++) {
      all.writeBytes(frame(HEADERS, 4, 40));
      all.writeBytes(frame(DATA, 0, 5 + random.nextInt(20_000)));
      all.writeBytes(frame(DATA, END_STREAM, 0));
    }
    while (all.isReadable()) {
      send(all.readRetainedSlice(Math.min(all.readableBytes(), 1 + random.nextInt(40))));
    }
    assertThat(refusals).isEmpty();
    assertThat(sends(PRIORITY, 0, 5)).isBetween(900, FAR_TOO_MANY - 1);
  }

  @Test
  void aStreamThatIsNotSeenFromItsBeginningIsLeftAlone() {
    send(frame(SETTINGS, ACK, 0));
    assertThat(sends(SETTINGS, 0, 0)).isEqualTo(FAR_TOO_MANY);
  }

  @Test
  void whatHasNoUseIsCutOff() {
    for (var frame :
        new int[][] {
          {SETTINGS, 0, 0},
          {PRIORITY, 0, 5},
          {UNKNOWN, 0, 3},
          {WINDOW_UPDATE, 0, 4},
          {DATA, 0, 0},
          {DATA, 0, 1},
          {DATA, PADDED, 300}
        }) {
      refusals.clear();
      var fresh = new EmbeddedChannel(new FrameLimit(refused -> refusals.add(refused.reason())));
      fresh.writeInbound(preface());
      int sent = 0;
      for (; sent < FAR_TOO_MANY && refusals.isEmpty(); sent++) {
        fresh.writeInbound(frame(frame[0], frame[1], frame[2]));
        fresh.releaseInbound();
      }
      assertThat(refusals)
          .as("type %d of %d bytes", frame[0], frame[2])
          .containsExactly(Reason.FRAMES);
      assertThat(sent).isGreaterThan(900);
      fresh.finishAndReleaseAll();
    }
  }

  @Test
  void aCallMayHaveAFewSmallPieces() {
    send(preface());
    for (int call = 0; call < 5000; call++) {
      send(frame(HEADERS, 4, 40));
      for (int piece = 0; piece < 4; piece++) {
        send(frame(DATA, 0, 7));
      }
    }
    assertThat(refusals).isEmpty();
  }

  /** As grpc-java sends them, whose window ends a byte short of two frames. */
  @Test
  void aLongPayloadMayHaveASmallPieceForEachWindow() {
    send(preface());
    send(frame(HEADERS, 4, 40));
    for (int window = 0; window < 20_000; window++) {
      send(frame(DATA, 0, 16_384));
      send(frame(DATA, 0, 16_383));
      send(frame(DATA, 0, 1));
    }
    assertThat(refusals).isEmpty();
  }

  @Test
  void aLongerPieceForEachSmallOneIsNotEnough() {
    send(preface());
    send(frame(HEADERS, 4, 40));
    for (int pair = 0; pair < FAR_TOO_MANY && refusals.isEmpty(); pair++) {
      send(frame(DATA, 0, 256));
      send(frame(DATA, 0, 1));
    }
    assertThat(refusals).containsExactly(Reason.FRAMES);
  }

  /** The call's and the connection's, as some clients tell of each frame they read. */
  @Test
  void whatIsAnsweredMayBeTakenInSmallPieces() {
    send(preface());
    send(frame(HEADERS, 4, 40));
    for (int piece = 0; piece < 20_000; piece++) {
      channel.writeOutbound(frame(DATA, 0, 1024));
      channel.releaseOutbound();
      send(frame(WINDOW_UPDATE, 0, 4));
      send(frame(WINDOW_UPDATE, 0, 4));
    }
    assertThat(refusals).isEmpty();
  }

  @Test
  void eachCallMayHaveAFewWindowUpdates() {
    send(preface());
    for (int call = 0; call < 5000; call++) {
      send(frame(HEADERS, 4, 40));
      for (int update = 0; update < 8; update++) {
        send(frame(WINDOW_UPDATE, 0, 4));
      }
    }
    assertThat(refusals).isEmpty();
  }

  @Test
  void whatWasAnsweredLongAgoAllowsNoFloodOfWindowUpdates() {
    send(preface());
    send(frame(HEADERS, 4, 40));
    for (int piece = 0; piece < 20_000; piece++) {
      channel.writeOutbound(frame(DATA, 0, 1024));
      channel.releaseOutbound();
    }
    assertThat(sends(WINDOW_UPDATE, 0, 4)).isBetween(16_384, FAR_TOO_MANY - 1);
  }
}
