package dev.grep11.gateway.rpc;

import static java.util.stream.Collectors.toUnmodifiableSet;

import com.google.protobuf.ByteString;
import com.google.protobuf.DiscardUnknownFieldsParser;
import com.google.protobuf.Message;
import dev.grep11.gateway.audit.AdministrativeAction;
import dev.grep11.gateway.certmgr.Administration;
import dev.grep11.gateway.certmgr.Administrator;
import dev.grep11.gateway.certmgr.Command;
import dev.grep11.gateway.certmgr.SignedCommand;
import dev.grep11.gateway.store.RegistryRecord;
import dev.grep11.gateway.store.Subject;
import dev.grep11.proto.certmgr.AdminKey;
import dev.grep11.proto.certmgr.Certificate;
import dev.grep11.proto.certmgr.CertificateList;
import dev.grep11.proto.certmgr.CertificateManagerGrpc;
import dev.grep11.proto.certmgr.CheckCertificateRequest;
import dev.grep11.proto.certmgr.CheckResult;
import dev.grep11.proto.certmgr.CommandResult;
import dev.grep11.proto.certmgr.GetAdminKeyRequest;
import dev.grep11.proto.certmgr.GetCertificateRequest;
import dev.grep11.proto.certmgr.ListCertificatesRequest;
import io.grpc.ServerServiceDefinition;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * The certificate manager on the wire: decodes requests in the one way they can be meant, and
 * encodes answers.
 *
 * <p>A payload counts only if encoding what was understood gives the same bytes again. So nothing
 * that was signed is left unread: no unknown field, no second value for a field, no default that is
 * spelled out, nothing after the end (security rules 6.3). The same holds for the message around
 * the payload.
 */
final class CertificateManagerService {
  private static final int VERSION = 1;

  /** A client CA and the longest chain, at 16 KiB each, and some room. */
  private static final int LONGEST_PAYLOAD = 160 * 1024;

  private static final int LONGEST_SIGNATURE = 128;

  private final Administration administration;
  private final CertificateManagerAccess access;

  private CertificateManagerService(
      Administration administration, CertificateManagerAccess access) {
    this.administration = administration;
    this.access = access;
  }

  static ServerServiceDefinition bind(
      Administration administration, CertificateManagerAccess access, Routes.Services services) {
    var service = new CertificateManagerService(administration, access);
    return new Routes(
            CertificateManagerGrpc.getServiceDescriptor(),
            services,
            CertificateManagerService::actions)
        .administrativeExactly(CertificateManagerGrpc.getExecuteMethod(), service::execute)
        .administrative(CertificateManagerGrpc.getGetAdminKeyMethod(), service::adminKey)
        .administrative(CertificateManagerGrpc.getListCertificatesMethod(), service::certificates)
        .administrative(CertificateManagerGrpc.getGetCertificateMethod(), service::certificate)
        .administrative(CertificateManagerGrpc.getCheckCertificateMethod(), service::check)
        .bind();
  }

  /** Any one of which opens an rpc; a command then needs its own. */
  private static Set<String> actions(String rpc) {
    return switch (rpc) {
      case "Execute" ->
          names(
              AdministrativeAction.ADMIN_KEY_CREATE,
              AdministrativeAction.ADMIN_KEY_UPDATE,
              AdministrativeAction.ADMIN_KEY_DELETE,
              AdministrativeAction.CERT_SET,
              AdministrativeAction.CERT_DELETE);
      case "GetAdminKey" -> names(AdministrativeAction.ADMIN_KEY_READ);
      case "ListCertificates" -> names(AdministrativeAction.CERT_LIST);
      case "GetCertificate", "CheckCertificate" -> names(AdministrativeAction.CERT_READ);
      default -> throw new IllegalArgumentException("no action for rpc " + rpc);
    };
  }

  private static Set<String> names(AdministrativeAction... actions) {
    return Stream.of(actions).map(AdministrativeAction::eventName).collect(toUnmodifiableSet());
  }

  /** Of an rpc, by its bare name. */
  static String path(String rpc) {
    return "/" + CertificateManagerGrpc.SERVICE_NAME + "/" + rpc;
  }

