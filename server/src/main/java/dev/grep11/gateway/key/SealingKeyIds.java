package dev.grep11.gateway.key;

import java.util.List;

/**
 * One generation of sealing keys by the CKA_ID that each has in the token, 16 random bytes each.
 * The master-key id is what blobs name; it belongs to no object.
 *
 * @param kekN wraps non-extractable keys
 * @param kekX wraps extractable keys
 * @param macKey authenticates headers and public keys (HMAC-SHA256)
 * @param valueKey encrypts values of keys that the token cannot wrap
 * @param root derives keys for running operations and pseudo-random answers (HMAC-SHA256)
 */
public record SealingKeyIds(
    byte[] masterKeyId, byte[] kekN, byte[] kekX, byte[] macKey, byte[] valueKey, byte[] root) {
  public SealingKeyIds {
    for (var id : List.of(masterKeyId, kekN, kekX, macKey, valueKey, root)) {
      if (id.length != SealedKey.ID_LENGTH) {
        throw new IllegalArgumentException("an id of " + id.length + " bytes");
      }
    }
  }
}
