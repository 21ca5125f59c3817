package dev.grep11.proto;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * The wire contract as its documents state it, transcribed by hand. Nothing here may be derived
 * from the schema: this is what the schema is measured against.
 *
 * <p>A field is {@code Name=number type}. Key material appears twice: {@code ...Bytes} is dialect
 * 1, the same word with type {@code KeyBlob} is dialect 2.
 */
final class Contract {

  record Field(String message, String name, int number, String type, String oneof) {
    @Override
    public String toString() {
      return message + "." + name + "=" + number + " " + type;
    }
  }

  record Constant(String enumeration, String name, int number) {}

  static final List<String> RPCS =
      List.of(
          """
          GenerateRandom
          DigestInit Digest DigestUpdate DigestKey DigestFinal DigestSingle
          EncryptInit DecryptInit EncryptUpdate DecryptUpdate Encrypt Decrypt
          EncryptFinal DecryptFinal EncryptSingle DecryptSingle
          SignInit VerifyInit SignUpdate VerifyUpdate SignFinal VerifyFinal
          Sign Verify SignSingle VerifySingle
          ReencryptSingle
          GenerateKey GenerateKeyPair WrapKey UnwrapKey DeriveKey
          GetMechanismList GetMechanismInfo GetAttributeValue SetAttributeValue
          Login Logout
          RewrapKeyBlob
          """
              .strip()
              .split("\\s+"));

