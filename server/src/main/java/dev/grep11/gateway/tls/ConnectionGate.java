package dev.grep11.gateway.tls;

import dev.grep11.gateway.tls.RefusedConnection.Reason;
import io.netty.channel.Channel;
import io.netty.channel.ChannelException;
import io.netty.channel.ChannelHandler.Sharable;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.util.AttributeKey;
import java.net.Inet6Address;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Lets connections in, or closes their socket before TLS costs anything. Stands before the acceptor
 * of one port.
 *
 * <p>A client is a <em>stranger</em> until a call of it was admitted. Where a port is full, the
 * stranger that has been there the longest makes room, so that connections which do nothing keep
 * nobody out; where all that are open are known, the new one is refused. Of a caller who has very
 * many, the further ones make room like strangers: a token alone does not fill a port. In the same
 * way the oldest of too many handshakes ends: an honest one takes milliseconds. New ones come at a
 * rate, for each address, and for all addresses from which nobody was admitted of late: a flood
 * from many hosts does not keep those away that are served. Safe for use by several threads.
 */
@Sharable
final class ConnectionGate extends ChannelInboundHandlerAdapter {
  private static final AttributeKey<Guest> GUEST = AttributeKey.valueOf("grep11-guest");
  private static final long KNOWN_NANOS = Duration.ofMinutes(10).toNanos();
  private static final int REMEMBERED = 16_384;
  private static final int IPV6_SUBNET_BYTES = 8;

  /** Of frames that do no work: for the pings and cancelled calls of all clients behind a proxy. */
  private static final int FRAMES_PER_SECOND = 1000;

  private static final int FRAMES_BURST_SECONDS = 2;

  /** By HTTP/1.1: of all clients behind a proxy that fetch their tokens at the same time. */
  private static final int REQUESTS_PER_SECOND = 200;

  /** Of a connection beyond what its address may ask: who shares one with a flood asks once. */
  private static final int HONEST_REQUESTS = 8;

  private final ConnectionLimits limits;
  private final Consumer<RefusedConnection> onRefusal;
  private final LongSupplier nanoClock;

  // All guarded by this.
  private final Map<ByteBuffer, Address> present = new HashMap<>();

  // Without a connection at present. Apart, so that no flood of strangers has the others forgotten.
  private final Map<ByteBuffer, Address> goneKnown = new Remembered();
  private final Map<ByteBuffer, Address> goneStrangers = new Remembered();

  private final Crowd all = new Crowd();

  /** By caller, how many connections are there that are no strangers because of him. */
  private final Map<Object, Integer> known = new HashMap<>();

  private final RateLimit strangers;

  /**
   * @param onRefusal told of each, on the thread that accepts: it must not wait
   */
  ConnectionGate(
      ConnectionLimits limits, Consumer<RefusedConnection> onRefusal, LongSupplier nanoClock) {
    this.limits = limits;
    this.onRefusal = onRefusal;
    this.nanoClock = nanoClock;
    this.strangers =
        new RateLimit(limits.perSecond(), ConnectionLimits.BURST_SECONDS, nanoClock.getAsLong());
  }

  /** The least recent is forgotten. */
  private static final class Remembered extends LinkedHashMap<ByteBuffer, Address> {
    private static final long serialVersionUID = 1;

    @Override
    protected boolean removeEldestEntry(Map.Entry<ByteBuffer, Address> eldest) {
      return size() > REMEMBERED;
    }
  }

  /** Some of the open connections, oldest first. */
  private static final class Crowd {
    private int open;
    private final LinkedHashSet<Guest> strangers = new LinkedHashSet<>();
    private final LinkedHashSet<Guest> handshakes = new LinkedHashSet<>();

    private void add(Guest guest) {
      open++;
      strangers.add(guest);
      handshakes.add(guest);
    }

    private void remove(Guest guest) {
      open--;
      strangers.remove(guest);
      handshakes.remove(guest);
    }
  }

  private static final class Address {
    private final Crowd crowd = new Crowd();
    private final RateLimit rate;

    /** Apart, so that strangers take nothing from those who are known. */
    private final RateLimit framesOfStrangers;

    private final RateLimit framesOfKnown;
    private final RateLimit requests;

    /** When the last one left of whom a call was admitted, or was recognized; empty for never. */
    private Optional<Long> known = Optional.empty();

