package dev.grep11.agent;

import static dev.grep11.client.Ckr.CKR_DEVICE_MEMORY;
import static dev.grep11.client.Ckr.CKR_FUNCTION_NOT_SUPPORTED;

import dev.grep11.agent.cryptoki.Application;
import dev.grep11.agent.cryptoki.WouldWait;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.Call;
import dev.grep11.agent.rpc.MalformedException;
import dev.grep11.agent.rpc.MessageReader;
import dev.grep11.agent.rpc.MessageWriter;
import dev.grep11.client.EventLoop;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The connection of one application: frames in, frames out.
 *
 * <p>It is read on the agent's event loop, which also reads what gateways answer. Calls of a
 * session are made in their order, calls of different sessions at once: on the loop what needs no
 * waiting, without any thread what waits for one answer of the gateway, and on the agent's pool the
 * rest. Answers carry the tag of their call, so that they may overtake each other.
 */
final class Connection implements AutoCloseable {
  /** The newest dialect; a client that knows more speaks this one. */
  static final int NEWEST = 2;

  /** The longest body. The protocol has no limit of its own. */
  static final int LONGEST_BODY = 16 << 20;

  /** The client's name, which nobody needs. */
  private static final int LONGEST_OPTIONS = 4096;

  private static final int HEADER = 12;
  private static final int CALLS_UNDER_WAY = 256;

  /** Of {@link #input}, before the others on the loop have their turn. */
  private static final int READS_IN_TURN = 16;

  /** Answers that wait for the application; with more of them nothing is read of it. */
  private static final int MOST_OUTPUT = 1 << 20;

  /** The JDK copies all that one write is handed, and not only what the socket takes. */
  private static final int LONGEST_WRITE = 128 << 10;

  /** Of {@link #LONGEST_WRITE}, before the others on the loop have their turn. */
  private static final int WRITES_IN_TURN = 4;

  /** Of an answer, what is not counted: nothing that was made is lost for its few bytes. */
  private static final int UNCOUNTED = 4096;

  /** The key of calls that are of no session. */
  private static final long NO_SESSION = 0;

  private static final ByteBuffer NONE = ByteBuffer.allocate(0);

  private final SocketChannel channel;
  private final Application application;
  private final Dispatcher dispatcher;
  private final EventLoop loop;
  private final Executor pool;
  private final Log log;
  private final Budget budget;
  private final Consumer<Connection> gone;
  private final Semaphore underWay = new Semaphore(CALLS_UNDER_WAY);
  private final AtomicBoolean closed = new AtomicBoolean();
  private volatile EventLoop.@Nullable Registration registration;

  // Reading: of the loop's thread.
  private final ByteBuffer input = ByteBuffer.allocateDirect(64 << 10).flip();
  private final ByteBuffer header = ByteBuffer.allocate(HEADER);
  private int dialect = -1;
  private int skipped;
  private @Nullable Taken taken;
  private ByteBuffer body = NONE;

  /** While {@link #waiter} waits, which then owns what it takes. */
  private boolean paused;

  private volatile @Nullable Thread waiter;

  /**
   * An Init of {@link #heldSession} was answered, and the answer may go with that of the call
   * behind it.
   */
  private boolean isAnswerHeld;

  private long heldSession;

  /** Answers on their way out, in their order. Guarded by itself. */
  private final Deque<Frame> output = new ArrayDeque<>();

  /** Of {@link #output}; changed with its lock held. */
  private volatile long outputBytes;

  private volatile boolean isFull;

  /** Calls that wait for one of the same session. Guarded by itself. */
  private final Map<Long, Queue<Task>> waiting = new HashMap<>();

  /**
   * @param gone told once, when the connection is closed
   */
  Connection(
      SocketChannel channel,
      Application application,
      Budget budget,
      EventLoop loop,
      Executor pool,
      Log log,
      Consumer<Connection> gone) {
    this.channel = channel;
    this.budget = budget;
    this.application = application;
    this.dispatcher = new Dispatcher(application, log);
    this.loop = loop;
    this.pool = pool;
    this.log = log;
    this.gone = gone;
  }