  private static final String MESSAGES =
      """
      GenerateRandomRequest: Len=1 uint64
      GenerateRandomResponse: Rnd=1 bytes

      DigestInitRequest: Mech=2 Mechanism
      DigestInitResponse: State=1 bytes
      DigestRequest: State=1 bytes, Data=2 bytes
      DigestResponse: Digest=3 bytes
      DigestUpdateRequest: State=1 bytes, Data=2 bytes
      DigestUpdateResponse: State=1 bytes
      DigestKeyRequest: State=1 bytes, KeyBytes=2 bytes, Key=3 KeyBlob
      DigestKeyResponse: State=1 bytes
      DigestFinalRequest: State=1 bytes
      DigestFinalResponse: Digest=2 bytes
      DigestSingleRequest: Mech=1 Mechanism, Data=2 bytes
      DigestSingleResponse: Digest=3 bytes

      EncryptInitRequest: Mech=2 Mechanism, KeyBytes=3 bytes, Key=4 KeyBlob
      DecryptInitRequest: Mech=2 Mechanism, KeyBytes=3 bytes, Key=4 KeyBlob
      EncryptInitResponse: State=1 bytes
      DecryptInitResponse: State=1 bytes
      EncryptUpdateRequest: State=1 bytes, Plain=2 bytes
      EncryptUpdateResponse: State=1 bytes, Ciphered=3 bytes
      DecryptUpdateRequest: State=1 bytes, Ciphered=2 bytes
      DecryptUpdateResponse: State=1 bytes, Plain=3 bytes
      EncryptRequest: State=1 bytes, Plain=2 bytes
      EncryptResponse: Ciphered=3 bytes
      DecryptRequest: State=1 bytes, Ciphered=2 bytes
      DecryptResponse: Plain=3 bytes
      EncryptFinalRequest: State=1 bytes
      DecryptFinalRequest: State=1 bytes
      EncryptFinalResponse: Ciphered=2 bytes
      DecryptFinalResponse: Plain=2 bytes
      EncryptSingleRequest: KeyBytes=1 bytes, Mech=2 Mechanism, Plain=3 bytes, Key=5 KeyBlob
      EncryptSingleResponse: Ciphered=4 bytes
      DecryptSingleRequest: KeyBytes=1 bytes, Mech=2 Mechanism, Ciphered=3 bytes, Key=5 KeyBlob
      DecryptSingleResponse: Plain=4 bytes
      ReencryptSingleRequest: DecKeyBytes=1 bytes, EncKeyBytes=2 bytes, DecMech=3 Mechanism, \
      EncMech=4 Mechanism, Ciphered=5 bytes, DecKey=7 KeyBlob, EncKey=8 KeyBlob
      ReencryptSingleResponse: Reciphered=6 bytes

      SignInitRequest: Mech=2 Mechanism, PrivKeyBytes=3 bytes, PrivKey=4 KeyBlob
      VerifyInitRequest: Mech=2 Mechanism, PubKeyBytes=3 bytes, PubKey=4 KeyBlob
      SignInitResponse: State=1 bytes
      VerifyInitResponse: State=1 bytes
      SignUpdateRequest: State=1 bytes, Data=2 bytes
      VerifyUpdateRequest: State=1 bytes, Data=2 bytes
      SignUpdateResponse: State=1 bytes
      VerifyUpdateResponse: State=1 bytes
      SignFinalRequest: State=1 bytes
      SignFinalResponse: Signature=2 bytes
      VerifyFinalRequest: State=1 bytes, Signature=2 bytes
      VerifyFinalResponse:
      SignRequest: State=1 bytes, Data=2 bytes
      SignResponse: Signature=3 bytes
      VerifyRequest: State=1 bytes, Data=2 bytes, Signature=3 bytes
      VerifyResponse:
      SignSingleRequest: PrivKeyBytes=1 bytes, Mech=2 Mechanism, Data=3 bytes, PrivKey=5 KeyBlob
      SignSingleResponse: Signature=4 bytes
      VerifySingleRequest: PubKeyBytes=1 bytes, Mech=2 Mechanism, Data=3 bytes, \
      Signature=4 bytes, PubKey=5 KeyBlob
      VerifySingleResponse:

      GenerateKeyRequest: Mech=1 Mechanism, Template=6 map<AttributeValue>
      GenerateKeyResponse: KeyBytes=4 bytes, CheckSum=5 bytes, Key=7 KeyBlob
      GenerateKeyPairRequest: Mech=1 Mechanism, PrivKeyTemplate=7 map<AttributeValue>, \
      PubKeyTemplate=8 map<AttributeValue>
      GenerateKeyPairResponse: PrivKeyBytes=5 bytes, PubKeyBytes=6 bytes, PrivKey=9 KeyBlob, \
      PubKey=10 KeyBlob
      WrapKeyRequest: KeyBytes=1 bytes, KeKBytes=2 bytes, MacKeyBytes=3 bytes, Mech=4 Mechanism, \
      Key=6 KeyBlob, KeK=7 KeyBlob, MacKey=8 KeyBlob
      WrapKeyResponse: Wrapped=5 bytes
      UnwrapKeyRequest: Wrapped=1 bytes, KeKBytes=2 bytes, MacKeyBytes=3 bytes, Mech=5 Mechanism, \
      Template=9 map<AttributeValue>, KeK=11 KeyBlob, MacKey=12 KeyBlob
      UnwrapKeyResponse: UnwrappedBytes=7 bytes, CheckSum=8 bytes, Unwrapped=10 KeyBlob
      DeriveKeyRequest: Mech=1 Mechanism, BaseKeyBytes=3 bytes, Data=4 bytes, \
      Template=8 map<AttributeValue>, BaseKey=10 KeyBlob
      DeriveKeyResponse: NewKeyBytes=6 bytes, CheckSum=7 bytes, NewKey=9 KeyBlob

      GetMechanismListRequest:
      GetMechanismListResponse: Mechs=2 packed
      GetMechanismInfoRequest: Mech=2 uint64
      GetMechanismInfoResponse: MechInfo=3 MechanismInfo
      GetAttributeValueRequest: Object=1 bytes, AttributesBytes=2 map<bytes>, \
      Attributes=3 map<AttributeValue>
      GetAttributeValueResponse: AttributesBytes=2 map<bytes>, Attributes=4 map<AttributeValue>
      SetAttributeValueRequest: Object=1 bytes, AttributesBytes=2 map<bytes>, \
      Attributes=3 map<AttributeValue>
      SetAttributeValueResponse: Object=1 bytes
      LoginRequest: Storeid=1 bytes, Pin=2 bytes
      LoginResponse: Pinblob=4 bytes
      LogoutRequest:
      LogoutResponse:
      RewrapKeyBlobRequest: WrappedKeyBytes=1 bytes, WrappedKey=2 KeyBlob
      RewrapKeyBlobResponse: RewrappedKeyBytes=1 bytes, RewrappedKey=2 KeyBlob

      Mechanism: Mechanism=1 uint64, Parameter/ParameterB=2 bytes, \
      Parameter/RSAOAEPParameter=3 RSAOAEPParm, Parameter/RSAPSSParameter=4 RSAPSSParm, \
      Parameter/ECDH1DeriveParameter=5 ECDH1DeriveParm, \
      Parameter/BTCDeriveParameter=6 BTCDeriveParm, Parameter/ECSGParameter=7 ECSGParm, \
      Parameter/KyberKEMParameter=8 KyberKEMParm, Parameter/ECAGGParameter=9 ECAGGParm, \
      Parameter/AESGCMParameter=1001 AESGCMParm, Parameter/AESCTRParameter=1002 AESCTRParm, \
      Parameter/EDDSAParameter=1003 EDDSAParm
      MechanismInfo: MinKeySize=1 uint64, MaxKeySize=2 uint64, Flags=3 uint64
      AttributeValue: one_attr/AttributeB=1 bytes, one_attr/AttributeTF=2 bool, \
      one_attr/AttributeI=3 int64
      KeyBlob: KeyBlobID=1 bytes, Version=2 int64, TxID=3 bytes, \
      Attributes=4 map<AttributeValue>, KeyBlobs=5 repeated
      RSAOAEPParm: HashMech=1 uint64, Mgf=2 enum, EncodingParmType=3 enum, EncodingParm=4 bytes
      RSAPSSParm: HashMech=1 uint64, Mgf=2 enum, SaltByteCount=3 uint64
      ECDH1DeriveParm: Kdf=1 enum, SharedData=2 bytes, PublicData=3 bytes
      BTCDeriveParm: Type=1 enum, ChildKeyIndex=2 uint64, ChainCode=3 bytes, Version=4 uint64
      ECSGParm: Type=1 enum
      ECAGGParm: Version=1 uint32, Mode=2 enum, PerElementSize=3 uint32, Elements=4 bytes
      KyberKEMParm: Version=1 uint32, Mode=2 enum, Kdf=3 enum, Prepend=4 bool, \
      CipherText=5 bytes, SharedData=6 bytes, Blob=7 bytes
      HMACGeneralParm: ReturnByteCount=1 uint32
      AESGCMParm: Iv=1 bytes, Aad=2 bytes, TagBits=3 uint32
      AESCTRParm: CounterBits=1 uint32, CounterBlock=2 bytes
      EDDSAParm: PreHash=1 bool, Context=2 bytes
      Grep11Error: Code=1 uint64, Detail=2 string, Retry=3 bool
      """;

