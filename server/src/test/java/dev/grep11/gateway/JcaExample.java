package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.jca.Grep11Provider;
import java.io.IOException;
import java.net.InetAddress;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/** A TLS server whose key is only behind the gateway: says one line to one client. */
public final class JcaExample {

  /** Reads the environment that {@code grep11 up} writes down; the port is the argument. */
  public static void main(String[] arguments) throws GeneralSecurityException, IOException {
    Provider provider = new Grep11Provider().configure(System.getenv("EP11CLIENT_CFG"));
    Security.addProvider(provider);
    KeyStore keys = KeyStore.getInstance("GREP11");
    keys.load(null, System.getenv("GREP11_APIKEY").toCharArray());

    KeyManagerFactory managers =
        KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    managers.init(keys, null);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(managers.getKeyManagers(), null, null);

    int port = Integer.parseInt(arguments[0]);
    try (var listening =
        context
            .getServerSocketFactory()
            .createServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
      System.out.println("ready port=" + listening.getLocalPort());
      try (var client = listening.accept()) {
        client.getOutputStream().write("the key is in the HSM\n".getBytes(UTF_8));
      }
    }
  }

  private JcaExample() {}
}