  /** Serves the application until it goes. */
  void start() throws IOException {
    channel.configureBlocking(false);
    registration = loop.register(channel, this::ready);
    loop.execute(this::listen);
  }

  private void listen() {
    var listening = registration;
    if (listening != null && !closed.get()) {
      listening.listen(mayRead(), isFull);
    }
  }

  private boolean mayRead() {
    return !paused && outputBytes <= MOST_OUTPUT && !closed.get();
  }

  private void ready() {
    guarded(() -> {
      if (isFull) {
        flush();
      }
      // What was read before comes first.
      receive();
      for (int i = 0; i < READS_IN_TURN && mayRead(); i++) {
        input.clear();
        int count = channel.read(input);
        input.flip();
        if (count <= 0) {
          if (count < 0) {
            throw new EOFException();
          }
          break;
        }
        boolean wasFilled = count == input.capacity();
        receive();
        if (!wasFilled) {
          break;
        }
      }
      release();
      if (!mayRead()) {
        listen();
      }
    });
  }

  /** What is read and written on the loop; a connection whose messages fail is closed. */
  private void guarded(Work work) {
    try {
      work.run();
    } catch (EOFException left) {
      log.debug("an application left");
      close();
    } catch (ClosedChannelException e) {
      close();
    } catch (IOException e) {
      log.info("a connection ended: " + e.getMessage());
      close();
    } catch (MalformedException e) {
      log.warning("a connection is closed: " + e.getMessage());
      close();
    } catch (RuntimeException | Error e) {
      log.error("a connection is closed: " + e);
      close();
    }
  }

  private interface Work {
    void run() throws IOException;
  }

  /** Answers that were held for a call which is not there yet. */
  private void release() throws IOException {
    if (isAnswerHeld) {
      isAnswerHeld = false;
      flush();
    }
  }

  // ---- Reading

  /** Takes the input apart, as far as it goes. */
  private void receive() throws IOException {
    while (mayRead()) {
      if (dialect < 0) {
        if (!input.hasRemaining()) {
          return;
        }
        dialect = Math.min(input.get() & 0xff, NEWEST);
        send(new Frame(ByteBuffer.wrap(new byte[] {(byte) dialect}), null));
        flush();
      } else if (taken == null) {
        move(header);
        if (header.hasRemaining()) {
          return;
        }
        beginBody();
      } else if (skipped > 0) {
        int count = Math.min(skipped, input.remaining());
        if (count == 0) {
          return;
        }
        input.position(input.position() + count);
        skipped -= count;
      } else if (!receiveBody()) {
        return;
      }
    }
  }

  private void move(ByteBuffer to) {
    int count = Math.min(to.remaining(), input.remaining());
    to.put(input.slice(input.position(), count));
    input.position(input.position() + count);
  }

  private void beginBody() {
    skipped = header.getInt(4);
    int length = header.getInt(8);
    // Compared as unsigned: a negative number is a very long body.
    if (Integer.compareUnsigned(skipped, LONGEST_OPTIONS) > 0
        || Integer.compareUnsigned(length, LONGEST_BODY) > 0) {
      throw new MalformedException(
          "a frame of %s and %s bytes"
              .formatted(Integer.toUnsignedString(skipped), Integer.toUnsignedString(length)));
    }
    taken = new Taken();
    body = NONE;
  }