  // ---- The rpcs

  private CommandResult execute(
      CallContext context, dev.grep11.proto.certmgr.SignedCommand request) {
    requireKnown(request);
    var command = command(request.getPayload());
    access.require(
        context.admitted().token(), context.admitted().instance(), command.action().grant());
    var caller = administrator(context, "Execute");
    var signed =
        new SignedCommand(
            request.getPayload().toByteArray(),
            signature(request.getSignature()),
            signature(request.getNewKeySignature()),
            command);
    if (administration.isByRegisteredKey(caller, signed)) {
      access.countSigned(context);
    } else {
      access.countUnsigned(context);
    }
    var result = administration.execute(caller, signed);
    return CommandResult.newBuilder()
        .setGeneration(result.generation())
        .setLocked(result.locked())
        .setOwnCertificates(result.ownCertificates())
        .setOtherCertificates(result.otherCertificates())
        .addAllConfirmed(result.confirmed())
        .addAllOutstanding(result.outstanding())
        .setBindingMillis(result.binding().toEpochMilli())
        .addAllNotes(result.notes())
        .setAdoptedBy(result.adoptedBy().map(Subject::id).orElse(""))
        .build();
  }

  private AdminKey adminKey(CallContext context, GetAdminKeyRequest request) {
    access.countKeyQuestion(context);
    requireKnown(request);
    requireInstance(context, request.getInstance());
    var found = administration.adminKey(administrator(context, "GetAdminKey"));
    return AdminKey.newBuilder()
        .setPublicKey(
            found.key().map(key -> ByteString.copyFrom(key.encoded())).orElse(ByteString.EMPTY))
        .setIssuer(found.subject().issuer())
        .setSubject(found.subject().id())
        .setLastCounter(found.lastCounter())
        .setGeneration(found.generation())
        .setCrn(found.crn())
        .build();
  }

  private CertificateList certificates(CallContext context, ListCertificatesRequest request) {
    access.countUnsigned(context);
    requireKnown(request);
    requireInstance(context, request.getInstance());
    var found = administration.certificates(administrator(context, "ListCertificates"));
    return CertificateList.newBuilder()
        .addAllCertificates(
            found.own().stream().map(CertificateManagerService::certificate).toList())
        .setOtherCertificates(found.otherCertificates())
        .setLocked(found.locked())
        .setGeneration(found.generation())
        .build();
  }

  private Certificate certificate(CallContext context, GetCertificateRequest request) {
    access.countUnsigned(context);
    requireKnown(request);
    requireInstance(context, request.getInstance());
    return certificate(
        administration.certificate(administrator(context, "GetCertificate"), request.getId()));
  }

  private static Certificate certificate(RegistryRecord.Entry entry) {
    return Certificate.newBuilder()
        .setId(entry.id())
        .setCertificate(ByteString.copyFrom(entry.certificate()))
        .setRegisteredMillis(entry.registered().toEpochMilli())
        .build();
  }

  private CheckResult check(CallContext context, CheckCertificateRequest request) {
    access.countUnsigned(context);
    requireKnown(request);
    requireInstance(context, request.getInstance());
    var check =
        administration.check(
            administrator(context, "CheckCertificate"),
            bytes(request.getChainList()),
            request.getWithCertificate().toByteArray());
    return CheckResult.newBuilder()
        .setLocked(check.locked())
        .setAccepted(check.accepted())
        .setReason(check.reason())
        .setText(check.text())
        .setCertificateId(check.certificateId().orElse(""))
        .setUntilMillis(check.until().map(Instant::toEpochMilli).orElse(0L))
        .build();
  }

  // ---- Who, and what

  private static Administrator administrator(CallContext context, String rpc) {
    return new Administrator(
        context.admitted().token().subject(),
        context.admitted().token().name(),
        context.admitted().instance(),
        context.correlationId(),
        path(rpc),
        context
            .remote()
            .filter(InetSocketAddress.class::isInstance)
            .map(remote -> ((InetSocketAddress) remote).getAddress().getHostAddress()),
        context.userAgent());
  }

