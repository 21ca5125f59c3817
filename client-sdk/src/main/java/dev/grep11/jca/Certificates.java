package dev.grep11.jca;

import static dev.grep11.client.Cka.CKA_CLASS;
import static dev.grep11.client.Cka.CKA_VALUE;

import dev.grep11.client.Cko;
import dev.grep11.jca.Contents.Item;
import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.PublicKey;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.security.auth.x500.X500Principal;

/** The certificate objects of the keystores, found by their key and by their subject. */
final class Certificates {
  private static final int LONGEST_CHAIN = 10;

  /** A certificate and its object. */
  record Found(Item item, X509Certificate certificate) {}

  private final List<Found> all;
  private final Map<PublicKey, List<Found>> byKey = new HashMap<>();
  private final Map<X500Principal, List<Found>> bySubject = new HashMap<>();

  private Certificates(List<Found> all) {
    this.all = all;
    for (var found : all) {
      var certificate = found.certificate();
      byKey.computeIfAbsent(certificate.getPublicKey(), ignored -> new ArrayList<>()).add(found);
      bySubject
          .computeIfAbsent(certificate.getSubjectX500Principal(), ignored -> new ArrayList<>())
          .add(found);
    }
  }

  /** Those among the objects. */
  static Certificates of(List<Item> items) {
    return new Certificates(items.stream().flatMap(item -> parsed(item).stream()).toList());
  }

  private static Optional<Found> parsed(Item item) {
    var value = item.attributes().get(CKA_VALUE);
    if (item.attributes().number(CKA_CLASS).orElse(-1) != Cko.CKO_CERTIFICATE || value.isEmpty()) {
      return Optional.empty();
    }
    try {
      return Optional.of(
          new Found(
              item,
              (X509Certificate)
                  CertificateFactory.getInstance("X.509")
                      .generateCertificate(new ByteArrayInputStream(value.get()))));
    } catch (CertificateException e) {
      // Of another kind, or broken: it is nobody's certificate here.
      return Optional.empty();
    }
  }

  List<Found> all() {
    return all;
  }

  /**
   * The certificate of a key. Of several that in the key's own keystore, since in the public one
   * others may write; then that with its CKA_ID, with its label, or the newest.
   */
  Optional<Found> of(PublicKey half, Item key) {
    return byKey.getOrDefault(half, List.of()).stream()
        .max(
            Comparator.<Found, Boolean>comparing(
                    candidate -> candidate.item().place().equals(key.place()))
                .thenComparing(candidate -> Arrays.equals(candidate.item().id(), key.id()))
                .thenComparing(candidate -> candidate.item().label().equals(key.label()))
                .thenComparing(candidate -> candidate.certificate().getNotBefore())
                .thenComparing(candidate -> candidate.item().object().id()));
  }

  /** Upward as far as the keystores have the issuers. */
  List<Found> chain(Found leaf) {
    var chain = new ArrayList<Found>();
    chain.add(leaf);
    var last = leaf;
    while (chain.size() < LONGEST_CHAIN) {
      var above = issuer(last.certificate());
      if (above.isEmpty() || chain.contains(above.get())) {
        break;
      }
      last = above.get();
      chain.add(last);
    }
    return List.copyOf(chain);
  }

  private Optional<Found> issuer(X509Certificate of) {
    if (of.getSubjectX500Principal().equals(of.getIssuerX500Principal())) {
      return Optional.empty();
    }
    return bySubject.getOrDefault(of.getIssuerX500Principal(), List.of()).stream()
        .filter(candidate -> isSignedBy(of, candidate.certificate()))
        .findFirst();
  }

  private static boolean isSignedBy(X509Certificate certificate, X509Certificate issuer) {
    try {
      certificate.verify(issuer.getPublicKey());
      return true;
    } catch (GeneralSecurityException e) {
      return false;
    }
  }
}
