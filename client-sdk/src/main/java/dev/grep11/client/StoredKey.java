package dev.grep11.client;

import com.google.protobuf.ByteString;
import dev.grep11.proto.KeyBlob;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.UUID;

/**
 * An object in a {@link Keystore}: attributes, and for a key its blob, as it was at one version.
 * Immutable; {@code with} answers a changed copy of the same version, for {@link Keystore#update}.
 */
public final class StoredKey {
  private static final int UUID_LENGTH = 16;

  private final UUID id;
  private final long version;
  private final Template attributes;
  private final List<ByteString> blobs;

  private StoredKey(UUID id, long version, Template attributes, List<ByteString> blobs) {
    this.id = id;
    this.version = version;
    this.attributes = attributes;
    this.blobs = List.copyOf(blobs);
  }

  static StoredKey of(KeyBlob wire) {
    return new StoredKey(
        uuid(wire.getKeyBlobID()),
        wire.getVersion(),
        Template.of(wire.getAttributesMap()),
        wire.getKeyBlobsList());
  }

  static StoredKey fresh(UUID id, Template attributes, List<ByteString> blobs) {
    return new StoredKey(id, 0, attributes, blobs);
  }

  public UUID id() {
    return id;
  }

  /** 0, and one more with each update. */
  public long version() {
    return version;
  }

  public Template attributes() {
    return attributes;
  }

  /**
   * The key as a secret key.
   *
   * @throws NoSuchElementException when this has no blob, as certificates and data objects
   */
  public SecretKeyBlob secretKey() {
    return new SecretKeyBlob(blob(), ByteString.EMPTY);
  }

  /** As {@link #secretKey()}, of a private key. */
  public PrivateKeyBlob privateKey() {
    return new PrivateKeyBlob(blob(), ByteString.EMPTY);
  }

  /** As {@link #secretKey()}, of a public key. */
  public PublicKeyBlob publicKey() {
    return new PublicKeyBlob(blob(), ByteString.EMPTY);
  }

  private ByteString blob() {
    if (blobs.isEmpty()) {
      throw new NoSuchElementException("this object has no key blob");
    }
    return blobs.get(0);
  }

  /**
   * The blobs of the key, as copies, the best one first. There are two while the operator rotates
   * the master key; the second one lasts until the old master key is retired.
   */
  public List<byte[]> blobs() {
    return blobs.stream().map(ByteString::toByteArray).toList();
  }

  /** With all attributes replaced. */
  public StoredKey with(Template others) {
    return new StoredKey(id, version, others, blobs);
  }

  /** With another blob of the key, for instance of {@link Grep11Client#setAttributes}. */
  public StoredKey with(dev.grep11.client.KeyBlob blob) {
    return new StoredKey(id, version, attributes, List.of(blob.wireBytes()));
  }

  /** As a request carries it. */
  KeyBlob toMessage(UUID transaction) {
    return KeyBlob.newBuilder()
        .setKeyBlobID(bytes(id))
        .setVersion(version)
        .setTxID(bytes(transaction))
        .putAllAttributes(attributes.toMap())
        .addAllKeyBlobs(blobs)
        .build();
  }

  static List<ByteString> bytes(List<UUID> ids) {
    var encoded = new ArrayList<ByteString>(ids.size());
    ids.forEach(id -> encoded.add(bytes(id)));
    return encoded;
  }

  static ByteString bytes(UUID id) {
    var bytes =
        ByteBuffer.allocate(UUID_LENGTH)
            .putLong(id.getMostSignificantBits())
            .putLong(id.getLeastSignificantBits())
            .flip();
    return ByteString.copyFrom(bytes);
  }

  static UUID uuid(ByteString id) {
    if (id.size() != UUID_LENGTH) {
      throw new IllegalStateException("the gateway answered an id of " + id.size() + " bytes");
    }
    var in = id.asReadOnlyByteBuffer();
    return new UUID(in.getLong(), in.getLong());
  }

  /** Id, version and the numbers of the attributes. */
  @Override
  public String toString() {
    return "StoredKey[" + id + ", version " + version + ", " + attributes + "]";
  }
}
