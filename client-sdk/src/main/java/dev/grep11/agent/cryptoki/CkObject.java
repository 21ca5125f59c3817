package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Cka.CKA_CLASS;
import static dev.grep11.client.Cka.CKA_PRIVATE;
import static dev.grep11.client.Cka.CKA_TOKEN;

import dev.grep11.agent.store.Attributes;
import dev.grep11.agent.store.StoredObject;
import dev.grep11.client.Cko;
import dev.grep11.client.KeyBlob;
import dev.grep11.client.PrivateKeyBlob;
import dev.grep11.client.PublicKeyBlob;
import dev.grep11.client.SecretKeyBlob;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * An object as an application sees it. Immutable; a change is another one with the same handle.
 *
 * @param handle the same in all sessions of the application for as long as the object exists
 * @param session the session that a session object dies with; 0 of a token object
 * @param stored id and version of a token object
 * @param blobs the sealed key, none of data and certificates
 */
record CkObject(
    long handle,
    long slot,
    long session,
    Optional<Stored> stored,
    Attributes attributes,
    List<byte[]> blobs) {

  /** Where a token object is kept. */
  record Stored(UUID id, long version, boolean inPrivateStore) {}

  CkObject {
    blobs = List.copyOf(blobs);
  }

  CkObject with(Attributes changed, List<byte[]> changedBlobs) {
    return new CkObject(handle, slot, session, stored, changed, changedBlobs);
  }

  CkObject with(StoredObject now, boolean inPrivateStore) {
    return new CkObject(
        handle,
        slot,
        session,
        Optional.of(new Stored(now.id(), now.version(), inPrivateStore)),
        now.attributes(),
        now.blobs());
  }

  boolean isToken() {
    return attributes.isTrue(CKA_TOKEN);
  }

  boolean isPrivate() {
    return attributes.isTrue(CKA_PRIVATE);
  }

  long objectClass() {
    return attributes.number(CKA_CLASS).orElse(-1);
  }

  boolean isKey() {
    return !blobs.isEmpty();
  }

  boolean hasBlobs(List<byte[]> others) {
    return Arrays.deepEquals(blobs.toArray(), others.toArray());
  }

  /** Bytes, about as many as it takes in memory. */
  long size() {
    long attributeBytes =
        attributes.toMap().values().stream().mapToLong(value -> 64 + value.length).sum();
    return attributeBytes + blobs.stream().mapToLong(blob -> blob.length).sum();
  }

  /** The key for a call of the gateway. */
  KeyBlob key() {
    return key(blobs.get(0));
  }

  /** The same key by one of its blobs. */
  KeyBlob key(byte[] blob) {
    long objectClass = objectClass();
    if (objectClass == Cko.CKO_SECRET_KEY) {
      return new SecretKeyBlob(blob);
    }
    return objectClass == Cko.CKO_PRIVATE_KEY ? new PrivateKeyBlob(blob) : new PublicKeyBlob(blob);
  }

  @Override
  public String toString() {
    return "CkObject[" + handle + "]";
  }
}
