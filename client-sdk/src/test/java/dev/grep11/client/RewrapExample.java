package dev.grep11.client;

import java.util.Map;

/** Brings the blobs that an application keeps under the instance's newest master key. */
public final class RewrapExample {

  /**
   * To be run after the operator has made a next master key, as often as one likes.
   *
   * @param stored the blobs by whatever names them; each is replaced when its new form is there
   * @return how many had to be moved; 0 says that it is done
   */
  static <K extends KeyBlob> int rewrapAll(Grep11Client client, Map<String, K> stored) {
    int moved = 0;
    for (var entry : stored.entrySet()) {
      try {
        entry.setValue(client.rewrap(entry.getValue()));
        moved++;
      } catch (Grep11Exception e) {
        if (e.returnValue() != Ckr.CKR_IBM_WK_NOT_INITIALIZED || e.retry()) {
          throw e;
        }
        // This one is under the newest master key already.
      }
    }
    return moved;
  }

  private RewrapExample() {}
}
