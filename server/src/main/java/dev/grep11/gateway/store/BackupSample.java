package dev.grep11.gateway.store;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/**
 * A key blob that was made for a backup and that no client has, so that whoever tries the backup
 * has one of each master key to open.
 *
 * @param masterKey what it is sealed under, in hexadecimal
 * @param blob as clients hold them (docs/key-blob.md)
 * @param ciphertext what the key made, before the backup, of a text that is known
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
public record BackupSample(UUID instance, String masterKey, byte[] blob, byte[] ciphertext) {

  static void write(DataOutputStream out, List<BackupSample> samples) throws IOException {
    out.writeInt(samples.size());
    for (var each : samples) {
      Fields.uuid(out, each.instance());
      Fields.text(out, each.masterKey());
      Fields.blob(out, each.blob());
      Fields.blob(out, each.ciphertext());
    }
  }

  static List<BackupSample> read(DataInputStream in) throws IOException {
    List<BackupSample> samples = new ArrayList<>();
    for (int left = in.readInt(); left > 0; left--) {
      samples.add(
          new BackupSample(
              Fields.uuid(in), BackedUp.text(in), BackedUp.blob(in), BackedUp.blob(in)));
    }
    return samples;
  }

  @Override
  public String toString() {
    return "BackupSample[master key " + masterKey + " of instance " + instance + "]";
  }
}
