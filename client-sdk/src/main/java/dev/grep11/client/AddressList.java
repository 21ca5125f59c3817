package dev.grep11.client;

import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Status;
import io.grpc.StatusOr;
import io.grpc.SynchronizationContext;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The replicas of one gateway, each by host and port, in the order in which they are tried. grpc
 * knows lists from DNS only, where all members must have one port and one name.
 */
record AddressList(List<String> addresses) {
  private static final String SCHEME = "grep11";
  private static final Pattern ADDRESS =
      Pattern.compile("([^:/,\\s]+|\\[[0-9a-fA-F:.]+\\]):(\\d{1,5})");

  static {
    NameResolverRegistry.getDefaultRegistry().register(new Provider());
  }

  AddressList {
    addresses = List.copyOf(addresses);
    if (addresses.isEmpty()) {
      throw new IllegalArgumentException("no address");
    }
    for (var address : addresses) {
      if (!ADDRESS.matcher(address).matches()) {
        throw new IllegalArgumentException("address is not host:port: " + address);
      }
    }
  }

  /** What grpc is to be given. A single address goes grpc's usual way, proxies included. */
  String target() {
    return addresses.size() == 1
        ? addresses.get(0)
        : SCHEME + ":///" + String.join(",", addresses).replace("[", "%5B").replace("]", "%5D");
  }

  private static final class Provider extends NameResolverProvider {
    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args arguments) {
      // The registry asks for our scheme only.
      var list = new AddressList(List.of(target.getPath().substring(1).split(",")));
      return new Resolver(list, arguments);
    }

    @Override
    public String getDefaultScheme() {
      return SCHEME;
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    /** Below that of DNS, so that a target without scheme stays what it was. */
    @Override
    protected int priority() {
      return 0;
    }
  }

  private static final class Resolver extends NameResolver {
    private final AddressList list;
    private final Executor executor;
    private final SynchronizationContext context;
    private @Nullable Listener2 listener;

    Resolver(AddressList list, Args arguments) {
      this.list = list;
      this.executor = Objects.requireNonNull(arguments.getOffloadExecutor(), "set by the channel");
      this.context = arguments.getSynchronizationContext();
    }

    @Override
    public String getServiceAuthority() {
      return list.addresses().get(0);
    }

    @Override
    public void start(Listener2 receiver) {
      listener = receiver;
      refresh();
    }

    @Override
    public void refresh() {
      var receiver = Objects.requireNonNull(listener, "started");
      executor.execute(() -> {
        var result = ResolutionResult.newBuilder().setAddressesOrError(resolve()).build();
        context.execute(() -> receiver.onResult2(result));
      });
    }

    /** A host that has no address now is left out: the others may serve. */
    private StatusOr<List<EquivalentAddressGroup>> resolve() {
      var groups = new ArrayList<EquivalentAddressGroup>();
      var unknown = new ArrayList<String>();
      for (var address : list.addresses()) {
        var parts = ADDRESS.matcher(address);
        if (!parts.matches()) {
          throw new IllegalStateException(address);
        }
        try {
          var sockets = new ArrayList<SocketAddress>();
          for (var host : InetAddress.getAllByName(parts.group(1))) {
            sockets.add(new InetSocketAddress(host, Integer.parseInt(parts.group(2))));
          }
          // Each replica proves its own name.
          var attributes =
              Attributes.newBuilder()
                  .set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, address)
                  .build();
          groups.add(new EquivalentAddressGroup(sockets, attributes));
        } catch (UnknownHostException e) {
          unknown.add(parts.group(1));
        }
      }
      return groups.isEmpty()
          ? StatusOr.fromStatus(
              Status.UNAVAILABLE.withDescription("unknown hosts: " + String.join(", ", unknown)))
          : StatusOr.fromValue(groups);
    }

    @Override
    public void shutdown() {
      // Nothing is kept.
    }
  }
}
