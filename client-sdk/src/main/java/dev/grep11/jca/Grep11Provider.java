package dev.grep11.jca;

import dev.grep11.agent.config.ClientConfig.Iam;
import dev.grep11.agent.config.ClientConfig.Storage;
import dev.grep11.agent.config.ClientConfig.Token;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.config.ConfigException;
import dev.grep11.agent.config.Secret;
import dev.grep11.agent.config.UserConnection;
import dev.grep11.client.Grep11Client;
import dev.grep11.client.Grep11Exception;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.AuthProvider;
import java.security.InvalidParameterException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.Provider;
import java.security.ProviderException;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import javax.security.auth.Subject;
import javax.security.auth.callback.CallbackHandler;
import javax.security.auth.callback.PasswordCallback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.FailedLoginException;
import javax.security.auth.login.LoginException;
import org.jspecify.annotations.Nullable;

/**
 * Keys behind a GREP11 gateway as a JCA provider named {@code Grep11}.
 *
 * <pre>{@code
 * var provider = new Grep11Provider().configure("grep11client.yaml");
 * Security.addProvider(provider);
 * var keys = KeyStore.getInstance("GREP11", provider);
 * keys.load(null, apiKey);
 * var signature = Signature.getInstance("SHA256withECDSA");
 * signature.initSign((PrivateKey) keys.getKey("orders", null));
 * }</pre>
 *
 * <p>Register it behind the JDK's providers, as {@link Security#addProvider} does. Operations still
 * find it by the class of their key, and the connection to the gateway needs the JDK's own.
 *
 * <p>Who logs in by {@code KeyStore.load(null, apiKey)} or {@link #login} has a connection of the
 * provider, which his keys use; the last login is that of the key generators and of {@code
 * SecureRandom}. {@link #logout} closes all connections, and keys that came by them are of no use
 * any more. Safe for use by several threads.
 */
public final class Grep11Provider extends AuthProvider {
  /** The name by which {@link Security#getProvider} finds it. */
  public static final String NAME = "Grep11";

  private static final long serialVersionUID = 1;
  private static final System.Logger LOG = System.getLogger(Grep11Provider.class.getName());

  /** A connection, and the SHA-256 of the API key that it was made with. */
  private record Known(Login login, byte[] keyHash) {}

  private final transient Optional<Token> token;

  /** Of a provider that was made from a client. */
  private final transient Optional<Login> given;

  private final transient Object lock = new Object();

  /** The last one is who the provider is at present. Guarded by {@link #lock}. */
  private final transient List<Known> logins = new ArrayList<>();

  private transient volatile @Nullable CallbackHandler handler;

  /** Without a gateway; {@link #configure} makes one that has it. */
  public Grep11Provider() {
    this(Optional.empty(), Optional.empty());
  }

  /**
   * Over a client of the application, which stays the application's to close, without a keystore:
   * keys are made and used, and the KeyStore is empty.
   */
  public Grep11Provider(Grep11Client client) {
    this(Optional.empty(), Optional.of(Login.ofClient(client, Optional.empty(), Optional.empty())));
  }

  /** As {@link #Grep11Provider(Grep11Client)}, with the keystore that the KeyStore shows. */
  public Grep11Provider(Grep11Client client, UUID keystore) {
    this(
        Optional.empty(),
        Optional.of(Login.ofClient(client, Optional.of(keystore), Optional.empty())));
  }

  /**
   * As {@link #Grep11Provider(Grep11Client, UUID)}, of a keystore with a password.
   *
   * @param password copied; wipe yours
   */
  public Grep11Provider(Grep11Client client, UUID keystore, char[] password) {
    this(
        Optional.empty(),
        Optional.of(
            Login.ofClient(
                client, Optional.of(keystore), Optional.of(new Secret(new String(password))))));
  }

  private Grep11Provider(Optional<Token> token, Optional<Login> given) {
    super(NAME, "0.1", "Keys behind a GREP11 gateway");
    this.token = token;
    this.given = given;
    for (var engine : Engines.of(this)) {
      putService(engine);
    }
  }

  /**
   * A provider with the gateway of a {@code grep11client.yaml}, the file of the PKCS #11 agent; of
   * several tokens that with the lowest slot number.
   *
   * @param yaml path of the file; empty for the one that {@code EP11CLIENT_CFG} names, or that lies
   *     where docs/pkcs11.md says
   * @throws InvalidParameterException naming every key of the file that is wrong
   */
  @Override
  public Provider configure(String yaml) {
    try {
      Path file =
          yaml.isEmpty()
              ? ClientConfigFile.find(System.getenv(), Path.of("").toAbsolutePath())
              : Path.of(yaml);
      var config = ClientConfigFile.read(file);
      config.warnings().forEach(warning -> LOG.log(System.Logger.Level.WARNING, warning));
      Token first = config.tokens().values().iterator().next();
      if (!(first.storage() instanceof Storage.Remote || first.storage() instanceof Storage.None)) {
        throw new InvalidParameterException(
            "%s: tokens.%d.storage: the JCA provider keeps entries in remotestore only"
                .formatted(file, first.slot()));
      }
      return new Grep11Provider(Optional.of(first), Optional.empty());
    } catch (ConfigException e) {
      throw (InvalidParameterException) new InvalidParameterException(e.getMessage()).initCause(e);
    }
  }

