package dev.grep11.gateway.trust;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.grep11.gateway.trust.Revocations.Authority;
import dev.grep11.gateway.trust.Revocations.DenyList;
import dev.grep11.gateway.trust.Revocations.Numbered;
import dev.grep11.gateway.trust.Revocations.RevocationList;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.StringReader;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.x509.CertificateList;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.Extensions;
import org.bouncycastle.asn1.x509.TBSCertList;
import org.bouncycastle.util.io.pem.PemReader;
import org.jspecify.annotations.Nullable;

/**
 * The files that name revoked certificates. They are read at once and at every {@link #refresh};
 * nothing is fetched from anywhere. What cannot be read refuses the clients it is about.
 */
public final class RevocationFiles {
  private static final int MAX_CRL_BYTES = 32 * 1024 * 1024;
  private static final int MAX_OTHER_BYTES = 1024 * 1024;

  private static final Pattern FINGERPRINT = Pattern.compile("sha256:([0-9A-Fa-f:]+)");
  private static final Pattern NUMBER = Pattern.compile("serial:([0-9A-Fa-f:]+)\\s+issuer:(.+)");

  private final RevocationSettings settings;
  private Map<Path, String> seen = Map.of();
  private volatile Revocations current;

  public RevocationFiles(RevocationSettings settings) {
    this.settings = settings;
    current = Revocations.NONE;
    if (!settings.equals(RevocationSettings.NONE)) {
      refresh();
    }
  }

  public Revocations current() {
    return current;
  }

  /**
   * Looks at the files again; meant to be called every few seconds, off the event loops.
   *
   * @return whether their content changed, so that every connection is to be judged again
   */
  public synchronized boolean refresh() {
    var contents = new HashMap<Path, Content>();
    settings.denyFile().ifPresent(file -> contents.put(file, content(file, MAX_OTHER_BYTES)));
    for (var setting : settings.crls()) {
      contents.put(setting.ca(), content(setting.ca(), MAX_OTHER_BYTES));
      contents.put(setting.crl(), content(setting.crl(), MAX_CRL_BYTES));
    }
    var found = new HashMap<Path, String>();
    contents.forEach((file, content) -> found.put(file, content.digest()));
    if (found.equals(seen)) {
      return false;
    }
    current = read(contents);
    seen = found;
    return true;
  }

  /** What is in a file, or why it cannot be read. */
  private sealed interface Content {
    record Bytes(byte[] bytes) implements Content {}

    record Missing(String why) implements Content {}

    default String digest() {
      return switch (this) {
        case Bytes(var bytes) -> Fingerprint.of(bytes);
        case Missing(var why) -> why;
      };
    }
  }

  private static Content content(Path file, int limit) {
    try (var stream = Files.newInputStream(file)) {
      var bytes = stream.readNBytes(limit + 1);
      return bytes.length > limit
          ? new Content.Missing(file + " is larger than " + limit + " bytes; make it smaller")
          : new Content.Bytes(bytes);
    } catch (IOException e) {
      return new Content.Missing(
          file
              + " cannot be read ("
              + e.getClass().getSimpleName()
              + "); put it there or take it"
              + " out of clientCas");
    }
  }

  private static final class UnusableException extends Exception {
    private static final long serialVersionUID = 1;

    UnusableException(String message) {
      super(message);
    }
  }

  private static byte[] bytes(Map<Path, Content> contents, Path file) throws UnusableException {
    return switch (contents.get(file)) {
      case Content.Bytes(var bytes) -> bytes;
      case Content.Missing(var why) -> throw new UnusableException(why);
      case null -> throw new IllegalStateException("every configured file was looked at");
    };
  }

  private Revocations read(Map<Path, Content> contents) {
    var lists = new HashMap<Authority, List<RevocationList>>();
    try {
      var denied =
          settings.denyFile().isEmpty()
              ? DenyList.EMPTY
              : denyList(settings.denyFile().get(), bytes(contents, settings.denyFile().get()));
      for (var setting : settings.crls()) {
        var ca = ca(setting.ca(), bytes(contents, setting.ca()));
        lists
            .computeIfAbsent(Authority.of(ca), _ -> new ArrayList<>())
            .add(list(setting.crl(), contents, ca));
      }
      return new Revocations(denied, lists, Optional.empty());
    } catch (UnusableException e) {
      // Whom the rest is about is not known, so nobody is let in.
      return new Revocations(DenyList.EMPTY, Map.of(), Optional.of(String.valueOf(e.getMessage())));
    }
  }