  private static final String ENUMS =
      """
      RSAOAEPParm.Mask: CkgMgf1None 0, CkgMgf1Sha1 1, CkgMgf1Sha256 2, CkgMgf1Sha384 3, \
      CkgMgf1Sha512 4, CkgMgf1Sha224 5, CkgIbmMgf1Sha3_224 0x800001, \
      CkgIbmMgf1Sha3_256 0x800002, CkgIbmMgf1Sha3_384 0x800003, CkgIbmMgf1Sha3_512 0x800004
      RSAPSSParm.Mask: CkgMgf1None 0, CkgMgf1Sha1 1, CkgMgf1Sha256 2, CkgMgf1Sha384 3, \
      CkgMgf1Sha512 4, CkgMgf1Sha224 5, CkgIbmMgf1Sha3_224 0x800001, \
      CkgIbmMgf1Sha3_256 0x800002, CkgIbmMgf1Sha3_384 0x800003, CkgIbmMgf1Sha3_512 0x800004
      RSAOAEPParm.ParmType: CkzNoDataSpecified 0, CkzDataSpecifiied 1
      ECDH1DeriveParm.KeyDerivationFunction: CkdNotUsed0 0, CkdNull 1, CkdSha1Kdf 2, \
      CkdNotUsed3 3, CkdNotUsed4 4, CkdSha224Kdf 5, CkdSha256Kdf 6, CkdSha384Kdf 7, \
      CkdSha512Kdf 8, CkdIbmHybridNull 0x800001
      BTCDeriveParm.BTCDeriveType: CkBIP0032NotUsed 0, CkBIP0032PRV2PRV 1, CkBIP0032PRV2PUB 2, \
      CkBIP0032PUB2PUB 3, CkBIP0032MASTERK 4, CkSLIP0010PRV2PRV 5, CkSLIP0010PRV2PUB 6, \
      CkSLIP0010PUB2PUB 7, CkSLIP0010MASTERK 8
      ECSGParm.ECSGType: CkEcsgIbmNotUsed 0, CkEcsgIbmEcsdsaS256 3, CkEcsgIbmEcsdsaComprMulti 5, \
      CkEcsgIbmBls 6
      ECAGGParm.ECAGGMode: CkIbmEcAggInvalid 0, CkIbmEcAggBLS12_381Sign 1, \
      CkIbmEcAggBLS12_381Pkey 2
      KyberKEMParm.KyberMode: CkNotUsed 0, CkIbmKEMEncapsulate 1, CkIbmKEMDecapsulate 2
      KyberKEMParm.KyberDeriveType: CkdNotUsed 0, CkdNull 1, CkdIbmHybridNull 0x800001, \
      CkdIbmHybridSha1Kdf 0x800002, CkdIbmHybridSha224Kdf 0x800003, \
      CkdIbmHybridSha256Kdf 0x800004, CkdIbmHybridSha384Kdf 0x800005, \
      CkdIbmHybridSha512Kdf 0x800006
      """;

