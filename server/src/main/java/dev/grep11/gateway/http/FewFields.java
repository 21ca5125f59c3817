package dev.grep11.gateway.http;

import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpHeadersFactory;

/**
 * Makes headers, or trailers, of so many fields at most. Netty counts their bytes only, and one of
 * two bytes takes forty times as much memory.
 */
record FewFields(int most) implements HttpHeadersFactory {
  @Override
  public HttpHeaders newHeaders() {
    return new Fields(most);
  }

  @Override
  public HttpHeaders newEmptyHeaders() {
    return new Fields(most);
  }

  private static final class Fields extends DefaultHttpHeaders {
    private final int most;

    private Fields(int most) {
      this.most = most;
    }

    @Override
    public HttpHeaders add(CharSequence name, Object value) {
      requireRoom();
      return super.add(name, value);
    }

    @Override
    public HttpHeaders add(String name, Object value) {
      requireRoom();
      return super.add(name, value);
    }

    /** What is thrown makes the message one that was not decoded. */
    private void requireRoom() {
      if (size() >= most) {
        throw new IllegalArgumentException("too many fields");
      }
    }
  }
}