  private static DenyList denyList(Path file, byte[] content) throws UnusableException {
    var fingerprints = new HashSet<String>();
    var numbers = new HashSet<Numbered>();
    int number = 0;
    for (var line : new String(content, UTF_8).split("\n", -1)) {
      number++;
      var text = line.strip();
      if (text.isEmpty() || text.startsWith("#")) {
        continue;
      }
      var fingerprint = FINGERPRINT.matcher(text);
      var numbered = NUMBER.matcher(text);
      try {
        if (fingerprint.matches() && hex(fingerprint.group(1)).length() == 64) {
          fingerprints.add(hex(fingerprint.group(1)));
        } else if (numbered.matches()) {
          numbers.add(
              new Numbered(
                  new X500Principal(numbered.group(2)),
                  new BigInteger(hex(numbered.group(1)), 16)));
        } else {
          throw new IllegalArgumentException("neither form");
        }
      } catch (IllegalArgumentException e) {
        throw new UnusableException(
            file
                + ", line "
                + number
                + ": expected sha256:HEX (64 digits) or serial:HEX issuer:DN; correct the line");
      }
    }
    return new DenyList(Set.copyOf(fingerprints), Set.copyOf(numbers));
  }

  /** As openssl prints it, too: in capitals and with colons. */
  private static String hex(String printed) {
    return printed.replace(":", "").toLowerCase(Locale.ROOT);
  }

  private static PathCertificate ca(Path file, byte[] content) throws UnusableException {
    try {
      var found =
          CertificateFactory.getInstance("X.509")
              .generateCertificates(new ByteArrayInputStream(content));
      if (found.size() == 1) {
        return PathCertificate.of((X509Certificate) found.iterator().next());
      }
    } catch (GeneralSecurityException | RuntimeException e) {
      throw new UnusableException(file + " is not a certificate; put the CA's certificate there");
    }
    throw new UnusableException(file + " must hold the certificate of one CA and no other");
  }

  private static RevocationList list(Path file, Map<Path, Content> contents, PathCertificate ca) {
    try {
      return list(file, bytes(contents, file), ca);
    } catch (UnusableException e) {
      return new RevocationList.Unknown(String.valueOf(e.getMessage()));
    } catch (IOException | RuntimeException e) {
      // Parsers say by many exceptions that they were given something else.
      return new RevocationList.Unknown(
          file + " is not a revocation list in PEM or DER; put the CA's current list there");
    }
  }

  private static RevocationList list(Path file, byte[] content, PathCertificate ca)
      throws UnusableException, IOException {
    var list = CertificateList.getInstance(Der.read(der(file, content)));
    var signed = list.getTBSCertList();
    if (!new X500Principal(list.getIssuer().getEncoded()).equals(ca.subject())) {
      throw new UnusableException(file + " is of another CA than " + ca.name());
    }
    if (!ca.maySignRevocations()
        || !signed.getSignature().equals(list.getSignatureAlgorithm())
        || !ca.signed(
            list.getSignatureAlgorithm(), signed.getEncoded(), list.getSignature().getOctets())) {
      throw new UnusableException(
          file + " is not signed by " + ca.name() + " with a key that may, or with SHA-1");
    }
    if (list.getNextUpdate() == null) {
      throw new UnusableException(file + " has no nextUpdate (RFC 5280, 5.1.2.5)");
    }
    requireComplete(file, signed.getExtensions());
    var serials = new HashSet<BigInteger>();
    // Read as the list is walked: as an array, a long list would need several times its size.
    for (var entries = signed.getRevokedCertificateEnumeration(); entries.hasMoreElements(); ) {
      var revoked = (TBSCertList.CRLEntry) entries.nextElement();
      var extensions = revoked.getExtensions();
      if (extensions != null && extensions.getCriticalExtensionOIDs().length > 0) {
        throw new UnusableException(file + " has entries of other CAs, or not understood here");
      }
      serials.add(revoked.getUserCertificate().getValue());
    }
    return new RevocationList.Known(
        file.toString(),
        list.getThisUpdate().getDate().toInstant(),
        list.getNextUpdate().getDate().toInstant(),
        Set.copyOf(serials));
  }

  /** RFC 5280, 5.2: a delta or a part of a list says nothing of a certificate it does not name. */
  private static void requireComplete(Path file, @Nullable Extensions extensions)
      throws UnusableException {
    if (extensions != null
        && (extensions.getCriticalExtensionOIDs().length > 0
            || extensions.getExtension(Extension.deltaCRLIndicator) != null
            || extensions.getExtension(Extension.issuingDistributionPoint) != null)) {
      throw new UnusableException(
          file
              + " is a delta, indirect or partial list, or has a critical extension that is not"
              + " understood here; use the CA's complete list");
    }
  }

  private static byte[] der(Path file, byte[] content) throws UnusableException, IOException {
    if (content.length > 0 && content[0] == 0x30) {
      return content;
    }
    try (var reader = new PemReader(new StringReader(new String(content, UTF_8)))) {
      var part = reader.readPemObject();
      if (part == null || !part.getType().equals("X509 CRL") || reader.readPemObject() != null) {
        throw new UnusableException(file + " must hold one revocation list (BEGIN X509 CRL)");
      }
      return part.getContent();
    }
  }
}