  @Override
  public boolean isConfigured() {
    return token.isPresent() || given.isPresent();
  }

  /**
   * {@code SecureRandom.GREP11} is found here and nowhere else: were it registered, {@code new
   * SecureRandom()} could choose it, and the connection to the gateway needs random bytes itself.
   */
  @Override
  public @Nullable Service getService(String type, String algorithm) {
    return type.equals("SecureRandom") && algorithm.equalsIgnoreCase("GREP11")
        ? Engines.random(this)
        : super.getService(type, algorithm);
  }

  // ---- Logging in

  /**
   * Logs in the normal user of the configuration.
   *
   * @param subject not used
   * @param asked gets a {@link PasswordCallback} for the API key; without it {@link
   *     #setCallbackHandler}
   */
  @Override
  public void login(@Nullable Subject subject, @Nullable CallbackHandler asked)
      throws LoginException {
    if (given.isPresent()) {
      return;
    }
    var used = asked == null ? handler : asked;
    if (used == null) {
      throw new LoginException(
          "no CallbackHandler that could be asked for the API key; or use KeyStore.load(null,"
              + " apiKey)");
    }
    login(used);
  }

  private Login login(CallbackHandler used) throws LoginException {
    var callback = new PasswordCallback("API key: ", false);
    try {
      used.handle(new javax.security.auth.callback.Callback[] {callback});
      char[] apiKey = callback.getPassword();
      if (apiKey == null) {
        throw new FailedLoginException("the CallbackHandler gave no API key");
      }
      try {
        return login(apiKey);
      } finally {
        Arrays.fill(apiKey, '\0');
      }
    } catch (IOException | UnsupportedCallbackException e) {
      throw caused(new LoginException("the CallbackHandler failed: " + e.getMessage()), e);
    } finally {
      callback.clearPassword();
    }
  }

  /** Closes every connection. Keys that came by them are of no use any more. */
  @Override
  public void logout() {
    List<Known> ended;
    synchronized (lock) {
      ended = List.copyOf(logins);
      logins.clear();
    }
    // Without the lock: calls that run get seconds to finish.
    ended.forEach(known -> known.login().close());
  }

  @Override
  public void setCallbackHandler(@Nullable CallbackHandler handler) {
    this.handler = handler;
  }

  /**
   * Who the provider is at present, for what has no key that would say it.
   *
   * @throws ProviderException when nobody has logged in
   */
  Login current() {
    return currently()
        .orElseThrow(() ->
            new ProviderException(
                isConfigured()
                    ? "nobody is logged in: KeyStore.load(null, apiKey) or Grep11Provider.login"
                    : "the provider has no gateway yet: use what configure(\"grep11client.yaml\")"
                        + " returns"));
  }

  private Optional<Login> currently() {
    if (given.isPresent()) {
      return given;
    }
    synchronized (lock) {
      return logins.isEmpty()
          ? Optional.empty()
          : Optional.of(logins.get(logins.size() - 1).login());
    }
  }

  /**
   * Who a KeyStore is for.
   *
   * @param apiKey null for who is logged in already; else, where a handler was set, who that says;
   *     else who does not log in and sees the public keystore alone
   */
  Login loginFor(char @Nullable [] apiKey) throws LoginException {
    if (given.isPresent()) {
      if (apiKey != null && apiKey.length > 0) {
        throw new LoginException(
            "this provider was made from a Grep11Client, which is logged in: use load(null, null)");
      }
      requirePlaceBehindTheJdk();
      return given.get();
    }
    if (apiKey != null && apiKey.length > 0) {
      return login(apiKey);
    }
    var already = currently();
    if (already.isPresent()) {
      return already.get();
    }
    var asked = handler;
    // Its own login: by now somebody else's may be the last.
    return asked == null ? loginAnonymously() : login(asked);
  }

  private Token configured() throws LoginException {
    return token.orElseThrow(() ->
        new LoginException(
            "the provider has no gateway yet: use what configure(\"grep11client.yaml\") returns"));
  }