  private static final Pattern FIELD =
      Pattern.compile("(?:(?<oneof>\\w+)/)?(?<name>\\w+)=(?<number>\\d+) (?<type>[\\w<>]+)");

  static List<String> messages() {
    return MESSAGES
        .lines()
        .filter(line -> !line.isBlank())
        .map(line -> line.substring(0, line.indexOf(':')))
        .toList();
  }

  static List<Field> fields() {
    var fields = new ArrayList<Field>();
    for (String line : MESSAGES.lines().filter(line -> !line.isBlank()).toList()) {
      String message = line.substring(0, line.indexOf(':'));
      String list = line.substring(line.indexOf(':') + 1).strip();
      if (list.isEmpty()) {
        continue;
      }
      for (String text : list.split(",\\s*")) {
        var field = FIELD.matcher(text);
        if (!field.matches()) {
          throw new IllegalStateException("not a field: " + text);
        }
        fields.add(
            new Field(
                message,
                field.group("name"),
                Integer.parseInt(field.group("number")),
                field.group("type"),
                field.group("oneof")));
      }
    }
    return fields;
  }

  static List<Constant> constants() {
    var constants = new ArrayList<Constant>();
    for (String line : ENUMS.lines().toList()) {
      String enumeration = line.substring(0, line.indexOf(':'));
      for (String text : line.substring(line.indexOf(':') + 1).strip().split(",\\s*")) {
        String[] words = text.split(" ");
        constants.add(new Constant(enumeration, words[0], Integer.decode(words[1])));
      }
    }
    return constants;
  }

  private Contract() {}
}
