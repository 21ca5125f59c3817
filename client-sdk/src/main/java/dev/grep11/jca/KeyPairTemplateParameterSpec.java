package dev.grep11.jca;

import dev.grep11.client.KeyPairTemplate;
import java.security.spec.AlgorithmParameterSpec;

/**
 * What a new key pair shall be, where the attributes that this provider gives by itself are not the
 * right ones: {@code KeyPairGenerator.initialize(new
 * KeyPairTemplateParameterSpec(Templates.rsaWrappingPair(3072)))}.
 */
public record KeyPairTemplateParameterSpec(KeyPairTemplate template)
    implements AlgorithmParameterSpec {}
