package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.grep11.agent.Agent;
import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.Call;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckm;
import dev.grep11.client.Ckr;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Applications that send what no module sends, to an agent with a whole gateway behind it. They get
 * an error or a closed connection, and nobody else notices.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class HostileFramesTest {
  private static final int LONGEST_BODY = 16 << 20;
  private static final int SLOT = 0;
  private static final byte[] HANDSHAKE =
      "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1".getBytes(US_ASCII);

  /** Types of arguments, as protocol.txt writes them. */
  private static final Pattern ARGUMENT = Pattern.compile("[af]?[a-zA-Z]");

  private RunningGateway running;
  private Path socket;
  private Agent agent;
  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  private long heapBefore;

  @BeforeAll
  void start(@TempDir Path directory) throws Exception {
    running = RunningGateway.start(Files.createDirectory(directory.resolve("gateway")));
    var yaml = running.demo.writeClientConfiguration(running.config, running.gateway).orElseThrow();
    var to = new Log(new PrintStream(log, true, UTF_8), LogLevel.WARNING);
    socket = directory.resolve("agent.sock");
    agent =
        Agent.listen(
            socket, Set.of(Agent.self()), new Cryptoki(ClientConfigFile.read(yaml), to), to);
    try (var peer = new Peer(2)) {
      peer.openSession();
    }
    heapBefore = usedHeap();
  }

  @AfterAll
  void stop() {
    // What connections held is given back soon after they went.
    try {
      await()
          .atMost(Duration.ofSeconds(20))
          .untilAsserted(() ->
              assertThat(usedHeap() - heapBefore)
                  .as("bytes that were not given back")
                  .isLessThan(64L << 20));
    } finally {
      agent.close();
      running.close();
    }
  }

  /** After each attack: an honest application is served. */
  @AfterEach
  void servesTheOthers() throws IOException {
    try (var honest = new Peer(2)) {
      long session = honest.openSession();
      var random =
          honest.answer(Call.C_GenerateRandom, bytes(number(session), room(16))).orElseThrow();
      assertThat(random.getInt()).isEqualTo(Call.C_GenerateRandom.number());
    }
    assertThat(log.toString(UTF_8)).doesNotContain("a fault of the agent");
  }

  private static long usedHeap() {
    System.gc();
    var runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }

  // ---- A peer

  private final class Peer implements AutoCloseable {
    private final SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));

    Peer(int dialect) throws IOException {
      channel.write(ByteBuffer.wrap(new byte[] {(byte) dialect}));
      read(1);
      var hello = bytes(array(HANDSHAKE), new byte[] {0}, array(new byte[1]));
      assertThat(answer(Call.C_Initialize, hello)).isPresent();
    }

    long openSession() throws IOException {
      var opened = answer(Call.C_OpenSession, bytes(number(SLOT), number(6))).orElseThrow();
      return opened.getLong(opened.limit() - 8);
    }

    /** The body of the answer; empty when the connection was closed instead. */
    Optional<ByteBuffer> answer(Call call, byte[] arguments) throws IOException {
      return answer(frame(call, arguments));
    }

    Optional<ByteBuffer> answer(ByteBuffer frame) throws IOException {
      try {
        while (frame.hasRemaining()) {
          channel.write(frame);
        }
        var header = read(12);
        assertThat(header.getInt()).as("tag").isEqualTo(1);
        assertThat(header.getInt()).as("options").isZero();
        return Optional.of(read(header.getInt()));
      } catch (EOFException closed) {
        return Optional.empty();
      } catch (IOException e) {
        // Closed while it was written to.
        assertThat(e).hasMessageMatching("Broken pipe|Connection reset.*");
        return Optional.empty();
      }
    }

    private ByteBuffer read(int length) throws IOException {
      var bytes = ByteBuffer.allocate(length);
      while (bytes.hasRemaining()) {
        if (channel.read(bytes) < 0) {
          throw new EOFException();
        }
      }
      return bytes.flip();
    }

    @Override
    public void close() throws IOException {
      channel.close();
    }
  }

  private static ByteBuffer frame(Call call, byte[] arguments) {
    byte[] signature = call.request().getBytes(US_ASCII);
    int length = 8 + signature.length + arguments.length;
    return ByteBuffer.allocate(12 + length)
        .putInt(1)
        .putInt(0)
        .putInt(length)
        .putInt(call.number())
        .putInt(signature.length)
        .put(signature)
        .put(arguments)
        .flip();
  }

  // ---- Arguments

  private static byte[] bytes(byte[]... parts) {
    var all = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }

  private static byte[] number(long value) {
    return ByteBuffer.allocate(8).putLong(value).array();
  }

  private static byte[] int32(int value) {
    return ByteBuffer.allocate(4).putInt(value).array();
  }

  private static byte[] room(int bytes) {
    return int32(bytes);
  }

  private static byte[] array(byte[] value) {
    return bytes(new byte[] {1}, int32(value.length), value);
  }

  /** An attribute whose two lengths are said apart from its value. */
  private static byte[] attribute(long type, int declared, byte[] encoded) {
    return bytes(int32((int) type), new byte[] {1}, int32(declared), encoded);
  }

  private static byte[] label() {
    return attribute(Cka.CKA_LABEL, 2, bytes(int32(2), new byte[] {'h', 'i'}));
  }

  /** Templates in templates: so many deep, so many beside each other in the innermost. */
  private static byte[] nested(long type, int depth, int wide) {
    byte[] inner = bytes(int32(wide));
    for (int i = 0; i < wide; i++) {
      inner = wide > 1000 ? inner : bytes(inner, label());
    }
    for (int i = 0; i < depth; i++) {
      inner = bytes(int32(1), attribute(type, 24, inner));
    }
    return inner;
  }

  private static final long WRAP_TEMPLATE = 0x40000211L;
  private static final long UNWRAP_TEMPLATE = 0x40000212L;
  private static final long ALLOWED_MECHANISMS = 0x40000600L;

  private static byte[] hex(String text) {
    return HexFormat.of().parseHex(text.replace(" ", ""));
  }

  /** What a module could send there. */
  private static byte[] honest(String type, long session, boolean first, Call call) {
    return switch (type) {
      case "u" -> number(first ? (call.ofSession() ? session : SLOT) : 1);
      case "y" -> new byte[] {1};
      case "z" -> bytes(int32(5), "label".getBytes(US_ASCII));
      case "s" -> bytes(int32(32), " ".repeat(32).getBytes(US_ASCII));
      case "M" -> bytes(int32((int) Ckm.CKM_AES_KEY_WRAP_PAD), new byte[] {0});
      case "ay" -> array("bytes".getBytes(US_ASCII));
      case "aA" -> bytes(int32(1), label());
      case "fy", "fu" -> room(256);
      case "fA" -> bytes(int32(1), int32((int) Cka.CKA_LABEL), int32(64));
      default -> throw new AssertionError("arguments of type " + type);
    };
  }

  /** What none could. */
  private static List<byte[]> hostile(String type) {
    return switch (type) {
      case "u" ->
          List.of(
              number(0),
              number(-1),
              number(Long.MIN_VALUE),
              number(Long.MAX_VALUE),
              number(1L << 62),
              number(0xffffffffL),
              int32(7));
      case "y" -> List.of(new byte[] {(byte) 0xff}, new byte[0]);
      case "z", "s" ->
          List.of(
              int32(-1),
              int32(Integer.MAX_VALUE),
              int32(Integer.MIN_VALUE),
              int32(0),
              bytes(int32(9), "shorter".getBytes(US_ASCII)),
              bytes(int32(64 << 10), new byte[64 << 10]));
      case "M" -> mechanisms();
      case "ay" ->
          List.of(
              bytes(new byte[] {0}, int32(0)),
              bytes(new byte[] {0}, int32(-1)),
              bytes(new byte[] {0}, int32(Integer.MAX_VALUE)),
              bytes(new byte[] {1}, int32(-1)),
              bytes(new byte[] {1}, int32(Integer.MAX_VALUE)),
              bytes(new byte[] {1}, int32(Integer.MIN_VALUE)),
              bytes(new byte[] {1}, int32(LONGEST_BODY)),
              bytes(new byte[] {(byte) 0xff}, int32(3), new byte[2]),
              array(new byte[0]),
              array(new byte[100_000]));
      case "aA" -> templates();
      case "fy", "fu" ->
          List.of(
              int32(0), int32(-1), int32(Integer.MAX_VALUE), int32(Integer.MIN_VALUE), hex("0001"));
      case "fA" ->
          List.of(
              int32(-1),
              int32(Integer.MAX_VALUE),
              int32(0),
              bytes(int32(256), new byte[2048]),
              bytes(int32(257), new byte[257 * 8]),
              bytes(int32(1), int32((int) Cka.CKA_LABEL), int32(-1)),
              bytes(int32(2), int32((int) WRAP_TEMPLATE), int32(24), nestedRooms(8)),
              bytes(int32(1), int32((int) WRAP_TEMPLATE), int32(24), nestedRooms(9)),
              bytes(int32(1), int32((int) UNWRAP_TEMPLATE), int32(24), nestedRooms(5000)),
              bytes(int32(1), int32((int) WRAP_TEMPLATE), int32(24), int32(Integer.MAX_VALUE)));
      default -> throw new AssertionError("arguments of type " + type);
    };
  }

  private static byte[] nestedRooms(int depth) {
    var level = bytes(int32(1), int32((int) UNWRAP_TEMPLATE), int32(24));
    var all = new ByteArrayOutputStream();
    for (int i = 0; i < depth; i++) {
      all.writeBytes(level);
    }
    all.writeBytes(int32(0));
    return all.toByteArray();
  }

  private static List<byte[]> templates() {
    return List.of(
        int32(0),
        int32(-1),
        int32(Integer.MAX_VALUE),
        int32(Integer.MIN_VALUE),
        bytes(int32(2), label()),
        bytes(int32(2), label(), label()),
        bytes(int32(257), repeated(hex("9000000000"), 257)),
        bytes(int32(256), repeated(hex("9000000000"), 256)),
        // Lengths that disagree, that lie, and that their type does not have.
        bytes(int32(1), attribute(Cka.CKA_LABEL, 2, bytes(int32(3), new byte[3]))),
        bytes(int32(1), attribute(Cka.CKA_LABEL, -1, bytes(int32(-1)))),
        bytes(int32(1), attribute(Cka.CKA_LABEL, 7, bytes(int32(-1)))),
        bytes(int32(1), attribute(Cka.CKA_VALUE, Integer.MAX_VALUE, int32(Integer.MAX_VALUE))),
        bytes(int32(1), attribute(Cka.CKA_TOKEN, 8, new byte[1])),
        bytes(int32(1), attribute(Cka.CKA_TOKEN, 0, new byte[1])),
        bytes(int32(1), attribute(Cka.CKA_CLASS, 1, new byte[8])),
        bytes(int32(1), attribute(Cka.CKA_CLASS, 8, number(-1))),
        bytes(int32(1), attribute(Cka.CKA_VALUE_LEN, 8, number(Long.MAX_VALUE))),
        bytes(int32(1), attribute(Cka.CKA_MODULUS_BITS, 8, number(1L << 40))),
        bytes(
            int32(1),
            attribute(Cka.CKA_EC_PARAMS, 4000, bytes(int32(4000), repeated(hex("3080"), 2000)))),
        bytes(int32(1), attribute(ALLOWED_MECHANISMS, 8, bytes(int32(1), number(1)))),
        bytes(int32(1), attribute(ALLOWED_MECHANISMS, 8, int32(Integer.MAX_VALUE))),
        bytes(int32(1), attribute(ALLOWED_MECHANISMS, 8, int32(-1))),
        nested(WRAP_TEMPLATE, 1, 1),
        nested(UNWRAP_TEMPLATE, 8, 256),
        nested(WRAP_TEMPLATE, 9, 1),
        nested(UNWRAP_TEMPLATE, 300, 1),
        nested(WRAP_TEMPLATE, 2, Integer.MAX_VALUE));
  }

  private static List<byte[]> mechanisms() {
    var mechanisms = new ArrayList<byte[]>();
    mechanisms.add(int32(-1));
    mechanisms.add(int32(0));
    mechanisms.add(hex("0000"));
    // One of each form of parameter: PSS, OAEP, ECDH, EdDSA, CTR, GCM, IBM's, bytes, none.
    for (long number :
        new long[] {
          Ckm.CKM_RSA_PKCS_PSS,
          Ckm.CKM_RSA_PKCS_OAEP,
          Ckm.CKM_ECDH1_DERIVE,
          0x1057L,
          Ckm.CKM_AES_CTR,
          Ckm.CKM_AES_GCM,
          0x80010031L,
          0x80070001L,
          Ckm.CKM_AES_CBC,
          Ckm.CKM_ECDSA,
          0x8fffffffL
        }) {
      for (byte[] parameter :
          List.of(
              new byte[0],
              new byte[64],
              bytes(int32(-1), int32(-1), repeated(hex("ff"), 32)),
              bytes(int32(Integer.MAX_VALUE), new byte[64]))) {
        mechanisms.add(bytes(int32((int) number), new byte[] {1}, parameter));
      }
      // Of the dialects before, and without any parameter of a mechanism that has one.
      mechanisms.add(bytes(int32((int) number), repeated(hex("ff"), 64)));
    }
    return mechanisms;
  }

  private static byte[] repeated(byte[] part, int times) {
    byte[] all = new byte[part.length * times];
    for (int i = 0; i < times; i++) {
      System.arraycopy(part, 0, all, i * part.length, part.length);
    }
    return all;
  }

  // ---- Attacks

  /** Each field of the call at its limits and beyond. */
  @ParameterizedTest
  @Tag("load")
  @EnumSource(Call.class)
  void answersOrClosesWhateverAFieldHolds(Call call) throws IOException {
    var types = ARGUMENT.matcher(call.request()).results().map(found -> found.group()).toList();
    int dialect = 0;
    Peer peer = new Peer(2);
    try {
      for (int field = 0; field <= types.size(); field++) {
        var values =
            field == types.size() ? List.of(new byte[1], new byte[0]) : hostile(types.get(field));
        for (byte[] value : values) {
          long session = peer.openSession();
          var arguments = new ByteArrayOutputStream();
          for (int i = 0; i < types.size(); i++) {
            arguments.writeBytes(i == field ? value : honest(types.get(i), session, i == 0, call));
          }
          if (field == types.size()) {
            arguments.writeBytes(value);
          }
          var answer = peer.answer(call, arguments.toByteArray());
          answer.ifPresent(body -> requireAnswer(call, body));
          if (answer.isEmpty() || call == Call.C_Finalize) {
            peer.close();
            peer = new Peer(dialect++ % 3);
          }
          var closed = peer.answer(Call.C_CloseAllSessions, number(SLOT));
          assertThat(closed).isPresent();
        }
      }
    } finally {
      peer.close();
    }
  }

  @ParameterizedTest
  @EnumSource(Call.class)
  void answersOrClosesWhereverAMessageEnds(Call call) throws IOException {
    var whole = new ByteArrayOutputStream();
    var types = ARGUMENT.matcher(call.request()).results().map(found -> found.group()).toList();
    for (int i = 0; i < types.size(); i++) {
      whole.writeBytes(honest(types.get(i), 1, i == 0, call));
    }
    Peer peer = new Peer(2);
    try {
      for (int length = 0; length < whole.size(); length += 3) {
        var answer = peer.answer(call, Arrays.copyOf(whole.toByteArray(), length));
        answer.ifPresent(body -> requireAnswer(call, body));
        if (answer.isEmpty()) {
          peer.close();
          peer = new Peer(length % 3);
        }
      }
    } finally {
      peer.close();
    }
  }

  private static void requireAnswer(Call call, ByteBuffer body) {
    int number = body.getInt();
    assertThat(number).as("call of the answer").isIn(0, call.number());
    if (number == 0) {
      long returnValue = body.getLong(body.limit() - 8);
      assertThat(returnValue).as("return value").isNotIn(Ckr.CKR_OK, Ckr.CKR_GENERAL_ERROR);
      assertThat(Ckr.nameOf(returnValue)).startsWith("CKR_");
    }
  }

  /** Template and room for attributes, as long as a message may be. */
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2})
  void readsTemplatesOfTheLongestMessageWithinBounds(int dialect) throws IOException {
    int count = 256;
    for (Call call : List.of(Call.C_CreateObject, Call.C_GetAttributeValue)) {
      boolean create = call == Call.C_CreateObject;
      byte[] head = create ? new byte[8] : new byte[16];
      int left = LONGEST_BODY - 8 - call.request().length() - head.length;
      byte[] level =
          create
              ? bytes(int32(1), attribute(WRAP_TEMPLATE, 24, new byte[0]))
              : bytes(int32(1), int32((int) WRAP_TEMPLATE), int32(24));
      byte[] deep = repeated(level, left / level.length);
      // A list of lists of lists, as full as it may be.
      byte[] leaf =
          create ? hex("40000211 01 00000018 00000000") : hex("40000211 00000018 00000000");
      byte[] row =
          bytes(
              create ? hex("40000211 01 00000018") : hex("40000211 00000018"),
              int32(count),
              repeated(leaf, count));
      byte[] table =
          bytes(
              create ? hex("40000211 01 00000018") : hex("40000211 00000018"),
              int32(count),
              repeated(row, count));
      byte[] wide = bytes(int32(left / table.length), repeated(table, left / table.length));
      for (byte[] template : List.of(deep, wide)) {
        try (var peer = new Peer(dialect)) {
          peer.openSession();
          long begin = System.nanoTime();
          peer.answer(call, bytes(head, template)).ifPresent(body -> requireAnswer(call, body));
          assertThat(Duration.ofNanos(System.nanoTime() - begin))
              .isLessThan(Duration.ofSeconds(20));
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {LONGEST_BODY + 1, Integer.MAX_VALUE, Integer.MIN_VALUE, -1})
  void closesAConnectionWithALongerMessage(int length) throws IOException {
    try (var peer = new Peer(2)) {
      var header = ByteBuffer.allocate(12).putInt(1).putInt(0).putInt(length).flip();
      assertThat(peer.answer(header)).isEmpty();
    }
  }

  /** Announced, half sent, and then nothing: others are served meanwhile. */
  @Test
  void servesOthersWhileLongMessagesAreHalfSent() throws IOException {
    var peers = new ArrayList<Peer>();
    try {
      for (int i = 0; i < 3; i++) {
        var peer = new Peer(2);
        peers.add(peer);
        var half = ByteBuffer.allocate(12 + LONGEST_BODY / 2);
        half.putInt(1).putInt(0).putInt(LONGEST_BODY).rewind();
        while (half.hasRemaining()) {
          peer.channel.write(half);
        }
      }
      try (var honest = new Peer(2)) {
        assertThat(honest.openSession()).isPositive();
      }
    } finally {
      for (var peer : peers) {
        peer.close();
      }
    }
  }
}
