package dev.grep11.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;

/** Lets openssl judge a signature. */
final class OpensslCheck {

  /** Whether openssl finds the signature genuine, and with which words. */
  record Verdict(Openssl.Outcome outcome) {
    boolean genuine() {
      return outcome.exitCode() == 0 && outcome.output().equals("Verified OK");
    }

    @Override
    public String toString() {
      return outcome.output() + ": " + outcome.command();
    }
  }

  /** Leaves nothing behind. */
  static Verdict verify(byte[] subjectPublicKeyInfo, byte[] data, byte[] derSignature)
      throws IOException, InterruptedException {
    try (var directory = TemporaryDirectory.create()) {
      Path key = directory.path().resolve("public.pem");
      Path signature = directory.path().resolve("signature.der");
      Path message = directory.path().resolve("message");
      Files.writeString(
          key,
          "-----BEGIN PUBLIC KEY-----\n"
              + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(subjectPublicKeyInfo)
              + "\n-----END PUBLIC KEY-----\n");
      Files.write(signature, derSignature);
      Files.write(message, data);
      return new Verdict(
          Openssl.run(
              directory.path(),
              "dgst",
              "-sha256",
              "-verify",
              key.getFileName().toString(),
              "-signature",
              signature.getFileName().toString(),
              message.getFileName().toString()));
    }
  }

  private OpensslCheck() {}
}