  /**
   * Memory is taken as the bytes come, since a length alone proves nothing. False: not all there.
   */
  private boolean receiveBody() throws IOException {
    int length = header.getInt(8);
    var taken = Objects.requireNonNull(this.taken);
    while (body.position() < length) {
      if (!body.hasRemaining()) {
        int room = Math.min(length, Math.max(input.capacity(), 2 * body.capacity()));
        if (!taken.has(room)) {
          return false;
        }
        body = ByteBuffer.allocate(room).put(body.flip());
      }
      if (!input.hasRemaining()) {
        return false;
      }
      move(body);
    }
    if (!taken.isAdmitted()) {
      return false;
    }
    int tag = header.getInt(0);
    var message = new MessageReader(body.flip(), dialect);
    header.clear();
    body = NONE;
    this.taken = null;
    try {
      begin(tag, message, taken);
    } catch (IOException | RuntimeException | Error e) {
      taken.giveBack();
      throw e;
    }
    return true;
  }

  /**
   * What one message took of the budget, and its place among the calls under way; given back once,
   * whoever comes first.
   */
  private final class Taken {
    private int bytes;
    private boolean admitted;

    /** Whether so many are taken now; otherwise reading is paused until they are. */
    synchronized boolean has(int wanted) {
      int more = wanted - bytes;
      if (more <= 0 || budget.tryTake(more)) {
        bytes = Math.max(bytes, wanted);
        return true;
      }
      pause(() -> take(more));
      return false;
    }

    /** Whether it is one of the calls under way; otherwise reading is paused until it is. */
    synchronized boolean isAdmitted() {
      if (!admitted && !underWay.tryAcquire()) {
        pause(this::admit);
        return false;
      }
      admitted = true;
      return true;
    }

    private void admit() throws InterruptedException {
      underWay.acquire();
      synchronized (this) {
        admitted = true;
      }
    }

    /**
     * Whether there is room for the answer. It takes the place of the request, which nobody needs
     * any more; nothing waits, since who makes answers must not wait for who reads them.
     */
    synchronized boolean becomes(int answer) {
      int counted = answer > UNCOUNTED ? answer : 0;
      if (counted > bytes && !budget.tryTake(counted - bytes)) {
        return false;
      }
      if (counted < bytes) {
        budget.giveBack(bytes - counted);
      }
      bytes = counted;
      return true;
    }

    private void take(int more) throws IOException, InterruptedException {
      budget.take(more);
      synchronized (this) {
        bytes += more;
      }
    }

    synchronized void giveBack() {
      budget.giveBack(bytes);
      bytes = 0;
      if (admitted) {
        admitted = false;
        underWay.release();
      }
    }
  }

  /** Something that others have to give back first. */
  private interface Wait {
    void end() throws IOException, InterruptedException;
  }

  /** Nothing is read until it is over; the loop does not wait for it. */
  private void pause(Wait wait) {
    var thread =
        new Thread(
            () -> {
              try {
                wait.end();
              } catch (IOException e) {
                log.info("a connection ended: " + e.getMessage());
                close();
              } catch (InterruptedException e) {
                // By close.
                close();
              } finally {
                goOnReading();
              }
            },
            "agent-waiting");
    thread.setDaemon(true);
    waiter = thread;
    thread.start();
    // Only now: where no thread can be made the connection is closed, and nobody resumes it.
    paused = true;
    if (closed.get()) {
      thread.interrupt();
    }
    listen();
  }

  /** From the thread that waited. */
  private void goOnReading() {
    try {
      loop.execute(this::resume);
    } catch (RejectedExecutionException ending) {
      log.debug("nothing is read any more: the agent ends");
    }
  }

  private void resume() {
    paused = false;
    waiter = null;
    if (closed.get()) {
      forgetMessage();
      return;
    }
    readOn();
  }

  /** From where reading stopped. */
  private void readOn() {
    guarded(() -> {
      receive();
      release();
      listen();
    });
  }

  // ---- Calls

