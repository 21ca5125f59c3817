package dev.grep11.gateway.token;

import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.hsm.Lane;
import dev.grep11.gateway.key.KeySealer;
import dev.grep11.gateway.key.KeySealer.Opened;
import dev.grep11.gateway.key.SealingKeys;
import dev.grep11.gateway.keystore.KeyBlobs;
import dev.grep11.gateway.pkcs11.Cka;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;

/** Blobs of keystores, on the token's own threads and in their callers' turn. */
public final class HsmKeyBlobs implements KeyBlobs {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final Hsm hsm;
  private final KeySealer sealer;

  public HsmKeyBlobs(Hsm hsm, KeySealer sealer) {
    this.hsm = hsm;
    this.sealer = sealer;
  }

  @Override
  public Proven prove(UUID instance, String caller, byte[] blob) {
    return call(caller, () -> proven(blob, sealer.open(instance, blob)));
  }

  @Override
  public Optional<Proven> reseal(UUID instance, String caller, byte[] blob) {
    return call(
        caller,
        () -> {
          var opened = sealer.open(instance, blob);
          var resealed = sealer.reseal(instance, opened, opened.attributes());
          var newer = proven(resealed, sealer.open(instance, resealed));
          return newer.generation().equals(generation(opened))
              ? Optional.empty()
              : Optional.of(newer);
        });
  }

  private static Proven proven(byte[] blob, Opened opened) {
    return new Proven(
        blob, generation(opened), opened.attributes().ulong(Cka.CKA_CLASS).orElse(-1));
  }

  private static String generation(Opened opened) {
    return opened.keys().map(SealingKeys::masterKeyId).map(HexFormat.of()::formatHex).orElse("");
  }

  private <T> T call(String caller, Callable<T> work) {
    try {
      return hsm.submit(Lane.LOAD, caller, System.nanoTime() + PATIENCE.toNanos(), work).join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException refusal ? refusal : e;
    }
  }
}
