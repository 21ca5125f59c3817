import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.Security;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * A TLS server whose key is in a token that SunPKCS11 finds, and a client that trusts the token's certificates and no others.
 *
 * <p>TlsServer CONFIGURATION ALIAS, with PIN in the environment.
 */
public class TlsServer {
  private static final byte[] GREETING = "served with a key of the HSM".getBytes(StandardCharsets.UTF_8);

  public static void main(String[] arguments) throws Exception {
    var configuration = arguments[0];
    var alias = arguments[1];
    var pin = System.getenv("PIN").toCharArray();

    var provider = Security.getProvider("SunPKCS11").configure(configuration);
    Security.addProvider(provider);
    var keys = KeyStore.getInstance("PKCS11", provider);
    keys.load(null, pin);
    var managers = KeyManagerFactory.getInstance("PKIX");
    managers.init(keys, null);

    if (keys.getKey(alias, null).getEncoded() != null) {
      throw new IllegalStateException("the private key left the token");
    }
    var server = SSLContext.getInstance("TLS");
    server.init(managers.getKeyManagers(), null, null);

    var trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    // Of several certificates in the token the server takes whichever suits the client.
    for (var each : Collections.list(keys.aliases())) {
      trusted.setCertificateEntry(each, keys.getCertificate(each));
    }
    var trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(trusted);
    var client = SSLContext.getInstance("TLS");
    client.init(null, trust.getTrustManagers(), null);

    for (var version : new String[] {"TLSv1.2", "TLSv1.3"}) {
      System.out.println(version + " " + shake(server, client, version));
    }
  }

  /** The cipher suite of a connection over which the greeting came. */
  private static String shake(SSLContext server, SSLContext client, String version) throws Exception {
    try (var listening = (SSLServerSocket) server.getServerSocketFactory().createServerSocket(0)) {
      var failure = new AtomicReference<Exception>();
      var serving =
          new Thread(
              () -> {
                try (var accepted = listening.accept()) {
                  accepted.getOutputStream().write(GREETING);
                } catch (Exception e) {
                  failure.set(e);
                }
              });
      serving.start();
      try (var socket = (SSLSocket) client.getSocketFactory().createSocket("localhost", listening.getLocalPort())) {
        socket.setSoTimeout(60_000);
        socket.setEnabledProtocols(new String[] {version});
        var received = socket.getInputStream().readNBytes(GREETING.length);
        if (!Arrays.equals(received, GREETING)) {
          throw new IllegalStateException("the greeting did not come", failure.get());
        }
        return socket.getSession().getCipherSuite();
      } finally {
        serving.join();
      }
    }
  }
}
