package dev.grep11.softhsm;

import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A fresh token per test class:
 *
 * <pre>{@code
 * @RegisterExtension static final SoftHsmExtension SOFTHSM = new SoftHsmExtension();
 * }</pre>
 *
 * The token is there from {@code @BeforeAll} on, and deleted after {@code @AfterAll}.
 */
public final class SoftHsmExtension implements BeforeAllCallback, AfterAllCallback {
  private @Nullable SoftHsmToken token;

  @Override
  public void beforeAll(ExtensionContext context) {
    token = SoftHsmToken.temporary();
  }

  @Override
  public void afterAll(ExtensionContext context) {
    if (token != null) {
      token.close();
      token = null;
    }
  }

  public SoftHsmToken token() {
    if (token == null) {
      throw new IllegalStateException("register the extension in a static field");
    }
    return token;
  }
}
