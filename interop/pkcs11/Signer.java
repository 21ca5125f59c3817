import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.Signature;

/** SunPKCS11 with a key that is only behind the gateway: finds it by its alias, signs, verifies. */
class Signer {
  public static void main(String[] arguments) throws Exception {
    var provider = Security.getProvider("SunPKCS11").configure(arguments[0]);
    var store = KeyStore.getInstance("PKCS11", provider);
    store.load(null, System.getenv("GREP11_APIKEY").toCharArray());
    var key = (PrivateKey) store.getKey(arguments[1], null);
    var certificate = store.getCertificate(arguments[1]);
    byte[] message = "grep11".getBytes();
    for (String algorithm : new String[] {"SHA256withECDSA", "SHA512withECDSA"}) {
      var signature = Signature.getInstance(algorithm, provider);
      signature.initSign(key);
      signature.update(message);
      byte[] signed = signature.sign();
      // By the JDK's own code, which knows nothing of the token.
      var verification = Signature.getInstance(algorithm);
      verification.initVerify(certificate);
      verification.update(message);
      if (!verification.verify(signed)) {
        throw new IllegalStateException(algorithm + ": the signature is wrong");
      }
      signed[signed.length - 1] ^= 1;
      var byToken = Signature.getInstance(algorithm, provider);
      byToken.initVerify(certificate.getPublicKey());
      byToken.update(message);
      if (byToken.verify(signed)) {
        throw new IllegalStateException(algorithm + ": a changed signature passed");
      }
    }
  }
}
