package dev.grep11.containers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A program that was run to its end. */
record Command(int exitCode, String out, String err) {
  private static final long PATIENCE_SECONDS = 120;

  static Command run(String... words) {
    return run(Map.of(), List.of(words));
  }

  static Command run(Map<String, String> environment, List<String> words) {
    try {
      var out = Files.createTempFile("grep11-containers", ".out");
      var err = Files.createTempFile("grep11-containers", ".err");
      try {
        var builder =
            new ProcessBuilder(words).redirectOutput(out.toFile()).redirectError(err.toFile());
        builder.environment().putAll(environment);
        var process = builder.start();
        if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
          process.destroyForcibly();
          throw new AssertionError(String.join(" ", words) + " does not end");
        }
        return new Command(process.exitValue(), Files.readString(out), Files.readString(err));
      } finally {
        Files.delete(out);
        Files.delete(err);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError(e);
    }
  }

  /** What it printed, after checking that it succeeded. */
  String succeeded() {
    if (exitCode != 0) {
      throw new AssertionError("exit code %d%n%s%n%s".formatted(exitCode, out, err));
    }
    return out;
  }

  /**
   * Certificates by openssl: {@code ca.pem} and, for each name, {@code NAME.pem} and {@code
   * NAME.key}.
   *
   * @param names of the files, each with the subject alternative names of its certificate
   */
  static void makeCertificates(Path directory, Map<String, String> names) throws IOException {
    var ca = directory.resolve("ca.pem").toString();
    var caKey = directory.resolve("ca.key").toString();
    run(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "90",
            "-subj",
            "/CN=Containers CA",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout",
            caKey,
            "-out",
            ca)
        .succeeded();
    for (var name : names.entrySet()) {
      var key = directory.resolve(name.getKey() + ".key").toString();
      var request = directory.resolve(name.getKey() + ".csr").toString();
      var extensions =
          Files.writeString(
              directory.resolve(name.getKey() + ".ext"),
              "subjectAltName=%s%nextendedKeyUsage=serverAuth%n".formatted(name.getValue()));
      run(
              "openssl",
              "req",
              "-newkey",
              "ec",
              "-pkeyopt",
              "ec_paramgen_curve:P-256",
              "-nodes",
              "-subj",
              "/CN=" + name.getKey(),
              "-keyout",
              key,
              "-out",
              request)
          .succeeded();
      run(
              "openssl",
              "x509",
              "-req",
              "-in",
              request,
              "-CA",
              ca,
              "-CAkey",
              caKey,
              "-days",
              "60",
              "-extfile",
              extensions.toString(),
              "-out",
              directory.resolve(name.getKey() + ".pem").toString())
          .succeeded();
    }
  }
}
