package dev.grep11.client;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import dev.grep11.proto.Grep11Error;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.channels.ClosedChannelException;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class Grep11ExceptionTest {
  private static final Any REFUSAL =
      Any.pack(
          Grep11Error.newBuilder().setCode(0xC0).setDetail("not genuine").setRetry(true).build());

  @Test
  void readsTheOneDetail() {
    var exception = Grep11Exception.of(withDetails("CKR_SIGNATURE_INVALID", REFUSAL));
    assertThat(exception.returnValue()).isEqualTo(192);
    assertThat(exception.returnValueName()).isEqualTo("CKR_SIGNATURE_INVALID");
    assertThat(exception.detail()).isEqualTo("not genuine");
    assertThat(exception.retry()).isTrue();
    assertThat(exception.answered()).isTrue();
    assertThat(exception.status()).isEqualTo(Status.Code.UNKNOWN);
    assertThat(exception).hasMessage("CKR_SIGNATURE_INVALID (UNKNOWN): not genuine");
  }

  @Test
  void countsTwoDetailsOrAForeignOneAsNone() {
    var foreign = Any.pack(ErrorInfo.newBuilder().setReason("x").build());
    for (var failure :
        new StatusRuntimeException[] {
          withDetails("odd", REFUSAL, REFUSAL), withDetails("odd", foreign), withDetails("odd")
        }) {
      var exception = Grep11Exception.of(failure);
      assertThat(exception.answered()).isFalse();
      assertThat(exception.returnValue()).isEqualTo(Ckr.CKR_GENERAL_ERROR);
      assertThat(exception.retry()).isFalse();
      assertThat(exception.detail()).isEqualTo("odd");
    }
  }

  @Test
  void takesTheNameFromTheMessageWhenThereIsNoDetail() {
    var exception =
        Grep11Exception.of(
            Status.UNKNOWN.withDescription("CKR_KEY_FUNCTION_NOT_PERMITTED").asRuntimeException());
    assertThat(exception.returnValue()).isEqualTo(0x68);
    assertThat(exception.answered()).isTrue();
  }

  @Test
  void survivesATrailerThatIsNoStatus() {
    var trailers = new Metadata();
    trailers.put(
        Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER),
        "\u0001\u0002garbage".getBytes(StandardCharsets.ISO_8859_1));
    var exception =
        Grep11Exception.of(Status.INTERNAL.withDescription("x").asRuntimeException(trailers));
    assertThat(exception.status()).isEqualTo(Status.Code.INTERNAL);
    assertThat(exception.answered()).isFalse();
  }

  /** As of a gateway that is killed in the moment in which a call is sent. */
  @Test
  void aConnectionThatIsLostUnderACallIsToBeTriedAgain() {
    var lost =
        Grep11Exception.of(
            Status.UNKNOWN
                .withDescription("channel closed")
                .withCause(new ClosedChannelException())
                .asRuntimeException());
    assertThat(lost.status()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(lost.retry()).isTrue();
    assertThat(lost.answered()).isFalse();
    var said = Status.UNKNOWN.withDescription("channel closed").asRuntimeException();
    assertThat(Grep11Exception.of(said).status()).isEqualTo(Status.Code.UNKNOWN);
    assertThat(Grep11Exception.of(said).retry()).isFalse();
  }

  @Test
  void namesTheRootCauseOfAFailedConnectionAndAllowsRepeating() {
    var exception =
        Grep11Exception.of(
            Status.UNAVAILABLE
                .withDescription("io exception")
                .withCause(new RuntimeException(new java.io.IOException("Connection refused")))
                .asRuntimeException());
    assertThat(exception).hasMessage("UNAVAILABLE: io exception: Connection refused");
    assertThat(exception.retry()).isTrue();
  }

  @Test
  void showsANumberThatHasNoName() {
    assertThat(Ckr.nameOf(0x8000DEADL)).isEqualTo("CKR_0x8000dead");
  }

  private static StatusRuntimeException withDetails(String message, Any... details) {
    var status = com.google.rpc.Status.newBuilder().setCode(2).setMessage(message);
    for (Any detail : details) {
      status.addDetails(detail);
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }
}