  private Login login(char[] apiKey) throws LoginException {
    var user = configured();
    byte[] pin = utf8(apiKey);
    try {
      if (user.normal().iam().isEmpty()
          && user.normal().keystorePassword().filter(password -> password.is(pin)).isEmpty()) {
        throw new FailedLoginException("not the password of the keystore");
      }
      var anonymous = user.anonymous().iam().flatMap(Iam::apiKey);
      if (anonymous.filter(key -> key.is(pin)).isPresent()) {
        throw new FailedLoginException(
            "the API key of the anonymous user, which proves nothing about who asks; each user needs"
                + " a key of his own");
      }
      return keep(apiKey, sha256(pin), user, false);
    } finally {
      Arrays.fill(pin, (byte) 0);
    }
  }

  private Login loginAnonymously() throws LoginException {
    var user = configured();
    char[] apiKey =
        user.anonymous().iam().flatMap(Iam::apiKey).map(Secret::chars).orElse(new char[0]);
    try {
      return keep(apiKey, new byte[0], user, true);
    } finally {
      Arrays.fill(apiKey, '\0');
    }
  }

  /** Over the connection that was made with the same API key, which is checked at each login. */
  private Login keep(char[] apiKey, byte[] keyHash, Token user, boolean anonymous)
      throws LoginException {
    requirePlaceBehindTheJdk();
    var known = known(keyHash);
    var asked =
        known.isPresent() ? known.get() : new Known(connect(apiKey, user, anonymous), keyHash);
    try {
      // Without the lock: while the gateway is away, nobody waits but who logs in.
      asked.login().reach().ask(Grep11Client::mechanisms);
    } catch (Grep11Exception e) {
      if (known.isEmpty()) {
        asked.login().close();
      }
      throw refused(e);
    }
    return current(asked, known.isEmpty());
  }

  private Optional<Known> known(byte[] keyHash) {
    synchronized (lock) {
      return logins.stream()
          .filter(login -> MessageDigest.isEqual(login.keyHash(), keyHash))
          .findFirst();
    }
  }

  /** Of those who logged in at once with one API key the first stays: it may have keys already. */
  private Login current(Known asked, boolean isNew) throws LoginException {
    Known now;
    synchronized (lock) {
      var known = known(asked.keyHash());
      if (known.isEmpty() && !isNew) {
        throw new LoginException("logout() came before the gateway's answer: log in again");
      }
      now = known.orElse(asked);
      logins.remove(now);
      logins.add(now);
    }
    if (!now.equals(asked)) {
      asked.login().close();
    }
    return now.login();
  }

  private static Login connect(char[] apiKey, Token token, boolean anonymous)
      throws LoginException {
    try {
      var connection =
          new UserConnection(
              token,
              anonymous ? token.anonymous() : token.normal(),
              apiKey,
              message -> LOG.log(System.Logger.Level.WARNING, message));
      if (token.storage() instanceof Storage.None) {
        return new Login(connection::ask, List.of(), Optional.of(connection));
      }
      return anonymous ? Login.ofAnonymous(token, connection) : Login.ofUser(token, connection);
    } catch (IllegalArgumentException e) {
      throw caused(
          new LoginException("the configuration's files cannot be used: " + e.getMessage()), e);
    }
  }

  private static LoginException refused(Grep11Exception e) {
    boolean ofTheKey =
        e.status() == io.grpc.Status.Code.UNAUTHENTICATED
            || e.returnValue() == dev.grep11.client.Ckr.CKR_IBM_GREP11_NOT_AUTHENTICATED;
    return ofTheKey
        ? caused(
            new FailedLoginException(
                "the gateway or its token service refused the API key: " + e.getMessage()),
            e)
        : caused(new LoginException(Remedy.of(e)), e);
  }

  /**
   * Before the JDK's it would be asked for the ephemeral keys of every TLS connection, that to the
   * gateway among them.
   */
  @SuppressWarnings("ReferenceEquality") // Providers are equal by their properties.
  private void requirePlaceBehindTheJdk() throws LoginException {
    for (var provider : Security.getProviders()) {
      if (provider == this) {
        throw new LoginException(
            "the provider Grep11 stands before all others that make EC keys, so that its own"
                + " connection would need it; register it by Security.addProvider, or with a higher"
                + " number in java.security");
      }
      if (provider.getService("KeyPairGenerator", "EC") != null) {
        return;
      }
    }
  }

  private static byte[] utf8(char[] text) {
    ByteBuffer encoded = StandardCharsets.UTF_8.encode(CharBuffer.wrap(text));
    byte[] bytes = new byte[encoded.remaining()];
    encoded.get(bytes);
    encoded.clear();
    encoded.put(new byte[encoded.remaining()]);
    return bytes;
  }

  private static byte[] sha256(byte[] bytes) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static <E extends Throwable> E caused(E exception, Throwable cause) {
    exception.initCause(cause);
    return exception;
  }
}
