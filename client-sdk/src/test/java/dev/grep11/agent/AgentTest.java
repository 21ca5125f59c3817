package dev.grep11.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.log.Log;
import dev.grep11.client.Ckr;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The agent at its socket, with no gateway behind it: who is let in, and what frames do. */
class AgentTest {
  private static final String CONFIG =
      """
      tokens:
        7:
          grep11connection: { address: localhost, port: 1, tls: { enabled: true } }
          users:
            0: { name: officer, iamauth: &iam { enabled: true, endpoint: "https://localhost:1" } }
            1: { name: user, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, iamauth: *iam }
            2:
              name: guest
              tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720
              iamauth: { <<: *iam, apikey: key-of-guest }
      """;
  private static final byte[] HANDSHAKE =
      "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1".getBytes(StandardCharsets.US_ASCII);

  @TempDir private Path directory;
  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  private Path socket;
  private Agent agent;

  @BeforeEach
  void start() throws IOException {
    socket = directory.resolve("run").resolve("agent.sock");
    agent = listen(Set.of(Agent.self()));
  }

  private Agent listen(Set<java.nio.file.attribute.UserPrincipal> users) throws IOException {
    return listen(users, LogLevel.TRACE);
  }

  private Agent listen(Set<java.nio.file.attribute.UserPrincipal> users, LogLevel level)
      throws IOException {
    var file = Files.writeString(directory.resolve("grep11client.yaml"), CONFIG);
    var to = new Log(new PrintStream(log, true, StandardCharsets.UTF_8), level);
    return Agent.listen(socket, users, new Cryptoki(ClientConfigFile.read(file), to), to);
  }

  @AfterEach
  void stop() {
    agent.close();
  }

