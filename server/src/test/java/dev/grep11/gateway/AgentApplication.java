package dev.grep11.gateway;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.grep11.agent.config.ClientConfig.LogLevel;
import dev.grep11.agent.config.ClientConfigFile;
import dev.grep11.agent.cryptoki.Answer;
import dev.grep11.agent.cryptoki.Application;
import dev.grep11.agent.cryptoki.Cryptoki;
import dev.grep11.agent.cryptoki.Output;
import dev.grep11.agent.cryptoki.Refusal;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.MessageReader.AttributeRoom;
import dev.grep11.agent.rpc.RequestedMechanism;
import dev.grep11.agent.rpc.Room;
import dev.grep11.agent.rpc.WireAttribute;
import dev.grep11.client.Cka;
import dev.grep11.client.Ckk;
import dev.grep11.client.Ckm;
import dev.grep11.client.Cko;
import dev.grep11.client.Ckr;
import dev.grep11.client.Curve;
import dev.grep11.proto.ECDH1DeriveParm;
import dev.grep11.proto.Mechanism;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;

/** An agent with one application, which has a read-write session with slot 0. */
final class AgentApplication implements AutoCloseable {
  static final long SO = 0;
  static final long USER = 1;
  static final byte[] MESSAGE = "said by an application".getBytes(UTF_8);
  private static final long READ_WRITE = 6;
  private static final Room ROOM = new Room(4096, true);

  private final ByteArrayOutputStream log = new ByteArrayOutputStream();
  private final Cryptoki cryptoki;
  final Application calls;
  final long session;

  /**
   * @param looks how often the agent looks for another master key
   */
  AgentApplication(Path configuration, Duration looks) {
    cryptoki =
        new Cryptoki(
            ClientConfigFile.read(configuration),
            new Log(new PrintStream(log, true, UTF_8), LogLevel.TRACE),
            looks);
    calls = cryptoki.application("somebody");
    calls.initialize();
    session = calls.openSession(0, READ_WRITE);
  }

  AgentApplication loggedIn(long user, String pin) {
    calls.login(session, user, pin.getBytes(UTF_8));
    return this;
  }

  /** What the agent logged, at the level that logs most. */
  String log() {
    return log.toString(UTF_8);
  }

  // ---- Objects

  List<Long> find(long objectClass, String label) {
    calls.findInit(session, template(objectClass, label));
    var found = calls.find(session, 100);
    calls.findFinal(session);
    return found;
  }

  /** Public and private key on P-256, which sign and derive. */
  List<Long> pair(String label) {
    var publicTemplate = tokenTemplate(Cko.CKO_PUBLIC_KEY, label);
    publicTemplate.add(new WireAttribute(Cka.CKA_EC_PARAMS, Curve.P256.parameters()));
    publicTemplate.add(flag(Cka.CKA_VERIFY, true));
    var privateTemplate = tokenTemplate(Cko.CKO_PRIVATE_KEY, label);
    privateTemplate.add(flag(Cka.CKA_SIGN, true));
    privateTemplate.add(flag(Cka.CKA_DERIVE, true));
    return calls.generateKeyPair(
        session, mechanism(Ckm.CKM_EC_KEY_PAIR_GEN), publicTemplate, privateTemplate);
  }

  /** An AES key that wraps and unwraps, and may be wrapped. */
  long wrappingKey(String label) {
    var template = tokenTemplate(Cko.CKO_SECRET_KEY, label);
    template.add(number(Cka.CKA_VALUE_LEN, 32));
    template.add(flag(Cka.CKA_WRAP, true));
    template.add(flag(Cka.CKA_UNWRAP, true));
    template.add(flag(Cka.CKA_EXTRACTABLE, true));
    return calls.generateKey(session, mechanism(Ckm.CKM_AES_KEY_GEN), template);
  }

  private static List<WireAttribute> tokenTemplate(long objectClass, String label) {
    var template = new ArrayList<>(template(objectClass, label));
    template.add(flag(Cka.CKA_TOKEN, true));
    template.add(flag(Cka.CKA_PRIVATE, true));
    return template;
  }

  private static List<WireAttribute> template(long objectClass, String label) {
    return List.of(
        number(Cka.CKA_CLASS, objectClass),
        new WireAttribute(Cka.CKA_LABEL, label.getBytes(UTF_8)));
  }

  // ---- What keys do

  byte[] sign(long key) {
    calls.signInit(session, mechanism(Ckm.CKM_ECDSA_SHA256), key);
    return ((Output.Bytes) calls.sign(session, MESSAGE, ROOM)).value();
  }

  void verify(long key, byte[] signature) {
    calls.verifyInit(session, mechanism(Ckm.CKM_ECDSA_SHA256), key);
    calls.verify(session, MESSAGE, signature);
  }

  byte[] wrap(long kek, long key) {
    var wrapped = calls.wrapKey(session, mechanism(Ckm.CKM_AES_KEY_WRAP_PAD), kek, key, ROOM);
    return ((Output.Bytes) wrapped).value();
  }

  long unwrap(long kek, byte[] wrapped) {
    return calls.unwrapKey(
        session,
        mechanism(Ckm.CKM_AES_KEY_WRAP_PAD),
        kek,
        wrapped,
        List.of(
            number(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY),
            number(Cka.CKA_KEY_TYPE, Ckk.CKK_AES),
            flag(Cka.CKA_EXTRACTABLE, true)));
  }

  /**
   * By ECDH with the own public point.
   *
   * @param pair public and private key
   */
  long derive(List<Long> pair) {
    var asked = List.of(new AttributeRoom(Cka.CKA_EC_POINT, 200));
    var point = (Answer.Value) calls.attributes(session, pair.get(0), asked).getFirst();
    var mechanism =
        Mechanism.newBuilder()
            .setMechanism(Ckm.CKM_ECDH1_DERIVE)
            .setECDH1DeriveParameter(
                ECDH1DeriveParm.newBuilder()
                    .setKdf(ECDH1DeriveParm.KeyDerivationFunction.CkdNull)
                    .setPublicData(ByteString.copyFrom(point.value())));
    return calls.deriveKey(
        session,
        new RequestedMechanism(mechanism.build(), 0),
        pair.get(1),
        List.of(
            number(Cka.CKA_CLASS, Cko.CKO_SECRET_KEY),
            number(Cka.CKA_KEY_TYPE, Ckk.CKK_GENERIC_SECRET),
            number(Cka.CKA_VALUE_LEN, 32)));
  }

  void set(long object, WireAttribute attribute) {
    calls.setAttributes(session, object, List.of(attribute));
  }

  static WireAttribute flag(long type, boolean value) {
    return new WireAttribute(type, new byte[] {(byte) (value ? 1 : 0)});
  }

  static WireAttribute number(long type, long value) {
    return new WireAttribute(type, ByteBuffer.allocate(8).putLong(value).array());
  }

  static RequestedMechanism mechanism(long number) {
    return new RequestedMechanism(Mechanism.newBuilder().setMechanism(number).build(), 0);
  }

  static void assertRefused(long returnValue, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            Refusal.class,
            e -> assertThat(Ckr.nameOf(e.returnValue())).isEqualTo(Ckr.nameOf(returnValue)));
  }

  @Override
  public void close() {
    calls.close();
    cryptoki.close();
  }
}
