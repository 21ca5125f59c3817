package dev.grep11.gateway.command;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonPointer;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import dev.grep11.gateway.Gateway;
import dev.grep11.gateway.config.GatewayConfig;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.stream.Stream;

/** A gateway in a directory of its own, for something to be broken in it. */
final class Site extends GatewayCopy implements AutoCloseable {
  private static final YAMLMapper YAML = new YAMLMapper();

  /** The shortest line of a file that is looked for as a secret: an end of base64 is none. */
  private static final int SECRET_LENGTH = 8;

  private final List<Closeable> held = new ArrayList<>();

  Site(Path template, Path directory) throws IOException {
    super(directory);
    DemoCopy.withItsToken(template, directory);
    set("/listen/portBase", 0);
  }

  Path configuration() {
    return DemoData.config(directory);
  }

  @Override
  public GatewayConfig config() {
    return GatewayConfig.read(configuration());
  }

  /** Puts the directory in the place of the braces. */
  String here(String text) {
    return text.replace("{}", directory.toString());
  }

  @Override
  public void set(String pointer, Object value) throws IOException {
    change(pointer, (mapping, name) -> mapping.set(name, YAML.valueToTree(value)));
  }

  void unset(String pointer) throws IOException {
    change(pointer, ObjectNode::remove);
  }

  private void change(String pointer, BiConsumer<ObjectNode, String> change) throws IOException {
    var tree = (ObjectNode) YAML.readTree(configuration().toFile());
    var at = JsonPointer.compile(pointer);
    change.accept(
        at.head().matches() ? tree : tree.withObject(at.head()), at.last().getMatchingProperty());
    YAML.writeValue(configuration().toFile(), tree);
  }

  /** A file that nobody else may read. */
  void writeSecret(String name, String content) throws IOException {
    write(name, content);
    mode(name, "rw-------");
  }

  void delete(String name) throws IOException {
    Files.delete(file(name));
  }

  /** A directory where a file belongs. */
  void directory(String name) throws IOException {
    Files.deleteIfExists(file(name));
    Files.createDirectory(file(name));
    mode(name, "rwx------");
  }

  /** Only root can give a file away. */
  void owner(String name, int user, int group) throws IOException {
    Files.setAttribute(file(name), "unix:uid", user);
    Files.setAttribute(file(name), "unix:gid", group);
  }

  /** Takes a key out of the token. */
  void destroy(byte[] id) {
    inToken(session -> destroy(session, id));
  }

  /** A command that does what it is told. */
  void done(String... arguments) {
    var all = new ArrayList<>(List.of(arguments));
    all.addAll(List.of("--config", configuration().toString()));
    var ended = CommandsTest.run(all.toArray(String[]::new));
    assertThat(ended.code()).as(ended.err()).isZero();
  }

  /** Runs until the site is closed. */
  void run() {
    held.add(Gateway.start(config())::close);
  }

  <T extends Closeable> T hold(T resource) {
    held.add(resource);
    return resource;
  }

  /** Every line of a file here that nobody else may know. */
  Set<String> secrets() throws IOException {
    try (var all = Files.walk(directory)) {
      var secrets = new LinkedHashSet<String>();
      for (var file : all.filter(Site::keepsSecrets).toList()) {
        lines(file)
            .filter(line -> line.length() >= SECRET_LENGTH && !line.startsWith("-----"))
            .forEach(secrets::add);
      }
      return secrets;
    }
  }

  private static boolean keepsSecrets(Path file) {
    var name = file.getFileName().toString();
    return Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
        && (name.endsWith("pin")
            || name.endsWith("apikey")
            || name.endsWith("password")
            || name.endsWith(".key"));
  }

  private static Stream<String> lines(Path file) throws IOException {
    return new String(Files.readAllBytes(file), UTF_8).lines().map(String::strip);
  }

  @Override
  public void close() throws IOException {
    for (var resource : held.reversed()) {
      resource.close();
    }
  }
}
