package dev.grep11.gateway.operation;

import static org.assertj.core.api.Assertions.assertThat;

import dev.grep11.gateway.pkcs11.Ckr;
import dev.grep11.gateway.pkcs11.Hash;
import dev.grep11.gateway.pkcs11.Pkcs11Exception;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a hash makes of a state that is none: found by the fuzz target of state blobs. */
class RunningHashTest {
  private static final ByteBuffer DATA = ByteBuffer.wrap(new byte[200]).asReadOnlyBuffer();

  @ParameterizedTest
  @EnumSource(Hash.class)
  void goesOnFromItsStateAsIfNothingHadHappened(Hash hash) {
    var whole = RunningHash.begin(hash);
    whole.update(DATA);
    whole.update(DATA);
    var first = RunningHash.begin(hash);
    first.update(DATA);
    var second = RunningHash.resume(hash, first.state());
    second.update(DATA);
    assertThat(second.digest()).isEqualTo(whole.digest());
  }

  @ParameterizedTest
  @EnumSource(Hash.class)
  void refusesAStateItCannotGoOnFromAndNeverFailsOtherwise(Hash hash) {
    var running = RunningHash.begin(hash);
    running.update(DATA);
    var state = running.state();
    int refused = 0;
    for (int i = 0; i < state.length; i++) {
      for (int value : new int[] {0x00, 0x60, 0x7f, 0x80, 0xff}) {
        var changed = state.clone();
        changed[i] = (byte) value;
        refused += refuses(hash, changed) ? 1 : 0;
      }
      assertThat(refuses(hash, Arrays.copyOf(state, i))).as("cut to %d bytes", i).isTrue();
    }
    assertThat(refused).isPositive();
  }

  private static boolean refuses(Hash hash, byte[] state) {
    try {
      var resumed = RunningHash.resume(hash, state);
      resumed.update(DATA);
      resumed.state();
      resumed.digest();
      return false;
    } catch (Pkcs11Exception e) {
      assertThat(e.returnValue()).isEqualTo(Ckr.CKR_SAVED_STATE_INVALID);
      return true;
    }
  }
}
