package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckm;
import dev.grep11.gateway.pkcs11.CryptoFunction;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismFamily;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.Bytes;
import dev.grep11.gateway.pkcs11.MechanismRow;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Block and stream ciphers piece by piece. Each piece is a native call of its own: CBC goes on from
 * the last block of ciphertext, CTR from the number of bytes done.
 */
final class CipherParts {
  private static final byte[] NOTHING = {};
  private static final int AES_BLOCK = 16;

  private final Ciphers ciphers;

  CipherParts(Ciphers ciphers) {
    this.ciphers = ciphers;
  }

  /** The operation after a step, and what the step gave. */
  record Step(RunningOperation operation, byte[] output) {}

  /** The IV of CBC; ECB and CTR chain nothing. */
  static byte[] firstChain(Mechanism mechanism) {
    return mechanism.parameters() instanceof Bytes(byte[] iv) ? iv : NOTHING;
  }

  Step update(
      Requester by,
      CryptoFunction function,
      MechanismRow row,
      RunningOperation operation,
      ByteBuffer data) {
    return row.family() == MechanismFamily.CTR
        ? stream(by, function, row, operation, data)
        : blocks(by, function, row, operation, data);
  }

  byte[] finish(
      Requester by, CryptoFunction function, MechanismRow row, RunningOperation operation) {
    var pending = operation.pending();
    boolean encrypts = function == CryptoFunction.ENCRYPT;
    if (row.family() != MechanismFamily.CBC_PAD) {
      if (pending.length > 0) {
        throw new Pkcs11Exception(
            PartedOperations.wrongLength(function),
            "the parts make no whole blocks of " + Parameters.blockLength(row) + " bytes");
      }
      ciphers.check(by, function, operation.mechanism(), operation.key());
      return NOTHING;
    }
    var padded = Mechanism.of(row.token(), operation.chain());
    return encrypts
        ? ciphers.encrypt(by, padded, operation.key(), ByteBuffer.wrap(pending))
        : ciphers.decrypt(by, padded, operation.key(), ByteBuffer.wrap(pending));
  }

  private Step blocks(
      Requester by,
      CryptoFunction function,
      MechanismRow row,
      RunningOperation operation,
      ByteBuffer data) {
    Parameters.blockCipher(row, operation.mechanism());
    int block = Parameters.blockLength(row);
    var all =
        operation.pending().length == 0
            ? data.duplicate()
            : ByteBuffer.wrap(PartedOperations.joined(operation.pending(), data));
    int ready = readyLength(function, row, block, all.remaining());
    var input = all.slice(all.position(), ready);
    var pending = new byte[all.remaining() - ready];
    all.slice(all.position() + ready, pending.length).get(pending);

    var token =
        switch (row.family()) {
          case ECB -> Mechanism.of(row.token());
          case CBC -> Mechanism.of(row.token(), operation.chain());
          default -> Mechanism.of(withoutPadding(row), operation.chain());
        };
    var output = ciphers.blocks(by, function, row, token, operation.key(), input);
    var chain = operation.chain();
    if (ready > 0 && row.family() != MechanismFamily.ECB) {
      chain = new byte[block];
      var ciphered = function == CryptoFunction.ENCRYPT ? ByteBuffer.wrap(output) : input;
      ciphered.get(ready - block, chain);
    }
    return new Step(operation.advanced(data.remaining(), chain, pending), output);
  }

  /** Of a padded decryption the last block is held back: it may be the one with the padding. */
  private static int readyLength(CryptoFunction function, MechanismRow row, int block, int length) {
    boolean holdsBack =
        function == CryptoFunction.DECRYPT && row.family() == MechanismFamily.CBC_PAD;
    return holdsBack && length > 0 ? (length - 1) / block * block : length / block * block;
  }

  static long withoutPadding(MechanismRow row) {
    return row.token() == Ckm.CKM_AES_CBC_PAD ? Ckm.CKM_AES_CBC : Ckm.CKM_DES3_CBC;
  }

  private Step stream(
      Requester by,
      CryptoFunction function,
      MechanismRow row,
      RunningOperation operation,
      ByteBuffer data) {
    var ctr = Parameters.ctr(operation.mechanism());
    int offset = (int) (operation.absorbed() % AES_BLOCK);
    requireCounter(function, ctr, operation.absorbed(), data.remaining());
    // The token begins at a block: what was done of it is run through once more and dropped.
    var input = ByteBuffer.allocate(offset + data.remaining());
    input.put(offset, data, data.position(), data.remaining());
    var counter = new AesCtr(ctr.counterBits(), advanced(ctr, operation.absorbed() / AES_BLOCK));
    var output =
        ciphers.blocks(
            by,
            function,
            row,
            new Mechanism(row.token(), counter),
            operation.key(),
            data.hasRemaining() ? input : ByteBuffer.allocate(0));
    return new Step(
        operation.advanced(data.remaining(), NOTHING, NOTHING),
        data.hasRemaining() ? Arrays.copyOfRange(output, offset, output.length) : NOTHING);
  }

  /** The counter must not run over, or the key stream would begin again. */
  private static void requireCounter(CryptoFunction function, AesCtr ctr, long done, long more) {
    var blocks = BigInteger.valueOf(done + more + AES_BLOCK - 1).shiftRight(4);
    if (counter(ctr).add(blocks).compareTo(BigInteger.ONE.shiftLeft(ctr.counterBits())) > 0) {
      throw new Pkcs11Exception(
          PartedOperations.wrongLength(function), "the counter would run over");
    }
  }

  private static BigInteger counter(AesCtr ctr) {
    return new BigInteger(1, ctr.counterBlock())
        .and(BigInteger.ONE.shiftLeft(ctr.counterBits()).subtract(BigInteger.ONE));
  }

  private static byte[] advanced(AesCtr ctr, long blocks) {
    // No carry leaves the counter: requireCounter has seen to it, but for the block after the last.
    var modulus = BigInteger.ONE.shiftLeft(ctr.counterBits());
    var whole = new BigInteger(1, ctr.counterBlock());
    var next =
        whole.subtract(counter(ctr)).add(counter(ctr).add(BigInteger.valueOf(blocks)).mod(modulus));
    var bytes = next.toByteArray();
    var block = new byte[AES_BLOCK];
    int length = Math.min(AES_BLOCK, bytes.length);
    System.arraycopy(bytes, bytes.length - length, block, AES_BLOCK - length, length);
    return block;
  }
}