  /** An application that says what it likes. */
  private final class Peer implements AutoCloseable {
    private final SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));

    Peer(int dialect) throws IOException {
      channel.write(ByteBuffer.wrap(new byte[] {(byte) dialect}));
    }

    int dialect() throws IOException {
      return read(1).get();
    }

    void send(ByteBuffer bytes) throws IOException {
      while (bytes.hasRemaining()) {
        channel.write(bytes);
      }
    }

    ByteBuffer read(int length) throws IOException {
      var bytes = ByteBuffer.allocate(length);
      while (bytes.hasRemaining()) {
        if (channel.read(bytes) < 0) {
          throw new EOFException();
        }
      }
      return bytes.flip();
    }

    /** The answer's body, at its call number. */
    ByteBuffer call(int number, String signature, byte... arguments) throws IOException {
      var body = ByteBuffer.allocate(8 + signature.length() + arguments.length);
      body.putInt(number)
          .putInt(signature.length())
          .put(signature.getBytes(StandardCharsets.US_ASCII))
          .put(arguments)
          .flip();
      send(ByteBuffer.allocate(12).putInt(1).putInt(0).putInt(body.remaining()).flip());
      send(body);
      var header = read(12);
      header.position(8);
      return read(header.getInt());
    }

    long refusal(int number, String signature, byte... arguments) throws IOException {
      var body = call(number, signature, arguments);
      assertThat(body.getInt()).as("number of the answer").isZero();
      return body.getLong(body.limit() - 8);
    }

    void initialize() throws IOException {
      dialect();
      var arguments =
          ByteBuffer.allocate(HANDSHAKE.length + 12)
              .put((byte) 1)
              .putInt(HANDSHAKE.length)
              .put(HANDSHAKE)
              .put((byte) 0)
              .put((byte) 1)
              .putInt(1)
              .put((byte) 0);
      assertThat(call(1, "ayyay", arguments.array()).getInt()).isEqualTo(1);
    }

    @Override
    public void close() throws IOException {
      channel.close();
    }
  }

  private static byte[] numbers(long... numbers) {
    var bytes = ByteBuffer.allocate(8 * numbers.length);
    for (long number : numbers) {
      bytes.putLong(number);
    }
    return bytes.array();
  }

  // ---- Who may come

  @Test
  void isForItsOwnUserAlone() throws IOException {
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
        .isEqualTo("rw-------");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket.getParent())))
        .isEqualTo("rwx------");
  }

  @Test
  void asksTheKernelWhoThePeerIs() throws IOException {
    agent.close();
    // Everybody but the user who runs this test.
    var nobody =
        directory.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody");
    agent = listen(Set.of(nobody));

    // Closed before or after it was written to.
    assertThatThrownBy(
            () -> {
              try (var peer = new Peer(2)) {
                peer.dialect();
              }
            })
        .isInstanceOf(IOException.class);
    assertThat(log.toString(StandardCharsets.UTF_8))
        .contains("is not one of those who may connect");
  }

  @Test
  void letsOneUserHaveSoManyConnectionsAndNoMore() throws IOException {
    var peers = new ArrayList<Peer>();
    try {
      for (int i = 0; i < 256; i++) {
        var peer = new Peer(2);
        peers.add(peer);
        peer.dialect();
      }
      assertThatThrownBy(
              () -> {
                try (var oneMore = new Peer(2)) {
                  oneMore.dialect();
                }
              })
          .isInstanceOf(IOException.class);
      assertThat(log.toString(StandardCharsets.UTF_8)).contains("has 256 connections");
    } finally {
      for (var peer : peers) {
        peer.close();
      }
    }
  }

  @Test
  void deletesNothingButASocketOfItsOwnUser() throws IOException {
    agent.close();
    Files.writeString(socket, "a file that somebody needs");
    assertThatThrownBy(() -> listen(Set.of(Agent.self())))
        .hasMessageContaining("a file that is no socket");
    assertThat(socket).hasContent("a file that somebody needs");

    Files.move(socket, directory.resolve("elsewhere"));
    Files.createSymbolicLink(socket, directory.resolve("elsewhere"));
    assertThatThrownBy(() -> listen(Set.of(Agent.self())))
        .hasMessageContaining("a file that is no socket");
    assertThat(socket).hasContent("a file that somebody needs");
  }

  @Test
  void doesNotTakeTheSocketOfAnotherAgentAndTakesThatOfADeadOne() throws IOException {
    assertThatThrownBy(() -> listen(Set.of(Agent.self())))
        .hasMessageContaining("another agent listens there");
    agent.close();
    // Closing it leaves the name, as an agent that is killed does.
    var dead = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    dead.bind(UnixDomainSocketAddress.of(socket)).close();
    agent = listen(Set.of(Agent.self()));
    try (var peer = new Peer(0)) {
      peer.initialize();
    }
  }

  // ---- Dialects

  @ParameterizedTest
  @CsvSource({"0, 0", "1, 1", "2, 2", "3, 2", "255, 2"})
  void echoesTheDialectThatIsOfferedAsFarAsItKnowsIt(int offered, int answered) throws IOException {
    try (var peer = new Peer(offered)) {
      assertThat(peer.dialect()).isEqualTo(answered);
    }
  }

  // ---- What frames do

  @Test
  void answersCallsInTheirOrderAndRefusesWhatComesTooEarly() throws IOException {
    try (var peer = new Peer(2)) {
      peer.dialect();
      assertThat(peer.refusal(10, "uu", numbers(7, 4))).isEqualTo(Ckr.CKR_CRYPTOKI_NOT_INITIALIZED);
    }
    try (var peer = new Peer(2)) {
      peer.initialize();
      assertThat(peer.refusal(10, "uu", numbers(8, 4))).isEqualTo(Ckr.CKR_SLOT_ID_INVALID);
      assertThat(peer.refusal(10, "uu", numbers(7, 0)))
          .isEqualTo(Ckr.CKR_SESSION_PARALLEL_NOT_SUPPORTED);
      var opened = peer.call(10, "uu", numbers(7, 4));
      long session = opened.getLong(opened.limit() - 8);
      assertThat(peer.refusal(43, "uayfy", sign(session))).isEqualTo(0x91);
      assertThat(peer.refusal(11, "u", numbers(session + 1)))
          .isEqualTo(Ckr.CKR_SESSION_HANDLE_INVALID);
      assertThat(peer.call(11, "u", numbers(session)).getInt()).isEqualTo(11);
    }
  }

  private static byte[] sign(long session) {
    return ByteBuffer.allocate(17).putLong(session).put((byte) 1).putInt(0).putInt(64).array();
  }

  @Test
  void showsASlotWithoutTokenWhileTheGatewayIsAway() throws IOException {
    try (var peer = new Peer(2)) {
      peer.initialize();
      var all = peer.call(4, "yfu", ByteBuffer.allocate(5).put((byte) 0).putInt(8).array());
      assertThat(all.getLong(all.limit() - 8)).isEqualTo(7);
      var present = peer.call(4, "yfu", ByteBuffer.allocate(5).put((byte) 1).putInt(8).array());
      assertThat(present.getInt(present.limit() - 4)).isZero();
      assertThat(peer.refusal(6, "u", numbers(7))).isEqualTo(Ckr.CKR_TOKEN_NOT_PRESENT);
      assertThat(peer.refusal(7, "ufu", ByteBuffer.allocate(12).putLong(7).putInt(0).array()))
          .isEqualTo(Ckr.CKR_DEVICE_REMOVED);
    }
  }

  @Test
  void refusesACallThatItDoesNotKnowAndOneThatIsMalformed() throws IOException {
    try (var peer = new Peer(2)) {
      peer.initialize();
      assertThat(peer.refusal(90, "uMuaAfy")).isEqualTo(Ckr.CKR_FUNCTION_NOT_SUPPORTED);
      assertThat(peer.refusal(10, "uu", numbers(7))).isEqualTo(Ckr.CKR_DEVICE_ERROR);
      assertThat(peer.refusal(10, "uu", numbers(7, 4, 4))).isEqualTo(Ckr.CKR_DEVICE_ERROR);
      // It is still served.
      assertThat(peer.call(10, "uu", numbers(7, 4)).getInt()).isEqualTo(10);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "0, 16777217",
    "0, -1",
    "0, -2147483648",
    "4097, 8",
    "-1, 8",
  })
  void closesAConnectionWhoseLengthsCannotBe(int options, int body) throws IOException {
    try (var peer = new Peer(2)) {
      peer.initialize();
      peer.send(ByteBuffer.allocate(12).putInt(1).putInt(options).putInt(body).flip());
      assertThatThrownBy(() -> peer.read(1)).isInstanceOf(IOException.class);
    }
    try (var other = new Peer(2)) {
      other.initialize();
    }
  }

  @Test
  void closesAConnectionOfAnotherProtocol() throws IOException {
    try (var peer = new Peer(2)) {
      peer.dialect();
      assertThatThrownBy(() -> peer.call(3, "u")).isInstanceOf(IOException.class);
    }
  }

  @Test
  void takesFramesOfTheLongestLengthOneAfterTheOther() throws IOException {
    try (var peer = new Peer(2)) {
      peer.initialize();
      var opened = peer.call(10, "uu", numbers(7, 4));
      long session = opened.getLong(opened.limit() - 8);
      int data = Connection.LONGEST_BODY - 8 - 5 - 8 - 1 - 4 - 4;
      var arguments = ByteBuffer.allocate(17 + data).putLong(session).put((byte) 1).putInt(data);
      arguments.position(13 + data);
      arguments.putInt(64);
      // More than a connection may have under way: what was answered is given back.
      for (int i = 0; i < 3; i++) {
        assertThat(peer.refusal(43, "uayfy", arguments.array())).isEqualTo(0x91);
      }
    }
  }

  // ---- Objects

  private static long session(Peer peer) throws IOException {
    peer.initialize();
    var opened = peer.call(10, "uu", numbers(7, 6));
    return opened.getLong(opened.limit() - 8);
  }

  /** The arguments of C_CreateObject for a data object of a session. */
  private static byte[] data(long session, int length) {
    return ByteBuffer.allocate(8 + 4 + 17 + 13 + length)
        .putLong(session)
        .putInt(2)
        .putInt(0)
        .put((byte) 1)
        .putInt(8)
        .putLong(0)
        .putInt(0x11)
        .put((byte) 1)
        .putInt(length)
        .putInt(length)
        .array();
  }

  private static long create(Peer peer, long session, int length) throws IOException {
    var made = peer.call(20, "uaA", data(session, length));
    assertThat(made.getInt()).as("number of the answer").isEqualTo(20);
    return made.getLong(made.limit() - 8);
  }

  @Test
  void namesNothingByAHandleOfAnotherConnection() throws IOException {
    try (var before = new Peer(2);
        var after = new Peer(2)) {
      long stale = create(before, session(before), 3);
      long session = session(after);
      create(after, session, 3);

      assertThat(after.refusal(22, "uu", numbers(session, stale)))
          .isEqualTo(Ckr.CKR_OBJECT_HANDLE_INVALID);
    }
  }

  @Test
  void keepsSoManyBytesOfSessionObjectsAndTakesNewOnesWhenTheyAreGone() throws IOException {
    int length = 12 << 20;
    try (var peer = new Peer(2)) {
      long session = session(peer);
      long first = create(peer, session, length);
      create(peer, session, length);
      assertThat(peer.refusal(20, "uaA", data(session, length))).isEqualTo(Ckr.CKR_DEVICE_MEMORY);

      assertThat(peer.call(22, "uu", numbers(session, first)).getInt()).isEqualTo(22);
      create(peer, session, length);
      assertThat(peer.refusal(20, "uaA", data(session, length))).isEqualTo(Ckr.CKR_DEVICE_MEMORY);

      assertThat(peer.call(11, "u", numbers(session)).getInt()).isEqualTo(11);
      var opened = peer.call(10, "uu", numbers(7, 6));
      long next = opened.getLong(opened.limit() - 8);
      create(peer, next, length);
      create(peer, next, length);
    }
  }

  @Test
  void refusesATemplateOfMoreAttributesThanThereAre() throws IOException {
    try (var peer = new Peer(2)) {
      long session = session(peer);
      var template = ByteBuffer.allocate(12 + 257 * 13).putLong(session).putInt(257);
      for (int i = 0; i < 257; i++) {
        template.putInt(0x90000000 + i).put((byte) 1).putInt(0).putInt(0);
      }
      assertThat(peer.refusal(26, "uaA", template.array())).isEqualTo(Ckr.CKR_DEVICE_ERROR);
    }
  }

  // ---- Secrets

  @ParameterizedTest
  @CsvSource({"0", "1"})
  void takesTheKeyOfTheAnonymousUserForNobodyElses(long user) throws IOException {
    byte[] pin = "key-of-guest".getBytes(StandardCharsets.US_ASCII);
    try (var peer = new Peer(2)) {
      long session = session(peer);
      var login =
          ByteBuffer.allocate(16 + 5 + pin.length)
              .putLong(session)
              .putLong(user)
              .put((byte) 1)
              .putInt(pin.length)
              .put(pin);
      assertThat(peer.refusal(18, "uuay", login.array())).isEqualTo(Ckr.CKR_PIN_INCORRECT);
    }
  }

  /** At the first, one in the middle and the last: each has all of those before it. */
  @ParameterizedTest
  @EnumSource(names = {"PANIC", "WARNING", "TRACE"})
  void logsNoPinAtAnyLevelAndNothingAboveItsOwn(LogLevel level) throws IOException {
    agent.close();
    log.reset();
    agent = listen(Set.of(Agent.self()), level);
    byte[] pin = "pin-that-nobody-reads".getBytes(StandardCharsets.US_ASCII);
    byte[] other = "another-of-them".getBytes(StandardCharsets.US_ASCII);
    try (var peer = new Peer(2)) {
      long session = session(peer);
      var login = pins(16, pin).putLong(0, session).putLong(8, 1).array();
      assertThat(peer.refusal(18, "uuay", login)).isEqualTo(Ckr.CKR_DEVICE_REMOVED);
      // Also where the message is not one.
      peer.refusal(18, "uuay", Arrays.copyOf(login, login.length - 1));
      var change = pins(8, pin, other).putLong(0, session).array();
      assertThat(peer.refusal(15, "uayay", change)).isEqualTo(Ckr.CKR_USER_NOT_LOGGED_IN);
      peer.refusal(15, "uayay", Arrays.copyOf(change, change.length - 1));
      peer.refusal(14, "uay", pins(8, other).putLong(0, session).array());
      peer.refusal(9, "uayz", pins(8, pin).putLong(0, 7).array());
    }
    var lines = log.toString(StandardCharsets.UTF_8);
    assertThat(lines).doesNotContain("pin-that-nobody-reads", "another-of-them", "key-of-guest");
    for (var written : LogLevel.values()) {
      if (written.compareTo(level) > 0) {
        assertThat(lines).doesNotContain(" " + written.name().toLowerCase(Locale.ROOT) + " ");
      }
    }
    // So that silence is not what is tested.
    if (level.compareTo(LogLevel.WARNING) >= 0) {
      assertThat(lines).contains(" warning C_Login: malformed");
    }
  }

  /** Numbers that are still to be put, then byte arrays. */
  private static ByteBuffer pins(int numbers, byte[]... pins) {
    int length = numbers + Arrays.stream(pins).mapToInt(pin -> 5 + pin.length).sum();
    var arguments = ByteBuffer.allocate(length).position(numbers);
    for (byte[] pin : pins) {
      arguments.put((byte) 1).putInt(pin.length).put(pin);
    }
    return arguments;
  }

  // ---- Memory

  @Test
  @Tag("load")
  void tenThousandSessionsLeaveItsMemoryAsItWas() throws IOException {
    try (var peer = new Peer(2)) {
      peer.initialize();
      sessions(peer, 1000);
      long before = usedHeap();
      sessions(peer, 10_000);
      assertThat(usedHeap() - before).as("bytes that stay").isLessThan(4 << 20);
    }
  }

  /** Opened, with an object each, and closed, a thousand at a time. */
  private static void sessions(Peer peer, int count) throws IOException {
    for (int round = 0; round < count / 1000; round++) {
      var open = new ArrayList<Long>();
      for (int i = 0; i < 1000; i++) {
        var opened = peer.call(10, "uu", numbers(7, 6));
        open.add(opened.getLong(opened.limit() - 8));
        create(peer, open.get(i), 100);
      }
      for (long session : open) {
        assertThat(peer.call(11, "u", numbers(session)).getInt()).isEqualTo(11);
      }
    }
  }

  private static long usedHeap() {
    System.gc();
    var runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }

  // ---- Started by somebody who holds the socket

  /** As systemd does it: the socket is there before the agent, and stays. */
  @Test
  void servesTheSocketThatItWasStartedWith() throws Exception {
    agent.close();
    var program = Path.of("/usr/bin/systemd-socket-activate");
    Assumptions.assumeTrue(Files.isExecutable(program), "systemd-socket-activate is missing");
    Files.createDirectories(socket.getParent());
    var file = Files.writeString(directory.resolve("grep11client.yaml"), CONFIG);
    var process =
        new ProcessBuilder(
                program.toString(),
                "--inetd",
                "--listen=" + socket,
                "-E",
                "PATH",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                "dev.grep11.agent.AgentCommand",
                "--config",
                file.toString())
            .redirectErrorStream(true)
            .redirectOutput(directory.resolve("out").toFile())
            .start();
    try {
      await().atMost(Duration.ofSeconds(30)).until(() -> Files.exists(socket));
      try (var first = new Peer(2);
          var second = new Peer(2)) {
        first.initialize();
        second.initialize();
      }
    } finally {
      process.destroy();
      assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
    }
    assertThat(socket).as("whose it is not").exists();
  }
}