    private Address(RateLimit rate, long now) {
      this.rate = rate;
      this.framesOfStrangers = new RateLimit(FRAMES_PER_SECOND, FRAMES_BURST_SECONDS, now);
      this.framesOfKnown = new RateLimit(FRAMES_PER_SECOND, FRAMES_BURST_SECONDS, now);
      this.requests = new RateLimit(REQUESTS_PER_SECOND, ConnectionLimits.BURST_SECONDS, now);
    }

    private boolean isKnown(long now) {
      return crowd.open > crowd.strangers.size()
          || (known.isPresent() && now - known.get() < KNOWN_NANOS);
    }
  }

  /** An open connection. */
  private static final class Guest {
    private final ConnectionGate gate;
    private final Channel channel;
    private final ByteBuffer key;
    private final Address address;

    /** Whether a call was admitted. */
    private volatile boolean admitted;

    /** Requests beyond what its address may send; of its event loop. */
    private int excess;

    /** For whom it makes room for nobody; absent where it would. */
    private @Nullable Object caller;

    private Guest(ConnectionGate gate, Channel channel, ByteBuffer key, Address address) {
      this.gate = gate;
      this.channel = channel;
      this.key = key;
      this.address = address;
    }
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object accepted) {
    var channel = (Channel) accepted;
    if (lets(channel)) {
      context.fireChannelRead(channel);
    } else {
      // A reset: a socket that waits for its peer to close would be held longer than it was open.
      channel.config().setOption(ChannelOption.SO_LINGER, 0);
      channel.unsafe().closeForcibly();
    }
  }

  private boolean lets(Channel channel) {
    if (!(channel.remoteAddress() instanceof InetSocketAddress remote)) {
      // It is gone already.
      return false;
    }
    var refusal = admit(channel, remote);
    refusal.ifPresent(reason -> refused(remote, reason));
    return refusal.isEmpty();
  }

  private synchronized Optional<Reason> admit(Channel channel, InetSocketAddress remote) {
    long now = nanoClock.getAsLong();
    var key = key(remote);
    var address = address(key, now);
    var refusal = refusal(address, now);
    if (refusal.isPresent()) {
      forgetIfGone(key, address);
      return refusal;
    }
    var guest = new Guest(this, channel, key, address);
    address.crowd.add(guest);
    all.add(guest);
    channel.attr(GUEST).set(guest);
    channel.closeFuture().addListener(_ -> leave(guest));
    return Optional.empty();
  }

  private Optional<Reason> refusal(Address address, long now) {
    if (!address.rate.take(now)) {
      return Optional.of(Reason.RATE_OF_ADDRESS);
    }
    if (!address.isKnown(now) && !strangers.take(now)) {
      return Optional.of(Reason.RATE);
    }
    if (address.crowd.open >= limits.openPerAddress()
        && !makeRoom(address.crowd.strangers, Reason.CONNECTIONS_OF_ADDRESS)) {
      return Optional.of(Reason.CONNECTIONS_OF_ADDRESS);
    }
    if (all.open >= limits.open() && !makeRoom(all.strangers, Reason.CONNECTIONS)) {
      return Optional.of(Reason.CONNECTIONS);
    }
    if (address.crowd.handshakes.size() >= limits.handshakesPerAddress()) {
      makeRoom(address.crowd.handshakes, Reason.HANDSHAKES_OF_ADDRESS);
    }
    if (all.handshakes.size() >= limits.handshakes()) {
      makeRoom(all.handshakes, Reason.HANDSHAKES);
    }
    return Optional.empty();
  }

  /** Sends the oldest away; it counts no more, though its socket closes a moment later. */
  private boolean makeRoom(SequencedSet<Guest> crowd, Reason reason) {
    if (crowd.isEmpty()) {
      return false;
    }
    var oldest = crowd.getFirst();
    var remote = oldest.channel.remoteAddress();
    leave(oldest);
    cutOff(oldest.channel);
    if (remote != null) {
      refused(remote, reason);
    }
    return true;
  }

  /** Without a GOAWAY, which the client would have to read. */
  static void cutOff(Channel channel) {
    channel
        .eventLoop()
        .execute(() -> {
          try {
            channel.config().setOption(ChannelOption.SO_LINGER, 0);
          } catch (ChannelException e) {
            // It is closed already.
          }
          channel.unsafe().close(channel.voidPromise());
        });
  }

  private void refused(SocketAddress remote, Reason reason) {
    onRefusal.accept(new RefusedConnection(remote, reason));
  }

