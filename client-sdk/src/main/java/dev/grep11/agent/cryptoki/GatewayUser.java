package dev.grep11.agent.cryptoki;

import static dev.grep11.client.Ckr.CKR_DEVICE_ERROR;
import static dev.grep11.client.Ckr.CKR_DEVICE_REMOVED;
import static dev.grep11.client.Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED;
import static dev.grep11.client.Ckr.CKR_USER_NOT_LOGGED_IN;

import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import dev.grep11.proto.CryptoGrpc.CryptoBlockingStub;
import io.grpc.StatusRuntimeException;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * The gateway as one user reaches it: one connection, whose certificate files are read again when
 * they change. Used by any number of threads.
 */
final class GatewayUser implements AutoCloseable {
  private final Supplier<Grep11Client> connect;
  private final CertificateFiles files;
  private final Consumer<String> warn;
  private final Runnable reached;

  private volatile Grep11Client client;
  private volatile boolean closed;

  /**
   * @param connect makes a connection from what the files hold now
   * @param warn gets a line for people when changed files cannot be used
   * @param reached told when the gateway answered
   */
  GatewayUser(
      Supplier<Grep11Client> connect,
      CertificateFiles files,
      Consumer<String> warn,
      Runnable reached) {
    this.connect = connect;
    this.files = files;
    this.warn = warn;
    this.reached = reached;
    this.client = connect.get();
  }

  /** A call of the SDK, with its failures as return values. */
  <T> T call(Function<Grep11Client, T> call) {
    try {
      return ask(call);
    } catch (Grep11Exception e) {
      throw refusal(e);
    } catch (StatusRuntimeException e) {
      throw refusal(Grep11Exception.of(e));
    } catch (IllegalArgumentException e) {
      // The SDK's own check of an argument, made before the gateway is asked.
      throw new Refusal(dev.grep11.client.Ckr.CKR_ARGUMENTS_BAD, String.valueOf(e.getMessage()), e);
    }
  }

  /** A call of the SDK, with its own failures. */
  <T> T ask(Function<Grep11Client, T> call) {
    reloadIfChanged();
    T result = call.apply(client);
    reached.run();
    return result;
  }

  /** A call through the generated stub: one part of an operation. */
  <T> T part(Function<CryptoBlockingStub, T> call) {
    return call(sdk -> call.apply(sdk.stub()));
  }

  /** How a failure at the gateway, or on the way there, looks to a PKCS #11 application. */
  static Refusal refusal(Grep11Exception e) {
    if (e.answered()) {
      // To an application this is a login that is no longer good, which it may do again.
      return e.returnValue() == CKR_IBM_GREP11_NOT_AUTHENTICATED
          ? new Refusal(CKR_USER_NOT_LOGGED_IN, e.detail(), e)
          : new Refusal(e.returnValue(), e.detail(), e);
    }
    long returnValue =
        switch (e.status()) {
          case UNAVAILABLE -> CKR_DEVICE_REMOVED;
          // The token service did not take the API key.
          case UNAUTHENTICATED -> CKR_USER_NOT_LOGGED_IN;
          default -> CKR_DEVICE_ERROR;
        };
    return new Refusal(returnValue, e.detail(), e);
  }

  private void reloadIfChanged() {
    if (!files.changed()) {
      return;
    }
    synchronized (files) {
      if (closed || !files.takeChange()) {
        return;
      }
      var before = client;
      try {
        client = connect.get();
      } catch (IllegalArgumentException e) {
        // Half written, perhaps: the next change is looked at again.
        warn.accept("the changed certificate files are not used: " + e.getMessage());
        return;
      }
      // Its calls may still run: closing waits for them.
      var closing = new Thread(before::close, "agent-old-connection");
      closing.setDaemon(true);
      closing.start();
    }
  }

  @Override
  public void close() {
    synchronized (files) {
      closed = true;
      client.close();
    }
  }
}
