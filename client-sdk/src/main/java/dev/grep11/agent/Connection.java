package dev.grep11.agent;

import static dev.grep11.client.Ckr.CKR_FUNCTION_NOT_SUPPORTED;

import dev.grep11.agent.cryptoki.Application;
import dev.grep11.agent.log.Log;
import dev.grep11.agent.rpc.Call;
import dev.grep11.agent.rpc.MalformedException;
import dev.grep11.agent.rpc.MessageReader;
import dev.grep11.agent.rpc.MessageWriter;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.Executor;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/**
 * The connection of one application: frames in, frames out.
 *
 * <p>One thread reads. Calls of a session are made in their order, calls of different sessions at
 * once, on the agent's pool; calls that never wait are made by the reader when nothing of their
 * session is under way. Answers carry the tag of their call, so that they may overtake each other.
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

  /** The key of calls that are of no session. */
  private static final long NO_SESSION = 0;

  private final SocketChannel channel;
  private final Application application;
  private final Dispatcher dispatcher;
  private final Executor pool;
  private final Log log;
  private final Budget budget;
  private final Semaphore underWay = new Semaphore(CALLS_UNDER_WAY);
  private final ByteBuffer input = ByteBuffer.allocateDirect(64 << 10).flip();
  private final Object writing = new Object();

  /** Calls that wait for one of the same session. Guarded by itself. */
  private final Map<Long, Queue<Runnable>> waiting = new HashMap<>();

  Connection(
      SocketChannel channel, Application application, Budget budget, Executor pool, Log log) {
    this.channel = channel;
    this.budget = budget;
    this.application = application;
    this.dispatcher = new Dispatcher(application, log);
    this.pool = pool;
    this.log = log;
  }

  /** Serves the application until it goes. */
  void run() {
    try {
      int dialect = Math.min(read(1).get() & 0xff, NEWEST);
      channel.write(ByteBuffer.wrap(new byte[] {(byte) dialect}));
      while (true) {
        receive(dialect);
      }
    } catch (EOFException gone) {
      log.debug("an application left");
    } catch (IOException e) {
      log.info("a connection ended: " + e.getMessage());
    } catch (MalformedException e) {
      log.warning("a connection is closed: " + e.getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      close();
    }
  }

  private void receive(int dialect) throws IOException, InterruptedException {
    var header = read(HEADER);
    int tag = header.getInt();
    int options = header.getInt();
    int length = header.getInt();
    // Compared as unsigned: a negative number is a very long body.
    if (Integer.compareUnsigned(options, LONGEST_OPTIONS) > 0
        || Integer.compareUnsigned(length, LONGEST_BODY) > 0) {
      throw new MalformedException(
          "a frame of %s and %s bytes"
              .formatted(Integer.toUnsignedString(options), Integer.toUnsignedString(length)));
    }
    read(options);
    var body = new Taken();
    try {
      var in = new MessageReader(read(length, body), dialect);
      underWay.acquire();
      begin(tag, in, body);
    } catch (IOException | InterruptedException | RuntimeException | Error e) {
      body.giveBack();
      throw e;
    }
  }

  /** What one message took of the budget; given back once, whoever comes first. */
  private final class Taken {
    private int bytes;

    void take(int more) throws IOException, InterruptedException {
      budget.take(more);
      bytes += more;
    }

    synchronized void giveBack() {
      budget.giveBack(bytes);
      bytes = 0;
    }
  }

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
    Runnable task =
        () -> {
          try {
            answer(tag, dispatcher.answer(call.get(), in), body);
          } catch (IOException e) {
            close();
          } catch (RuntimeException | Error e) {
            // Out of memory, most likely. Its caller must not wait for an answer for ever.
            log.error("a connection is closed: " + e);
            close();
          }
        };
    if (isQuick(call.get()) && isIdle(session)) {
      task.run();
    } else {
      enqueue(session, task);
    }
  }

  /** Calls that neither ask the gateway nor wait for anything else. */
  private static boolean isQuick(Call call) {
    return switch (call) {
      case C_Initialize,
          C_GetInfo,
          C_OpenSession,
          C_GetSessionInfo,
          C_GetAttributeValue,
          C_FindObjects,
          C_FindObjectsFinal ->
          true;
      default -> false;
    };
  }

  private boolean isIdle(long session) {
    synchronized (waiting) {
      return !waiting.containsKey(session);
    }
  }

  private void enqueue(long session, Runnable task) {
    synchronized (waiting) {
      var queue = waiting.get(session);
      if (queue != null) {
        queue.add(task);
        return;
      }
      waiting.put(session, new ArrayDeque<>());
    }
    pool.execute(() -> runAll(session, task));
  }

  private void runAll(long session, Runnable first) {
    for (Runnable task = first; task != null; task = next(session)) {
      task.run();
    }
  }

  private @Nullable Runnable next(long session) {
    synchronized (waiting) {
      var queue = waiting.get(session);
      Runnable next = queue == null ? null : queue.poll();
      if (next == null) {
        waiting.remove(session);
      }
      return next;
    }
  }

  private void answer(int tag, MessageWriter answer, Taken request) throws IOException {
    try {
      var body = answer.finish();
      var frame =
          ByteBuffer.allocate(HEADER + body.remaining())
              .putInt(tag)
              .putInt(0)
              .putInt(body.remaining())
              .put(body)
              .flip();
      synchronized (writing) {
        while (frame.hasRemaining()) {
          channel.write(frame);
        }
      }
    } finally {
      request.giveBack();
      underWay.release();
    }
  }

  /** A header, which is small: nothing is taken of the budget. */
  private ByteBuffer read(int length) throws IOException, InterruptedException {
    return read(length, null);
  }

  /** So many bytes; memory is taken as they come, since a length alone proves nothing. */
  private ByteBuffer read(int length, @Nullable Taken taken)
      throws IOException, InterruptedException {
    int room = Math.min(length, input.capacity());
    if (taken != null) {
      taken.take(room);
    }
    var bytes = ByteBuffer.allocate(room);
    while (true) {
      int missing = length - bytes.position();
      if (missing == 0) {
        return bytes.flip();
      }
      if (!input.hasRemaining()) {
        input.clear();
        int count = channel.read(input);
        input.flip();
        if (count < 0) {
          throw new EOFException();
        }
      }
      if (!bytes.hasRemaining()) {
        room = Math.min(length, 2 * bytes.capacity());
        if (taken != null) {
          taken.take(room - bytes.capacity());
        }
        bytes = ByteBuffer.allocate(room).put(bytes.flip());
      }
      int count = Math.min(Math.min(missing, input.remaining()), bytes.remaining());
      bytes.put(input.slice(input.position(), count));
      input.position(input.position() + count);
    }
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      log.debug("closing a connection: " + e.getMessage());
    }
    application.close();
  }
}