  private static void requireInstance(CallContext context, String named) {
    if (!context.admitted().instance().toString().equals(named)) {
      throw new MalformedRequestException(
          "the call is for instance %s, and the request names another"
              .formatted(context.admitted().instance()));
    }
  }

  private static void requireKnown(Message request) {
    if (!request.getUnknownFields().asMap().isEmpty()) {
      throw new MalformedRequestException("the request has fields that this gateway does not know");
    }
  }

  private static byte[] signature(ByteString signature) {
    if (signature.size() > LONGEST_SIGNATURE) {
      throw new MalformedRequestException("the signature is too long");
    }
    return signature.toByteArray();
  }

  private static List<byte[]> bytes(List<ByteString> values) {
    return values.stream().map(ByteString::toByteArray).toList();
  }

  /** Decodes a payload, which must be the only encoding of what it says. */
  static Command command(ByteString payload) {
    if (payload.size() > LONGEST_PAYLOAD) {
      throw new MalformedRequestException(
          "the payload has more than %d bytes".formatted(LONGEST_PAYLOAD));
    }
    var encoded = payload.toByteArray();
    try {
      if (!EncodedFields.fit(encoded, dev.grep11.proto.certmgr.Command.getDescriptor())) {
        throw new MalformedRequestException("the payload is not a Command");
      }
      var parsed =
          DiscardUnknownFieldsParser.wrap(dev.grep11.proto.certmgr.Command.parser())
              .parseFrom(encoded);
      if (!Arrays.equals(parsed.toByteArray(), encoded)) {
        throw new MalformedRequestException(
            "the payload is not the one encoding of what it says: an unknown or repeated field, a"
                + " default spelled out, or bytes after its end");
      }
      if (parsed.getVersion() != VERSION) {
        throw new MalformedRequestException(
            "version %d of commands is not known here"
                .formatted(Integer.toUnsignedLong(parsed.getVersion())));
      }
      return command(parsed);
    } catch (IOException e) {
      throw new MalformedRequestException("the payload is not a Command");
    } catch (IllegalArgumentException e) {
      throw new MalformedRequestException("the payload is not a Command: " + e.getMessage());
    }
  }

  private static Command command(dev.grep11.proto.certmgr.Command parsed) {
    var instance = UUID.fromString(parsed.getInstance());
    if (!instance.toString().equals(parsed.getInstance())) {
      throw new MalformedRequestException("the instance is not a UUID in lower case");
    }
    return new Command(
        instance,
        new Subject(parsed.getIssuer(), parsed.getSubject()),
        parsed.getKeyId().toByteArray(),
        parsed.getCounter(),
        parsed.getExpectedGeneration(),
        Instant.ofEpochMilli(parsed.getTimeMillis()),
        action(parsed));
  }

  private static Command.Action action(dev.grep11.proto.certmgr.Command parsed) {
    return switch (parsed.getActionCase()) {
      case SET_ADMIN_KEY ->
          new Command.SetAdminKey(
              parsed.getSetAdminKey().getPublicKey().toByteArray(),
              parsed.getSetAdminKey().getInvitation());
      case UPDATE_ADMIN_KEY ->
          new Command.UpdateAdminKey(parsed.getUpdateAdminKey().getPublicKey().toByteArray());
      case DELETE_ADMIN_KEY -> new Command.DeleteAdminKey(parsed.getDeleteAdminKey().getForce());
      case COUNTERSIGN ->
          new Command.Countersign(
              new Subject(
                  parsed.getCountersign().getIssuer(), parsed.getCountersign().getSubject()),
              parsed.getCountersign().getKeyFingerprint().toByteArray());
      case SET_CERTIFICATE -> {
        var set = parsed.getSetCertificate();
        yield new Command.SetCertificate(
            set.getId(),
            set.getCertificate().toByteArray(),
            set.getAllowPublicRoot(),
            bytes(set.getRequiredClientChainList()));
      }
      case DELETE_CERTIFICATE ->
          new Command.DeleteCertificate(parsed.getDeleteCertificate().getId());
      case ACTION_NOT_SET -> throw new MalformedRequestException("the command says nothing to do");
    };
  }
}
