package dev.grep11.demo;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Lets the openssl program, which knows nothing of us, judge a signature. */
final class OpensslCheck {

  /** The command as a person would type it, and what openssl said. */
  record Verdict(String command, int exitCode, String output) {
    boolean genuine() {
      return exitCode == 0 && output.equals("Verified OK");
    }
  }

  /** Leaves nothing behind. */
  static Verdict verify(byte[] subjectPublicKeyInfo, byte[] data, byte[] derSignature)
      throws IOException, InterruptedException {
    Path directory = Files.createTempDirectory("grep11-demo-");
    try {
      return verifyIn(directory, subjectPublicKeyInfo, data, derSignature);
    } finally {
      try (var files = Files.list(directory)) {
        for (Path file : files.toList()) {
          Files.delete(file);
        }
      }
      Files.delete(directory);
    }
  }

  private static Verdict verifyIn(
      Path directory, byte[] subjectPublicKeyInfo, byte[] data, byte[] derSignature)
      throws IOException, InterruptedException {
    Path key = directory.resolve("public.pem");
    Path signature = directory.resolve("signature.der");
    Path message = directory.resolve("message");
    Files.writeString(
        key,
        "-----BEGIN PUBLIC KEY-----\n"
            + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(subjectPublicKeyInfo)
            + "\n-----END PUBLIC KEY-----\n");
    Files.write(signature, derSignature);
    Files.write(message, data);
    List<String> command =
        List.of(
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            key.getFileName().toString(),
            "-signature",
            signature.getFileName().toString(),
            message.getFileName().toString());
    Path output = directory.resolve("output");
    Process process =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    if (!process.waitFor(10, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new IOException("openssl did not answer within 10 s");
    }
    String said = Files.readString(output, StandardCharsets.UTF_8).strip();
    return new Verdict(String.join(" ", command), process.exitValue(), said);
  }

  private OpensslCheck() {}
}
