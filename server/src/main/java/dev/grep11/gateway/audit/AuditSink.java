package dev.grep11.gateway.audit;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One place to write to. A batch that was not taken is offered again until it is. */
abstract sealed class AuditSink {
  private static final Logger log = LoggerFactory.getLogger(AuditLog.class);

  private boolean reported;

  /** Writes what is left of the batch; false when that failed. */
  final boolean write(ByteBuffer batch) {
    try {
      tryWrite(batch);
      reported = false;
      return true;
    } catch (IOException e) {
      if (!reported) {
        log.error("audit events cannot be written: {}", e.getMessage());
        reported = true;
      }
      return false;
    }
  }

  abstract void tryWrite(ByteBuffer batch) throws IOException;

  /** Returns when what was written survives the loss of power, as far as the sink can tell. */
  abstract void force() throws IOException;

  abstract void close() throws IOException;

  /** A file, which knows how much of a batch it took, and so never breaks a line. */
  static final class File extends AuditSink {
    private final FileChannel channel;

    File(FileChannel channel) {
      this.channel = channel;
    }

    @Override
    void tryWrite(ByteBuffer batch) throws IOException {
      while (batch.hasRemaining()) {
        channel.write(batch);
      }
    }

    long size() throws IOException {
      return channel.size();
    }

    @Override
    void force() throws IOException {
      channel.force(false);
    }

    @Override
    void close() throws IOException {
      channel.close();
    }
  }

  /** A stream, which remembers that it may have stopped in the middle of a line. */
  static final class Stream extends AuditSink {
    private final OutputStream out;
    private boolean inMiddleOfLine;

    Stream(OutputStream out) {
      this.out = out;
    }

    @Override
    void tryWrite(ByteBuffer batch) throws IOException {
      if (inMiddleOfLine) {
        out.write('\n');
      }
      inMiddleOfLine = true;
      out.write(batch.array(), batch.arrayOffset() + batch.position(), batch.remaining());
      out.flush();
      inMiddleOfLine = false;
    }

    @Override
    void force() {}

    /** The standard streams are not ours to close. */
    @Override
    void close() throws IOException {
      if (!(out instanceof FileOutputStream)) {
        out.close();
      }
    }
  }
}
