package dev.grep11.gateway.operation;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Mechanism;
import dev.grep11.gateway.pkcs11.MechanismParameters;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesCtr;
import dev.grep11.gateway.pkcs11.MechanismParameters.AesGcm;
import dev.grep11.gateway.pkcs11.MechanismParameters.Bytes;
import dev.grep11.gateway.pkcs11.MechanismParameters.Ecdh1Derive;
import dev.grep11.gateway.pkcs11.MechanismParameters.EdDsa;
import dev.grep11.gateway.pkcs11.MechanismParameters.KeyDerivationString;
import dev.grep11.gateway.pkcs11.MechanismParameters.None;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaOaep;
import dev.grep11.gateway.pkcs11.MechanismParameters.RsaPss;
import dev.grep11.gateway.pkcs11.MechanismParameters.Unserved;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;

/**
 * What a client-held state says: everything that the next call needs and nothing that it may
 * decide. The key's rights are read from its blob again by every call.
 *
 * @param key blob of the key that acts, or that a digest takes after what it has hashed; empty for
 *     none
 * @param absorbed bytes of data taken so far
 * @param chain cipher: the block that the next one is chained to, or empty; hash: its state; else
 *     empty
 * @param pending data taken and not worked on yet
 */
record RunningOperation(
    Mechanism mechanism, byte[] key, long absorbed, byte[] chain, byte[] pending) {
  private static final byte[] NOTHING = {};

  /** FIPS 180-4, 1: SHA-256 takes fewer than 2^64 bits. Nothing that runs here takes more. */
  private static final long MAX_ABSORBED = 1L << 61;

  static RunningOperation begin(Mechanism mechanism, byte[] key, byte[] chain) {
    return new RunningOperation(mechanism, key, 0, chain, NOTHING);
  }

  /** After so many bytes more. */
  RunningOperation advanced(long more, byte[] newChain, byte[] newPending) {
    return new RunningOperation(
        mechanism, key, Math.addExact(absorbed, more), newChain, newPending);
  }

  /** A digest that takes the value of this key next. */
  RunningOperation withKey(byte[] blob) {
    return new RunningOperation(mechanism, blob, Math.addExact(absorbed, 1), chain, pending);
  }

  byte[] encoded() {
    var bytes = new ByteArrayOutputStream(256 + key.length + pending.length);
    try (var out = new DataOutputStream(bytes)) {
      out.writeLong(mechanism.type());
      write(out, mechanism.parameters());
      write(out, key);
      out.writeLong(absorbed);
      write(out, chain);
      write(out, pending);
    } catch (IOException e) {
      throw new IllegalStateException("memory takes bytes", e);
    }
    return bytes.toByteArray();
  }

  static RunningOperation decode(byte[] encoded) {
    try (var in = new DataInputStream(new ByteArrayInputStream(encoded))) {
      var mechanism = new Mechanism(in.readLong(), parameters(in));
      var operation =
          new RunningOperation(mechanism, bytes(in), in.readLong(), bytes(in), bytes(in));
      if (in.read() >= 0 || operation.absorbed < 0 || operation.absorbed > MAX_ABSORBED) {
        throw malformed();
      }
      return operation;
    } catch (IOException e) {
      throw malformed();
    }
  }

  private static void write(DataOutputStream out, MechanismParameters parameters)
      throws IOException {
    switch (parameters) {
      case None ignored -> out.writeByte(0);
      case Bytes(byte[] value) -> {
        out.writeByte(1);
        write(out, value);
      }
      case RsaOaep(long hash, long mgf, byte[] label) -> {
        out.writeByte(2);
        out.writeLong(hash);
        out.writeLong(mgf);
        write(out, label);
      }
      case RsaPss(long hash, long mgf, long saltLength) -> {
        out.writeByte(3);
        out.writeLong(hash);
        out.writeLong(mgf);
        out.writeLong(saltLength);
      }
      case AesGcm(byte[] iv, byte[] aad, int tagBits) -> {
        out.writeByte(4);
        write(out, iv);
        write(out, aad);
        out.writeInt(tagBits);
      }
      case AesCtr(int counterBits, byte[] counterBlock) -> {
        out.writeByte(5);
        out.writeInt(counterBits);
        write(out, counterBlock);
      }
      case EdDsa(boolean preHash, byte[] context) -> {
        out.writeByte(6);
        out.writeBoolean(preHash);
        write(out, context);
      }
      case Ecdh1Derive ignored -> throw unsaveable();
      case KeyDerivationString ignored -> throw unsaveable();
      case Unserved ignored -> throw unsaveable();
    }
  }

  private static MechanismParameters parameters(DataInputStream in) throws IOException {
    return switch (in.readByte()) {
      case 0 -> None.NONE;
      case 1 -> new Bytes(bytes(in));
      case 2 -> new RsaOaep(in.readLong(), in.readLong(), bytes(in));
      case 3 -> new RsaPss(in.readLong(), in.readLong(), in.readLong());
      case 4 -> new AesGcm(bytes(in), bytes(in), in.readInt());
      case 5 -> new AesCtr(in.readInt(), bytes(in));
      case 6 -> new EdDsa(in.readBoolean(), bytes(in));
      default -> throw malformed();
    };
  }

  private static void write(DataOutputStream out, byte[] value) throws IOException {
    out.writeInt(value.length);
    out.write(value);
  }

  private static byte[] bytes(DataInputStream in) throws IOException {
    int length = in.readInt();
    if (length < 0 || length > in.available()) {
      throw malformed();
    }
    return in.readNBytes(length);
  }

  private static IllegalArgumentException unsaveable() {
    return new IllegalArgumentException("parameters of a mechanism that runs in one call");
  }

  private static Pkcs11Exception malformed() {
    return new Pkcs11Exception(Ckr.CKR_SAVED_STATE_INVALID, "state of another version");
  }

  @Override
  public String toString() {
    return "RunningOperation[" + mechanism.name() + ", " + absorbed + "]";
  }
}