  private synchronized void leave(Guest guest) {
    if (guest.channel.attr(GUEST).getAndSet(null) == null) {
      return;
    }
    if (guest.admitted) {
      guest.address.known = Optional.of(nanoClock.getAsLong());
    }
    if (guest.caller != null) {
      known.computeIfPresent(guest.caller, (_, open) -> open == 1 ? null : open - 1);
    }
    guest.address.crowd.remove(guest);
    all.remove(guest);
    forgetIfGone(guest.key, guest.address);
  }

  private Address address(ByteBuffer key, long now) {
    var address = present.get(key);
    if (address == null) {
      address = goneKnown.remove(key);
      if (address == null) {
        address = goneStrangers.remove(key);
      }
      if (address == null) {
        address =
            new Address(
                new RateLimit(limits.perSecondPerAddress(), ConnectionLimits.BURST_SECONDS, now),
                now);
      }
      present.put(key, address);
    }
    return address;
  }

  private void forgetIfGone(ByteBuffer key, Address address) {
    if (address.crowd.open == 0) {
      present.remove(key);
      (address.known.isPresent() ? goneKnown : goneStrangers).put(key, address);
    }
  }

  /**
   * Whether the address of a connection may send one more frame that does no work. A limit of the
   * connection alone is undone by the next connection.
   */
  static boolean mayWaste(Channel channel) {
    var guest = channel.attr(GUEST).get();
    return guest == null || guest.gate.mayWaste(guest);
  }

  /** Whether a connection may send one more request of HTTP/1.1; if not, it is cut off. */
  static boolean mayAsk(Channel channel) {
    var guest = channel.attr(GUEST).get();
    return guest == null || guest.gate.mayAsk(guest);
  }

  private boolean mayAsk(Guest guest) {
    if (guest.address.requests.take(nanoClock.getAsLong()) || ++guest.excess <= HONEST_REQUESTS) {
      return true;
    }
    var remote = guest.channel.remoteAddress();
    cutOff(guest.channel);
    if (remote != null) {
      refused(remote, Reason.REQUESTS_OF_ADDRESS);
    }
    return false;
  }

  /** Whether no call of a connection was admitted yet. */
  static boolean isStranger(Channel channel) {
    var guest = channel.attr(GUEST).get();
    return guest != null && !guest.admitted;
  }

  private boolean mayWaste(Guest guest) {
    var frames = !guest.admitted ? guest.address.framesOfStrangers : guest.address.framesOfKnown;
    return frames.take(nanoClock.getAsLong());
  }

  /** Says that the handshake of a connection is done. */
  static void shookHands(Channel channel) {
    var guest = channel.attr(GUEST).get();
    if (guest != null) {
      guest.gate.endHandshake(guest);
    }
  }

  private synchronized void endHandshake(Guest guest) {
    guest.address.crowd.handshakes.remove(guest);
    all.handshakes.remove(guest);
  }

  /**
   * Says that a call of a connection was admitted.
   *
   * @return whether it makes room for nobody from now on; false where its caller has so many of
   *     these already
   */
  static boolean welcome(Channel channel, Object caller) {
    var guest = channel.attr(GUEST).get();
    return guest == null || guest.gate.endStrangeness(guest, caller);
  }

  private synchronized boolean endStrangeness(Guest guest, Object caller) {
    guest.admitted = true;
    guest.address.known = Optional.of(nanoClock.getAsLong());
    if (guest.caller != null || guest.channel.attr(GUEST).get() == null) {
      return true;
    }
    int others = known.getOrDefault(caller, 0);
    if (others >= limits.openPerCaller()) {
      return false;
    }
    guest.caller = caller;
    known.put(caller, others + 1);
    guest.address.crowd.strangers.remove(guest);
    all.strangers.remove(guest);
    return true;
  }

  /**
   * Says that a peer is one whom this port is for, where none is ever admitted: its address comes
   * back whatever strangers do, and makes room like them, for being recognized costs little.
   */
  static void recognize(Channel channel) {
    var guest = channel.attr(GUEST).get();
    if (guest != null) {
      guest.gate.know(guest.address);
    }
  }

  private synchronized void know(Address address) {
    address.known = Optional.of(nanoClock.getAsLong());
  }

  /** Connections that are open, in all. */
  synchronized int open() {
    return all.open;
  }

  private static ByteBuffer key(InetSocketAddress remote) {
    byte[] bytes = remote.getAddress().getAddress();
    return ByteBuffer.wrap(
        remote.getAddress() instanceof Inet6Address
            ? Arrays.copyOf(bytes, IPV6_SUBNET_BYTES)
            : bytes);
  }
}
