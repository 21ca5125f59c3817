package dev.grep11.gateway.host;

import dev.grep11.gateway.config.GatewayConfig;
import dev.grep11.gateway.hsm.Hsm;
import dev.grep11.gateway.iam.Roles;
import dev.grep11.gateway.store.Store;
import dev.grep11.gateway.token.HsmCalls;
import dev.grep11.gateway.token.HsmCheckpointMac;
import dev.grep11.gateway.token.TokenKeys;
import java.time.InstantSource;
import java.util.Set;

/** What {@link Host} gives to commands, over a store that a test has wrapped. */
public final class HostParts {
  private final GatewayConfig config;
  private final Hsm hsm;
  private final HsmCalls calls;

  public HostParts(GatewayConfig config, Hsm hsm) {
    this.config = config;
    this.hsm = hsm;
    this.calls = new HsmCalls(hsm);
  }

  private HostAudit audit() {
    return HostAudit.of(config.audit(), new HsmCheckpointMac(StartSteps.envelope(config, calls)));
  }

  /** The certificate administrators of its instances. */
  public Administrators administrators(Store store) {
    return new Administrators(store, audit(), Roles.standard(), Set.of(), InstantSource.system());
  }

  /** Backups of this store. */
  public Backups backups(Store store) {
    return new Backups(
        config,
        hsm,
        store,
        StartSteps.envelope(config, calls),
        TokenKeys.read(config.store()),
        audit(),
        InstantSource.system());
  }
}