  private void begin(int tag, MessageReader in, Taken body) throws IOException {
    int number = in.callNumber();
    var call = Call.of(number);
    if (call.isEmpty()) {
      // Of a later version: its arguments are unknown, their frame is not.
      log.debug("call " + number + " is unknown");
      answer(tag, MessageWriter.refusal(CKR_FUNCTION_NOT_SUPPORTED), body);
      return;
    }
    in.requireSignature(call.get());
    long session = call.get().ofSession() ? in.peekNumber() : NO_SESSION;
    var task = new Task(() -> answer(tag, dispatcher.answer(call.get(), in), body), body);
    if (!occupy(session, task)) {
      return;
    }
    if (dispatcher.isAtHand(call.get(), in)) {
      MessageWriter answer;
      try {
        answer = dispatcher.answer(call.get(), in.copy());
      } catch (WouldWait e) {
        // What was at hand expired or went since, and nothing was done: the pool may wait for it.
        release();
        handOver(session, task);
        return;
      }
      send(frame(tag, answer, body));
      // One system call, and one wake-up of the application, for both.
      if (input.hasRemaining() && (!isAnswerHeld || heldSession == session)) {
        isAnswerHeld = true;
        heldSession = session;
      } else {
        isAnswerHeld = false;
        flush();
      }
      goOn(session);
      return;
    }
    var begun = dispatcher.begin(call.get(), in);
    if (begun.isEmpty()) {
      release();
      handOver(session, task);
      return;
    }
    if (isAnswerHeld && heldSession == session) {
      // It is of the Init before this call, and goes when the gateway's answer comes.
      isAnswerHeld = false;
    } else {
      release();
    }
    loop.await();
    var unused =
        begun
            .get()
            .whenComplete((answer, failure) -> {
              try {
                if (answer != null && answer.isPresent()) {
                  new Task(() -> answer(tag, answer.get(), body), body).run();
                  goOn(session);
                } else {
                  handOver(session, task);
                }
              } finally {
                if (loop.isThisThread()) {
                  loop.awaitNoMore();
                } else {
                  loop.execute(loop::awaitNoMore);
                }
              }
            });
  }

  /** A call that is made and answered. */
  private final class Task {
    private final Work work;
    private final Taken body;

    Task(Work work, Taken body) {
      this.work = work;
      this.body = body;
    }

    /** Throws nothing: whatever happens, those behind it have their turn. */
    void run() {
      // Its application went before it was begun.
      if (closed.get()) {
        body.giveBack();
        return;
      }
      try {
        work.run();
      } catch (IOException e) {
        abandon();
      } catch (RuntimeException | Error e) {
        // Out of memory, most likely. Its caller must not wait for an answer for ever.
        abandon();
        log.error("a connection is closed: " + e);
      }
    }

    /** It will not be answered. */
    void abandon() {
      body.giveBack();
      close();
    }
  }

  /** False when a call of that session is under way, after which this one is done. */
  private boolean occupy(long session, Task task) {
    synchronized (waiting) {
      var queue = waiting.get(session);
      if (queue != null) {
        queue.add(task);
        return false;
      }
      waiting.put(session, new ArrayDeque<>());
      return true;
    }
  }

  /** With what waits for the session, whose last call was answered. */
  private void goOn(long session) {
    var next = next(session);
    if (next != null) {
      handOver(session, next);
    }
  }

  /** To the pool; where it takes nothing, the session's calls are not answered. */
  private void handOver(long session, Task first) {
    boolean taken = false;
    try {
      pool.execute(() -> runAll(session, first));
      taken = true;
    } catch (RejectedExecutionException ending) {
      log.debug("a call is not begun: the agent ends");
    } finally {
      for (Task task = first; !taken && task != null; task = next(session)) {
        task.abandon();
      }
    }
  }

  private void runAll(long session, Task first) {
    for (Task task = first; task != null; task = next(session)) {
      task.run();
    }
  }

  private @Nullable Task next(long session) {
    synchronized (waiting) {
      var queue = waiting.get(session);
      Task next = queue == null ? null : queue.poll();
      if (next == null) {
        waiting.remove(session);
      }
      return next;
    }
  }

  // ---- Writing

  /**
   * @param request given back when all of it is written; null where there was none
   */
  private record Frame(ByteBuffer bytes, @Nullable Taken request) {
    void written() {
      if (request != null) {
        request.giveBack();
      }
    }
  }

