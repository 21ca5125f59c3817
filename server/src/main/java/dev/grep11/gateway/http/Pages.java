package dev.grep11.gateway.http;

/** What a port answers. */
public interface Pages {
  /** On a thread of the request's own, which may wait. */
  Answer answer(Request request);

  /** To what is not HTTP/1.1, or longer than a request may be; on the event loop. */
  Answer malformed();
}
