package dev.grep11.jca;

import dev.grep11.client.Template;
import java.security.spec.AlgorithmParameterSpec;

/**
 * What a new secret key shall be, where the attributes that this provider gives by itself are not
 * the right ones: {@code KeyGenerator.init(new TemplateParameterSpec(Templates.aesWrapping(256)))}.
 *
 * @param template all of it: its length and its rights
 */
public record TemplateParameterSpec(Template template) implements AlgorithmParameterSpec {}