  private Frame frame(int tag, MessageWriter answer, Taken request) {
    var body = answer.finish();
    if (!request.becomes(body.remaining())) {
      log.warning("an answer has no room: the application reads too little, or the agent is full");
      body = MessageWriter.refusal(CKR_DEVICE_MEMORY).finish();
      request.becomes(body.remaining());
    }
    return new Frame(
        ByteBuffer.allocate(HEADER + body.remaining())
            .putInt(tag)
            .putInt(0)
            .putInt(body.remaining())
            .put(body)
            .flip(),
        request);
  }

  private void answer(int tag, MessageWriter answer, Taken request) throws IOException {
    send(frame(tag, answer, request));
    flush();
  }

  private void send(Frame frame) {
    synchronized (output) {
      // Either close finds it in the queue, or it is seen here that nobody would.
      if (closed.get()) {
        frame.written();
        return;
      }
      output.add(frame);
      outputBytes += frame.bytes.remaining();
    }
  }

  /** As much as the application takes; the rest when the loop says that it takes more. */
  private void flush() throws IOException {
    boolean wasFull;
    boolean wasTooMuch;
    synchronized (output) {
      wasFull = isFull;
      wasTooMuch = outputBytes > MOST_OUTPUT;
      for (int i = 0; i < WRITES_IN_TURN && !output.isEmpty(); i++) {
        var part = beginning();
        long length = 0;
        for (var bytes : part) {
          length += bytes.remaining();
        }
        long written = channel.write(part);
        outputBytes -= written;
        forget(written);
        if (written < length) {
          break;
        }
      }
      isFull = !output.isEmpty();
    }
    if (wasTooMuch && outputBytes <= MOST_OUTPUT) {
      // Also what was read before reading stopped.
      loop.execute(this::readOn);
    } else if (isFull != wasFull) {
      loop.execute(this::listen);
    }
  }

  /** Of the output, what one write is handed. */
  private ByteBuffer[] beginning() {
    var part = new ArrayList<ByteBuffer>();
    int room = LONGEST_WRITE;
    for (var frames = output.iterator(); room > 0 && frames.hasNext(); ) {
      var bytes = frames.next().bytes;
      int count = Math.min(room, bytes.remaining());
      part.add(bytes.slice(bytes.position(), count));
      room -= count;
    }
    return part.toArray(ByteBuffer[]::new);
  }

  private void forget(long written) {
    long rest = written;
    while (!output.isEmpty()) {
      var bytes = output.element().bytes;
      int count = (int) Math.min(rest, bytes.remaining());
      bytes.position(bytes.position() + count);
      rest -= count;
      if (bytes.hasRemaining()) {
        return;
      }
      output.remove().written();
    }
  }

  // ---- The end

  @Override
  public void close() {
    if (closed.getAndSet(true)) {
      return;
    }
    synchronized (output) {
      output.forEach(Frame::written);
      output.clear();
      outputBytes = 0;
    }
    var waits = waiter;
    if (waits != null) {
      waits.interrupt();
    }
    // Elsewhere it would be closed under the loop's hands.
    if (loop.isThisThread()) {
      closeChannel();
    } else {
      loop.execute(this::closeChannel);
    }
    try {
      // It takes a lock that is held while a token is initialized.
      pool.execute(this::leave);
    } catch (RejectedExecutionException ending) {
      leave();
    }
  }

  private void closeChannel() {
    try {
      channel.close();
    } catch (IOException e) {
      log.debug("closing a connection: " + e.getMessage());
    }
    forgetMessage();
  }

  private void leave() {
    try {
      application.close();
    } finally {
      gone.accept(this);
    }
  }

  /** One that was not there as a whole. */
  private void forgetMessage() {
    var unfinished = taken;
    // While it is paused, the thread that waits may still take: resume forgets it.
    if (unfinished != null && !paused) {
      taken = null;
      unfinished.giveBack();
    }
  }
}
