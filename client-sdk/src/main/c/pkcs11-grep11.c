/*
 * The PKCS #11 module of the grep11 agent: a door, and nothing behind it.
 *
 * Every function is one message to the agent's socket and one back, in the protocol of p11-kit (dialect 2).
 * What the functions mean is the agent's affair. The module only
 *   - finds its way back when the agent was restarted: opens the sessions again, logs in again;
 *   - is not initialized in a forked child, which may initialize it for itself;
 *   - raises no SIGPIPE, starts no thread or process, and believes no length of a reply.
 *
 * It needs libc and nothing else. protocol.h is made from the table that the agent reads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "pkcs11-grep11.h"

enum { FORM_BYTES, FORM_FLAG, FORM_NUMBER, FORM_TEMPLATE, FORM_MECHANISMS, FORM_DATE };
enum {
  PARAMETER_BYTES, PARAMETER_NONE, PARAMETER_PSS, PARAMETER_OAEP, PARAMETER_ECDH, PARAMETER_EDDSA,
  PARAMETER_CTR, PARAMETER_GCM, PARAMETER_NUMBER, PARAMETER_BTC
};
#include "protocol.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum {
  DIALECT = 2,
  HEADER = 12,
  LONGEST_REQUEST = 16 << 20,
  LONGEST_REPLY = 17 << 20,
  LONGEST_OPTIONS = 4096,
  DEEPEST = 8,
  /* An Init that is longer is sent at once. */
  LONGEST_HELD = 512,
  MOST_SESSIONS = 1 << 20,
  /* How long a call waits for an agent that was there before. */
  WAIT_MILLIS = 30000,
  /* How long one that was not there before has to answer. */
  FIRST_MILLIS = 5000,
  PAUSE_MILLIS = 50,
  LONGEST_PAUSE_MILLIS = 1000,
  MOST_ATTEMPTS = 8
};

/* ---- Memory of messages */

typedef struct {
  unsigned char *data;
  size_t length, room;
  /* Out of memory, or too long. */
  bool failed;
} buffer;

static int64_t now_millis(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_millis(int64_t millis) {
  struct timespec pause = {millis / 1000, millis % 1000 * 1000000L};
  nanosleep(&pause, NULL);
}

/* Messages hold PINs and payloads. */
static void release(buffer *b) {
  if (b->data) {
    explicit_bzero(b->data, b->room);
    free(b->data);
  }
  memset(b, 0, sizeof *b);
}

static unsigned char *extend(buffer *b, size_t more) {
  if (b->failed || more > LONGEST_REQUEST || b->length + more > LONGEST_REQUEST) {
    b->failed = true;
    return NULL;
  }
  if (b->length + more > b->room) {
    size_t room = b->room ? b->room : 512;
    while (room < b->length + more) room *= 2;
    unsigned char *data = malloc(room);
    if (!data) {
      b->failed = true;
      return NULL;
    }
    if (b->data) {
      memcpy(data, b->data, b->length);
      explicit_bzero(b->data, b->room);
      free(b->data);
    }
    b->data = data;
    b->room = room;
  }
  unsigned char *at = b->data + b->length;
  b->length += more;
  return at;
}

static void store(unsigned char *at, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; i--, value >>= 8) at[i] = (unsigned char)value;
}

static void put(buffer *b, uint64_t value, int bytes) {
  unsigned char *at = extend(b, (size_t)bytes);
  if (at) store(at, value, bytes);
}

static void put_bytes(buffer *b, const void *bytes, size_t length) {
  if (!bytes) {
    put(b, 0xffffffff, 4);
    return;
  }
  put(b, length, 4);
  unsigned char *at = extend(b, length);
  if (at && length) memcpy(at, bytes, length);
}

/* ---- Reading replies: every length is compared with what is there. */

typedef struct {
  const unsigned char *at, *end;
  bool failed;
} reader;

static uint64_t get(reader *r, int bytes) {
  if (r->failed || r->end - r->at < bytes) {
    r->failed = true;
    return 0;
  }
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | *r->at++;
  return value;
}

/* NULL where there are none. */
static const unsigned char *get_bytes(reader *r, size_t *length) {
  uint64_t count = get(r, 4);
  *length = 0;
  if (r->failed || count == 0xffffffff) return NULL;
  if (count > (uint64_t)(r->end - r->at)) {
    r->failed = true;
    return NULL;
  }
  const unsigned char *bytes = r->at;
  r->at += count;
  *length = (size_t)count;
  return bytes;
}

/* ---- The state of the process */

typedef struct {
  /* 0 is a free place. */
  CK_SESSION_HANDLE handle;
  CK_SESSION_HANDLE at_agent;
  CK_SLOT_ID slot;
  CK_FLAGS flags;
  /* The connection that at_agent belongs to. */
  uint64_t connection;
  /* The Init of an operation that has no data yet, to be said again to a new agent. */
  buffer begun;
  /* It waits for the call that needs it, and was not sent. */
  bool held;
  /* An Init that the agent took, and whose single part it did: see hold(). */
  buffer taken;
  uint64_t taken_by, taken_at;
} session;

typedef struct login {
  struct login *next;
  CK_SLOT_ID slot;
  CK_USER_TYPE user;
  size_t length;
  unsigned char pin[];
} login;

/* A call that waits for its reply. */
typedef struct waiter {
  struct waiter *next;
  uint32_t tag;
  bool done, failed;
  /* Where its thread sleeps: a reply wakes the one that it is for. */
  pthread_cond_t *woken;
  unsigned char *reply;
  size_t length;
} waiter;

static struct {
  pthread_mutex_t lock, sending;
  pthread_cond_t changed;
  bool registered, initialized, finishing, connecting, was_connected, complained;
  /* What one of those who wait reads from; -1 when nobody does. */
  int reading;
  pid_t pid;
  int fd;
  /* One that is being connected, for a child to close. */
  int opening;
  /* Whose agent the last connection was to. */
  bool knows_peer;
  uid_t peer;
  uint32_t tag;
  waiter *waiters;
  session *sessions;
  size_t places;
  /* Counts them, so that what one answered is not taken for what the next one knows. */
  uint64_t connections;
  /* Counts the calls after which the agent may see an Init differently. */
  uint64_t changes;
  login *logins;
} state = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .sending = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .reading = -1,
    .fd = -1,
    .opening = -1,
};

static void forget_login(CK_SLOT_ID slot) {
  for (login **at = &state.logins; *at;) {
    login *known = *at;
    if (known->slot == slot) {
      *at = known->next;
      explicit_bzero(known->pin, known->length);
      free(known);
    } else {
      at = &known->next;
    }
  }
}

/* In the place of what was known. Without memory for it nothing is, as before a login. */
static void remember_login(CK_SLOT_ID slot, CK_USER_TYPE user, const unsigned char *pin, size_t length) {
  login *known = malloc(sizeof *known + length);
  forget_login(slot);
  if (!known) return;
  *known = (login){state.logins, slot, user, length};
  if (length) memcpy(known->pin, pin, length);
  state.logins = known;
}

static void forget_everything(void) {
  for (size_t i = 0; i < state.places; i++) {
    release(&state.sessions[i].begun);
    release(&state.sessions[i].taken);
  }
  free(state.sessions);
  state.sessions = NULL;
  state.places = 0;
  while (state.logins) forget_login(state.logins->slot);
  if (state.fd >= 0) close(state.fd);
  if (state.opening >= 0) close(state.opening);
  state.fd = state.opening = -1;
  state.waiters = NULL;
  state.reading = -1;
  state.connecting = state.initialized = state.finishing = false;
  state.was_connected = state.complained = state.knows_peer = false;
}

/*
 * So that no thread is in the middle of a change while the memory is copied. `sending` guards no memory, and is held
 * for as long as an agent takes to read: a fork does not wait for that.
 */
static void before_fork(void) {
  pthread_mutex_lock(&state.lock);
}

static void in_parent(void) {
  pthread_mutex_unlock(&state.lock);
}

/* The parent's connection, sessions and PIN are not the child's. Others may wait for its locks, and are not here. */
static void in_child(void) {
  pthread_mutex_init(&state.lock, NULL);
  pthread_mutex_init(&state.sending, NULL);
  pthread_cond_init(&state.changed, NULL);
  forget_everything();
}

static bool is_initialized(void) {
  return state.initialized && state.pid == getpid();
}

/* ---- The connection */

/* What the environment says is not for a program that has more rights than who started it. */
static int socket_path(char *path, size_t room) {
  const char *named = secure_getenv("GREP11_AGENT_SOCKET");
  if (named && *named) return snprintf(path, room, "%s", named);
  const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
  struct stat status;
  if (runtime && *runtime && stat(runtime, &status) == 0 && S_ISDIR(status.st_mode))
    return snprintf(path, room, "%s/grep11/agent.sock", runtime);
  return snprintf(path, room, "/run/grep11/agent.sock");
}

/* False when it is not ready at `end`, a time of now_millis(); 0 is never. */
static bool is_ready(int fd, short events, int64_t end) {
  while (end) {
    int64_t left = end - now_millis();
    struct pollfd one = {fd, events, 0};
    int count = left > 0 ? poll(&one, 1, (int)left) : 0;
    if (count > 0) return true;
    if (count == 0 || errno != EINTR) return false;
  }
  return true;
}

static bool send_all(int fd, struct iovec *parts, int count, int64_t end) {
  while (count > 0) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    if (!is_ready(fd, POLLOUT, end)) return false;
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | (end ? MSG_DONTWAIT : 0));
    if (sent < 0 && (errno == EINTR || (end && errno == EAGAIN))) continue;
    if (sent < 0) return false;
    while (count > 0 && (size_t)sent >= parts->iov_len) {
      sent -= (ssize_t)parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + sent;
      parts->iov_len -= (size_t)sent;
    }
  }
  return true;
}

static bool receive_all(int fd, unsigned char *bytes, size_t length, int64_t end) {
  while (length > 0) {
    if (!is_ready(fd, POLLIN, end)) return false;
    ssize_t count = recv(fd, bytes, length, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes += count;
    length -= (size_t)count;
  }
  return true;
}

static void store_header(unsigned char *header, uint32_t tag, size_t length) {
  store(header, tag, 4);
  store(header + 4, 0, 4);
  store(header + 8, length, 4);
}

/* Behind another frame, which may be of no bytes. */
static bool send_behind(int fd, unsigned char *first, size_t first_length, uint32_t tag, const buffer *body,
                        int64_t end) {
  unsigned char header[HEADER];
  store_header(header, tag, body->length);
  struct iovec parts[3] = {{first, first_length}, {header, HEADER}, {body->data, body->length}};
  return send_all(fd, parts, 3, end);
}

static bool send_frame(int fd, uint32_t tag, const buffer *body, int64_t end) {
  return send_behind(fd, NULL, 0, tag, body, end);
}

/* One reply, of whichever call; the caller frees it. */
static bool receive_frame(int fd, uint32_t *tag, unsigned char **reply, size_t *length, int64_t end) {
  unsigned char header[HEADER], options[LONGEST_OPTIONS];
  if (!receive_all(fd, header, HEADER, end)) return false;
  reader r = {header, header + HEADER, false};
  *tag = (uint32_t)get(&r, 4);
  size_t skipped = (size_t)get(&r, 4);
  *length = (size_t)get(&r, 4);
  if (skipped > LONGEST_OPTIONS || *length > LONGEST_REPLY) return false;
  if (!receive_all(fd, options, skipped, end)) return false;
  *reply = malloc(*length + 1);
  if (!*reply) return false;
  if (receive_all(fd, *reply, *length, end)) return true;
  free(*reply);
  *reply = NULL;
  return false;
}

static void discard(unsigned char *reply, size_t length) {
  if (reply) explicit_bzero(reply, length);
  free(reply);
}

static void begin_message(buffer *b, int call) {
  const char *signature = SIGNATURES[call].request;
  put(b, (uint64_t)call, 4);
  put_bytes(b, signature, strlen(signature));
}

/* The number and types of a reply; CKR_OK when the results of this call follow. */
static CK_RV open_reply(reader *r, int call) {
  uint64_t number = get(r, 4);
  size_t length;
  const unsigned char *types = get_bytes(r, &length);
  const char *expected = number == CALL_ERROR || number == (uint64_t)call
                             ? SIGNATURES[number].response
                             : NULL;
  if (r->failed || !expected || length != strlen(expected) ||
      (length && (!types || memcmp(types, expected, length) != 0)))
    return CKR_DEVICE_ERROR;
  if (number != CALL_ERROR) return CKR_OK;
  CK_RV refused = (CK_RV)get(r, 8);
  return r->failed || refused == CKR_OK ? CKR_DEVICE_ERROR : refused;
}

/* A call on a connection that no other thread knows yet. */
static CK_RV call_alone(int fd, int call, buffer *body, CK_ULONG *result, int64_t end) {
  uint32_t tag;
  unsigned char *reply = NULL;
  size_t length;
  CK_RV rv = CKR_DEVICE_REMOVED;
  if (!body->failed && send_frame(fd, 1, body, end) && receive_frame(fd, &tag, &reply, &length, end)) {
    reader r = {reply, reply + length, false};
    rv = open_reply(&r, call);
    if (rv == CKR_OK && result) *result = (CK_ULONG)get(&r, 8);
    if (rv == CKR_OK && r.failed) rv = CKR_DEVICE_ERROR;
    discard(reply, length);
  }
  release(body);
  return rv;
}

/* Where the session of a message is: after its number and types. */
static void set_session(buffer *body, CK_SESSION_HANDLE at_agent) {
  reader r = {body->data, body->data + body->length, false};
  size_t length;
  get(&r, 4);
  get_bytes(&r, &length);
  if (!r.failed && r.end - r.at >= 8) store(body->data + (r.at - body->data), at_agent, 8);
}

/* Sessions, logins and begun operations, said to an agent that does not know them. */
static CK_RV replay(int fd, int64_t end) {
  buffer body = {0};
  begin_message(&body, CALL_C_Initialize);
  put(&body, 1, 1);
  put_bytes(&body, "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1", 41);
  put(&body, 1, 1);
  put(&body, 1, 1);
  /* So the agent knows that no list of mechanisms stands between it and the application. */
  put_bytes(&body, "grep11", 7);
  CK_RV rv = call_alone(fd, CALL_C_Initialize, &body, NULL, end);
  for (size_t i = 0; rv == CKR_OK && i < state.places; i++) {
    session *s = &state.sessions[i];
    if (!s->handle) continue;
    begin_message(&body, CALL_C_OpenSession);
    put(&body, s->slot, 8);
    put(&body, s->flags, 8);
    rv = call_alone(fd, CALL_C_OpenSession, &body, &s->at_agent, end);
    s->connection = state.connections + 1;
  }
  for (login *known = state.logins, *next; rv == CKR_OK && known; known = next) {
    session *of = NULL;
    next = known->next;
    for (size_t i = 0; i < state.places && !of; i++)
      if (state.sessions[i].handle && state.sessions[i].slot == known->slot) of = &state.sessions[i];
    if (!of) continue;
    begin_message(&body, CALL_C_Login);
    put(&body, of->at_agent, 8);
    put(&body, known->user, 8);
    put(&body, 1, 1);
    put_bytes(&body, known->pin, known->length);
    rv = call_alone(fd, CALL_C_Login, &body, NULL, end);
    if (rv != CKR_OK && rv != CKR_DEVICE_REMOVED) {
      /* A PIN that is no longer good is not tried again. Any other refusal says nothing of it: the next agent is told it
       * once more. Neither is a reason to be without all else. */
      if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID) forget_login(known->slot);
      rv = CKR_OK;
    }
  }
  for (size_t i = 0; rv == CKR_OK && i < state.places; i++) {
    session *s = &state.sessions[i];
    if (!s->handle || !s->begun.length) continue;
    unsigned char *copy = extend(&body, s->begun.length);
    if (!copy) return CKR_HOST_MEMORY;
    memcpy(copy, s->begun.data, s->begun.length);
    s->held = false;
    set_session(&body, s->at_agent);
    reader r = {body.data, body.data + body.length, false};
    /* Its refusal is the next call's: "operation not initialized". */
    CK_RV begun = call_alone(fd, (int)get(&r, 4), &body, NULL, end);
    if (begun == CKR_DEVICE_REMOVED) rv = begun;
  }
  release(&body);
  return rv;
}

/*
 * Before anything is sent, and so before a PIN is. An agent is root's (a socket of systemd), the user's own, or of
 * whom its directory belongs to, and the one that is found again is the same user's.
 */
static bool is_trusted(int fd, const char *path) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || length != sizeof peer) return false;
  if (state.knows_peer && peer.uid != state.peer) return false;
  bool trusted = peer.uid == 0 || peer.uid == geteuid();
  if (!trusted) {
    char directory[sizeof ((struct sockaddr_un *)0)->sun_path];
    const char *name = strrchr(path, '/');
    size_t count = name ? (size_t)(name - path) : 0;
    struct stat status;
    memcpy(directory, path, count);
    directory[count] = 0;
    trusted = stat(count ? directory : name ? "/" : ".", &status) == 0 && status.st_uid == peer.uid;
  }
  if (trusted) {
    state.knows_peer = true;
    state.peer = peer.uid;
  }
  return trusted;
}

static void close_opening(void) {
  pthread_mutex_lock(&state.lock);
  close(state.opening);
  state.opening = -1;
  pthread_mutex_unlock(&state.lock);
}

/* A connection, which is state.opening until it is the one in use. */
static int connect_once(const char **why, int64_t end) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char path[4096];
  int length = socket_path(path, sizeof path);
  if (length < 0 || (size_t)length >= sizeof address.sun_path) {
    *why = "the path is too long";
    return -1;
  }
  memcpy(address.sun_path, path, (size_t)length + 1);
  pthread_mutex_lock(&state.lock);
  int fd = state.opening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  pthread_mutex_unlock(&state.lock);
  if (fd < 0) {
    *why = strerror(errno);
    return -1;
  }
  int connecting;
  /* EAGAIN: it has many to accept. */
  while ((connecting = connect(fd, (struct sockaddr *)&address, sizeof address)) != 0 &&
         (errno == EAGAIN || errno == EINTR) && now_millis() < end)
    pause_millis(PAUSE_MILLIS);
  if (connecting != 0 || fcntl(fd, F_SETFL, 0) != 0) {
    *why = strerror(errno);
    close_opening();
    return -1;
  }
  if (!is_trusted(fd, path)) {
    *why = state.knows_peer ? "it is another user's than before"
                            : "it is neither root's, nor this user's, nor of the owner of its directory";
    close_opening();
    return -1;
  }
  unsigned char dialect = DIALECT;
  struct iovec part = {&dialect, 1};
  if (!send_all(fd, &part, 1, end) || !receive_all(fd, &dialect, 1, end) || dialect != DIALECT) {
    *why = "it is not open to this user, or no grep11 agent";
    close_opening();
    return -1;
  }
  return fd;
}

/* Once for each time that it goes away. */
static void complain(const char *why) {
  if (state.complained) return;
  state.complained = true;
  char path[4096];
  socket_path(path, sizeof path);
  fprintf(stderr, "pkcs11-grep11: the agent at %s cannot be reached: %s\n", path, why);
}

/* A connection, with the lock held; it is let go while this waits. Only an agent that was there before is waited for. */
static CK_RV connected(void) {
  while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
  if (!state.initialized) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (state.fd >= 0) return CKR_OK;
  state.connecting = true;
  bool again = state.was_connected;
  int64_t end = now_millis() + (again ? WAIT_MILLIS : FIRST_MILLIS), pause = PAUSE_MILLIS;
  const char *why = "";
  CK_RV rv = CKR_DEVICE_REMOVED;
  do {
    /* Others wait for `connecting`, so nobody changes the sessions that are replayed. */
    pthread_mutex_unlock(&state.lock);
    int fd = connect_once(&why, end);
    rv = fd < 0 ? CKR_DEVICE_REMOVED : replay(fd, end);
    if (fd >= 0 && rv != CKR_OK) {
      why = "it does not take the sessions up again";
      close_opening();
    }
    if (rv != CKR_OK && again && now_millis() < end) {
      pause_millis(pause);
      pause = 2 * pause < LONGEST_PAUSE_MILLIS ? 2 * pause : LONGEST_PAUSE_MILLIS;
    }
    pthread_mutex_lock(&state.lock);
    if (rv == CKR_OK) {
      state.fd = fd;
      state.opening = -1;
      state.connections++;
    }
  } while (rv != CKR_OK && again && state.initialized && now_millis() < end);
  state.connecting = false;
  pthread_cond_broadcast(&state.changed);
  if (rv == CKR_OK) {
    state.was_connected = true;
    state.complained = false;
    return CKR_OK;
  }
  /* Once waited for in vain, it is not waited for again before it was there. */
  state.was_connected = false;
  complain(why);
  return CKR_DEVICE_REMOVED;
}

/* With the lock held: the connection is lost, and everything that waits for it. */
static void disconnect(int fd) {
  if (state.fd != fd) return;
  shutdown(fd, SHUT_RDWR);
  state.fd = -1;
  for (waiter *w = state.waiters; w; w = w->next) {
    w->done = w->failed = true;
    if (w->woken) pthread_cond_signal(w->woken);
  }
  state.waiters = NULL;
  pthread_cond_broadcast(&state.changed);
  /* Nobody may read from a number, or send to it, that is another file's by then. */
  while (state.reading == fd) pthread_cond_wait(&state.changed, &state.lock);
  pthread_mutex_unlock(&state.lock);
  pthread_mutex_lock(&state.sending);
  close(fd);
  pthread_mutex_unlock(&state.sending);
  pthread_mutex_lock(&state.lock);
}

static void deliver(uint32_t tag, unsigned char *reply, size_t length) {
  for (waiter **at = &state.waiters; *at; at = &(*at)->next) {
    waiter *w = *at;
    if (w->tag == tag) {
      *at = w->next;
      w->reply = reply;
      w->length = length;
      w->done = true;
      if (w->woken) pthread_cond_signal(w->woken);
      return;
    }
  }
  discard(reply, length);
}

/* Waits for its own reply; one of those who wait reads for all. */
static void await(waiter *w, int fd) {
  pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
  while (!w->done) {
    if (state.reading >= 0) {
      w->woken = &woken;
      pthread_cond_wait(&woken, &state.lock);
      w->woken = NULL;
      continue;
    }
    state.reading = fd;
    pthread_mutex_unlock(&state.lock);
    uint32_t tag = 0;
    unsigned char *reply = NULL;
    size_t length = 0;
    bool received = receive_frame(fd, &tag, &reply, &length, 0);
    pthread_mutex_lock(&state.lock);
    state.reading = -1;
    /* Those who end or connect wait for this. */
    pthread_cond_broadcast(&state.changed);
    if (received) deliver(tag, reply, length);
    else disconnect(fd);
  }
  /* Somebody else reads from now on. */
  for (waiter *other = state.waiters; state.reading < 0 && other; other = other->next) {
    if (other->woken && !other->done) {
      pthread_cond_signal(other->woken);
      break;
    }
  }
  pthread_cond_destroy(&woken);
}

static session *find_session(CK_SESSION_HANDLE handle) {
  size_t place = (size_t)(handle & (MOST_SESSIONS - 1));
  if (!handle || place >= state.places || state.sessions[place].handle != handle) return NULL;
  return &state.sessions[place];
}

/* What does no harm when it is done twice, since the agent may have done it before it went away. */
static bool is_repeatable(int call) {
  switch (call) {
    case CALL_C_GetInfo:
    case CALL_C_GetSlotList:
    case CALL_C_GetSlotInfo:
    case CALL_C_GetTokenInfo:
    case CALL_C_GetMechanismList:
    case CALL_C_GetMechanismInfo:
    case CALL_C_OpenSession:
    case CALL_C_CloseSession:
    case CALL_C_CloseAllSessions:
    case CALL_C_Login:
    case CALL_C_Logout:
    case CALL_C_GetSessionInfo:
    case CALL_C_GetAttributeValue:
    case CALL_C_GetObjectSize:
    case CALL_C_FindObjectsInit:
    case CALL_C_EncryptInit:
    case CALL_C_DecryptInit:
    case CALL_C_DigestInit:
    case CALL_C_SignInit:
    case CALL_C_VerifyInit:
    case CALL_C_Encrypt:
    case CALL_C_Decrypt:
    case CALL_C_Digest:
    case CALL_C_Sign:
    case CALL_C_Verify:
    case CALL_C_WrapKey:
    case CALL_C_GenerateRandom:
      return true;
    default:
      return false;
  }
}

/* One of the functions that are begun by an Init and done by a single part. */
static int init_of(int single) {
  switch (single) {
    case CALL_C_Encrypt:
      return CALL_C_EncryptInit;
    case CALL_C_Decrypt:
      return CALL_C_DecryptInit;
    case CALL_C_Digest:
      return CALL_C_DigestInit;
    case CALL_C_Sign:
      return CALL_C_SignInit;
    case CALL_C_Verify:
      return CALL_C_VerifyInit;
    default:
      return 0;
  }
}

static bool is_init(int call) {
  switch (call) {
    case CALL_C_EncryptInit:
    case CALL_C_DecryptInit:
    case CALL_C_DigestInit:
    case CALL_C_SignInit:
    case CALL_C_VerifyInit:
      return true;
    default:
      return false;
  }
}

/* What neither begins, nor goes on with, nor ends an operation. */
static bool is_beside_operations(int call) {
  switch (call) {
    case CALL_C_GetAttributeValue:
    case CALL_C_GetSessionInfo:
    case CALL_C_FindObjectsInit:
    case CALL_C_FindObjects:
    case CALL_C_FindObjectsFinal:
    case CALL_C_GetObjectSize:
    case CALL_C_GenerateRandom:
      return true;
    default:
      return false;
  }
}

/* After which a key may be gone, or may no longer do what it did. */
static bool is_change(int call) {
  switch (call) {
    case CALL_C_InitToken2:
    case CALL_C_SetPIN:
    case CALL_C_CloseSession:
    case CALL_C_CloseAllSessions:
    case CALL_C_Login:
    case CALL_C_Logout:
    case CALL_C_SetAttributeValue:
    case CALL_C_DestroyObject:
      return true;
    default:
      return false;
  }
}

static int number_of(const buffer *message) {
  reader r = {message->data, message->data + message->length, false};
  return (int)get(&r, 4);
}

/*
 * An application that does the same again and again says the same Init before each part. Once the agent took an Init
 * and did its part, the same Init in the same session is answered here and goes with its part: one wake-up of the
 * agent instead of two. Should the agent refuse it after all, because another application destroyed the key, the part
 * gets that answer. Nothing is held after a call that may have changed what the agent would say, nor for an operation
 * that the agent might still have.
 */
static bool hold(int call, CK_SESSION_HANDLE of, const buffer *body) {
  if (!is_init(call) || body->failed || body->length > LONGEST_HELD) return false;
  bool held = false;
  pthread_mutex_lock(&state.lock);
  session *s = state.connecting || state.fd < 0 ? NULL : find_session(of);
  if (s && !s->begun.length && s->taken.length == body->length && s->taken_by == state.connections &&
      s->taken_at == state.changes && s->connection == state.connections &&
      memcmp(s->taken.data, body->data, body->length) == 0) {
    unsigned char *copy = extend(&s->begun, body->length);
    if (copy) memcpy(copy, body->data, body->length);
    held = s->held = copy != NULL;
    if (!copy) release(&s->begun);
  }
  pthread_mutex_unlock(&state.lock);
  return held;
}

/* Sends and receives. `of` is the session that the message names, or 0; `connection` gets which one answered. */
static CK_RV transact(int call, buffer *body, CK_SESSION_HANDLE of, unsigned char **reply, size_t *length,
                      uint64_t *connection) {
  if (body->failed) return CKR_HOST_MEMORY;
  CK_RV rv = CKR_DEVICE_ERROR;
  pthread_mutex_lock(&state.lock);
  if (is_change(call)) state.changes++;
  for (int attempt = 0, lost = 0; attempt < MOST_ATTEMPTS && lost < 2; attempt++) {
    unsigned char first[HEADER + LONGEST_HELD];
    size_t first_length = 0;
    waiter init = {.done = true};
    rv = connected();
    if (rv != CKR_OK) break;
    *connection = state.connections;
    if (of) {
      session *s = find_session(of);
      if (!s || s->connection != *connection) {
        rv = CKR_SESSION_HANDLE_INVALID;
        break;
      }
      set_session(body, s->at_agent);
      if (s->held) {
        set_session(&s->begun, s->at_agent);
        init = (waiter){.next = state.waiters, .tag = ++state.tag ? state.tag : ++state.tag};
        state.waiters = &init;
        store_header(first, init.tag, s->begun.length);
        memcpy(first + HEADER, s->begun.data, s->begun.length);
        first_length = HEADER + s->begun.length;
        s->held = false;
      }
    }
    int fd = state.fd;
    waiter w = {.next = state.waiters, .tag = ++state.tag ? state.tag : ++state.tag};
    state.waiters = &w;
    pthread_mutex_unlock(&state.lock);
    pthread_mutex_lock(&state.sending);
    /* The session in the message is of one connection, and a number of a file may be another's by now. */
    pthread_mutex_lock(&state.lock);
    bool current = state.fd == fd && state.connections == *connection;
    pthread_mutex_unlock(&state.lock);
    /* It stays open until `sending` is free. */
    bool sent = current && send_behind(fd, first, first_length, w.tag, body, 0);
    pthread_mutex_unlock(&state.sending);
    pthread_mutex_lock(&state.lock);
    if (!sent && !w.done) disconnect(fd);
    await(&w, fd);
    await(&init, fd);
    if (init.reply) {
      /* A part without its Init is refused too, and says less. */
      reader r = {init.reply, init.reply + init.length, false};
      rv = open_reply(&r, number_of(&(buffer){.data = first + HEADER, .length = first_length - HEADER}));
      discard(init.reply, init.length);
      if (rv != CKR_OK && !w.failed && !is_beside_operations(call) && !is_change(call)) {
        discard(w.reply, w.length);
        break;
      }
    }
    if (!w.failed) {
      *reply = w.reply;
      *length = w.length;
      rv = CKR_OK;
      break;
    }
    rv = CKR_DEVICE_ERROR;
    if (!current) continue;
    lost++;
    /* Half a message is none: what was not sent as a whole was not done. */
    if (sent && !is_repeatable(call)) break;
  }
  pthread_mutex_unlock(&state.lock);
  return rv;
}

/* ---- Mechanisms and attributes */

static int form_of(CK_ATTRIBUTE_TYPE type) {
  for (size_t i = 0; i < LENGTH(ATTRIBUTES); i++)
    if (ATTRIBUTES[i].type == type) return ATTRIBUTES[i].form;
  return FORM_BYTES;
}

static int parameter_of(CK_MECHANISM_TYPE type) {
  for (size_t i = 0; i < LENGTH(MECHANISMS); i++)
    if (MECHANISMS[i].type == type) return MECHANISMS[i].form;
  return PARAMETER_BYTES;
}

static CK_RV put_parameter(buffer *b, int form, const void *parameter, CK_ULONG length) {
  union {
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    CK_ECDH1_DERIVE_PARAMS ecdh;
    CK_EDDSA_PARAMS eddsa;
    CK_AES_CTR_PARAMS ctr;
    CK_GCM_PARAMS gcm;
    CK_GCM_PARAMS_WITHOUT_IV_BITS short_gcm;
    CK_IBM_BTC_DERIVE_PARAMS btc;
    CK_ULONG number;
  } p;
#define REQUIRE(type) \
  if (length != sizeof(type)) return CKR_MECHANISM_PARAM_INVALID; \
  memcpy(&p, parameter, sizeof(type))
  switch (form) {
    case PARAMETER_PSS:
      REQUIRE(CK_RSA_PKCS_PSS_PARAMS);
      put(b, p.pss.hashAlg, 8);
      put(b, p.pss.mgf, 8);
      put(b, p.pss.sLen, 8);
      break;
    case PARAMETER_OAEP:
      REQUIRE(CK_RSA_PKCS_OAEP_PARAMS);
      put(b, p.oaep.hashAlg, 8);
      put(b, p.oaep.mgf, 8);
      put(b, p.oaep.source, 8);
      put_bytes(b, p.oaep.pSourceData, p.oaep.ulSourceDataLen);
      break;
    case PARAMETER_ECDH:
      REQUIRE(CK_ECDH1_DERIVE_PARAMS);
      put(b, p.ecdh.kdf, 8);
      put_bytes(b, p.ecdh.pSharedData, p.ecdh.ulSharedDataLen);
      put_bytes(b, p.ecdh.pPublicData, p.ecdh.ulPublicDataLen);
      break;
    case PARAMETER_EDDSA:
      REQUIRE(CK_EDDSA_PARAMS);
      put(b, p.eddsa.phFlag ? 1 : 0, 1);
      put_bytes(b, p.eddsa.pContextData, p.eddsa.ulContextDataLen);
      break;
    case PARAMETER_CTR:
      REQUIRE(CK_AES_CTR_PARAMS);
      put(b, p.ctr.ulCounterBits, 8);
      put_bytes(b, p.ctr.cb, sizeof p.ctr.cb);
      break;
    case PARAMETER_GCM:
      /* PKCS #11 v2.40 was published without ulIvBits first. */
      if (length == sizeof p.short_gcm) {
        REQUIRE(CK_GCM_PARAMS_WITHOUT_IV_BITS);
        CK_GCM_PARAMS_WITHOUT_IV_BITS s = p.short_gcm;
        p.gcm = (CK_GCM_PARAMS){s.pIv, s.ulIvLen, s.ulIvLen * 8, s.pAAD, s.ulAADLen, s.ulTagBits};
      } else {
        REQUIRE(CK_GCM_PARAMS);
      }
      put_bytes(b, p.gcm.pIv, p.gcm.ulIvLen);
      put(b, p.gcm.ulIvBits, 8);
      put_bytes(b, p.gcm.pAAD, p.gcm.ulAADLen);
      put(b, p.gcm.ulTagBits, 8);
      break;
    case PARAMETER_NUMBER:
      REQUIRE(CK_ULONG);
      put(b, p.number, 8);
      break;
    case PARAMETER_BTC:
      REQUIRE(CK_IBM_BTC_DERIVE_PARAMS);
      put(b, p.btc.type, 8);
      put(b, p.btc.childKeyIndex, 8);
      put_bytes(b, p.btc.pChainCode, p.btc.ulChainCodeLen);
      put(b, p.btc.version, 8);
      break;
    default:
      put_bytes(b, parameter, length);
  }
#undef REQUIRE
  return CKR_OK;
}

static CK_RV put_mechanism(buffer *b, const CK_MECHANISM *mechanism) {
  if (!mechanism) {
    put(b, 0xffffffff, 4);
    return CKR_OK;
  }
  if (mechanism->mechanism >= 0xffffffff) return CKR_MECHANISM_INVALID;
  put(b, mechanism->mechanism, 4);
  int form = parameter_of(mechanism->mechanism);
  if (form == PARAMETER_NONE) return CKR_OK;
  if (!mechanism->pParameter || !mechanism->ulParameterLen) {
    put(b, 0, 1);
    return CKR_OK;
  }
  put(b, 1, 1);
  return put_parameter(b, form, mechanism->pParameter, mechanism->ulParameterLen);
}

static CK_RV put_attributes(buffer *b, const CK_ATTRIBUTE *attributes, CK_ULONG count, int depth) {
  if (depth > DEEPEST || count > LONGEST_REQUEST) return CKR_ARGUMENTS_BAD;
  put(b, count, 4);
  for (CK_ULONG i = 0; i < count; i++) {
    const CK_ATTRIBUTE *a = &attributes[i];
    CK_ULONG number = 0, length = a->ulValueLen;
    if (length > LONGEST_REQUEST || (length && !a->pValue)) return CKR_ATTRIBUTE_VALUE_INVALID;
    put(b, a->type, 4);
    put(b, 1, 1);
    put(b, length, 4);
    CK_RV rv = CKR_OK;
    switch (form_of(a->type)) {
      case FORM_FLAG:
        put(b, length == 1 ? *(const CK_BYTE *)a->pValue : 0, 1);
        break;
      case FORM_NUMBER:
        if (length == sizeof number) memcpy(&number, a->pValue, sizeof number);
        put(b, number, 8);
        break;
      case FORM_TEMPLATE:
        rv = put_attributes(b, a->pValue, length / sizeof *a, depth + 1);
        break;
      case FORM_MECHANISMS:
        put(b, length / sizeof number, 4);
        for (CK_ULONG j = 0; j < length / sizeof number; j++) {
          memcpy(&number, (const char *)a->pValue + j * sizeof number, sizeof number);
          put(b, number, 8);
        }
        break;
      default:
        put_bytes(b, length ? a->pValue : "", length);
    }
    if (rv != CKR_OK) return rv;
  }
  return CKR_OK;
}

static void put_rooms(buffer *b, const CK_ATTRIBUTE *attributes, CK_ULONG count) {
  put(b, count, 4);
  for (CK_ULONG i = 0; i < count; i++) {
    /* What is nested is not asked for: no object of the agent has such an attribute. */
    bool nested = form_of(attributes[i].type) == FORM_TEMPLATE;
    CK_ULONG room = attributes[i].pValue && !nested ? attributes[i].ulValueLen : 0;
    put(b, attributes[i].type, 4);
    put(b, room > LONGEST_REQUEST ? LONGEST_REQUEST : room, 4);
  }
}

/* One value into the application's attribute; false when the reply is not one. */
static bool get_attribute(reader *r, CK_ATTRIBUTE *a, CK_RV *small) {
  if (get(r, 4) != (a->type & 0xffffffff) || r->failed) return false;
  if (!get(r, 1)) {
    a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return !r->failed;
  }
  size_t declared = (size_t)get(r, 4), length = declared;
  const void *value = NULL;
  CK_BYTE flag;
  CK_ULONG number;
  switch (form_of(a->type)) {
    case FORM_FLAG:
      flag = (CK_BYTE)get(r, 1);
      value = &flag;
      length = sizeof flag;
      break;
    case FORM_NUMBER:
      number = (CK_ULONG)get(r, 8);
      value = &number;
      length = sizeof number;
      break;
    case FORM_TEMPLATE:
    case FORM_MECHANISMS:
      return false;
    default:
      value = get_bytes(r, &length);
      /* Where only the length is asked for, it comes without the bytes. */
      if (!value && !r->failed) length = a->pValue ? 0 : declared;
  }
  if (r->failed || length > LONGEST_REPLY) return false;
  if (!a->pValue) {
    a->ulValueLen = length;
  } else if (a->ulValueLen < length) {
    a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    *small = CKR_BUFFER_TOO_SMALL;
  } else {
    if (length && value) memcpy(a->pValue, value, length);
    a->ulValueLen = length;
  }
  return true;
}

/* ---- Sessions as the application knows them */

static bool is_of_session(int call) {
  switch (call) {
    case CALL_C_Initialize:
    case CALL_C_Finalize:
    case CALL_C_GetInfo:
    case CALL_C_GetSlotList:
    case CALL_C_GetSlotInfo:
    case CALL_C_GetTokenInfo:
    case CALL_C_GetMechanismList:
    case CALL_C_GetMechanismInfo:
    case CALL_C_InitToken:
    case CALL_C_InitToken2:
    case CALL_C_OpenSession:
    case CALL_C_CloseAllSessions:
    case CALL_C_WaitForSlotEvent:
      return false;
    default:
      return true;
  }
}

/* A handle that stays when the agent's own changes: its place, and how often the place was taken. */
static CK_SESSION_HANDLE reserve_session(CK_SLOT_ID slot, CK_FLAGS flags) {
  static CK_ULONG taken;
  size_t place = 1;
  while (place < state.places && state.sessions[place].handle) place++;
  if (place >= MOST_SESSIONS) return 0;
  if (place >= state.places) {
    size_t places = state.places ? 2 * state.places : 16;
    session *sessions = realloc(state.sessions, places * sizeof *sessions);
    if (!sessions) return 0;
    memset(sessions + state.places, 0, (places - state.places) * sizeof *sessions);
    state.sessions = sessions;
    state.places = places;
  }
  session *s = &state.sessions[place];
  s->handle = (++taken % 1024) * MOST_SESSIONS + place;
  s->slot = slot;
  s->flags = flags;
  s->connection = 0;
  return s->handle;
}

static void free_session(session *s) {
  release(&s->begun);
  release(&s->taken);
  CK_SLOT_ID slot = s->slot;
  memset(s, 0, sizeof *s);
  for (size_t i = 0; i < state.places; i++)
    if (state.sessions[i].handle && state.sessions[i].slot == slot) return;
  /* With its last session a login ends. */
  forget_login(slot);
}

/* An Init stays to be said again until data followed it or it is over. */
static void remember(int call, CK_SESSION_HANDLE of, CK_RV rv, const buffer *body, bool had_room) {
  bool begins = is_init(call) && rv == CKR_OK, over = false, done = false;
  switch (call) {
    case CALL_C_Encrypt:
    case CALL_C_Decrypt:
    case CALL_C_Digest:
    case CALL_C_Sign:
      over = rv == CKR_OK ? had_room : rv != CKR_BUFFER_TOO_SMALL;
      done = over && rv == CKR_OK;
      break;
    case CALL_C_Verify:
      over = true;
      done = rv == CKR_OK;
      break;
    default:
      over = !is_init(call) && !is_beside_operations(call);
  }
  if (!begins && !over) return;
  pthread_mutex_lock(&state.lock);
  while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
  session *s = find_session(of);
  if (s && done && number_of(&s->begun) == init_of(call)) {
    release(&s->taken);
    s->taken = s->begun;
    s->begun = (buffer){0};
    set_session(&s->taken, of);
    s->taken_by = state.connections;
    s->taken_at = state.changes;
  } else if (s && !begins) {
    release(&s->taken);
  }
  if (s) {
    release(&s->begun);
    s->held = false;
  }
  unsigned char *copy = s && begins ? extend(&s->begun, body->length) : NULL;
  if (copy) memcpy(copy, body->data, body->length);
  pthread_mutex_unlock(&state.lock);
}

/* ---- One routine for every call, led by its signature */

/*
 * Arguments, then places for results, as the types of the call say:
 *   u CK_ULONG; y int; z, s pointer; M mechanism; ay pointer, length; aA pointer, count;
 *   fy, fu pointer, pointer to length; fA pointer, count
 *   results: u pointer; v pointer; s pointer, length; ay, au the pointers of fy, fu; aA those of fA
 *   C_OpenSession: then a place for the number of the connection that answered
 */
static CK_RV call(int number, ...) {
  const char *type = SIGNATURES[number].request;
  buffer body = {0};
  CK_SESSION_HANDLE of = 0;
  CK_RV rv = CKR_OK;
  void *out = NULL;
  CK_ULONG *out_length = NULL;
  CK_ATTRIBUTE *out_attributes = NULL;
  CK_ULONG out_count = 0;
  bool of_session = is_of_session(number), seen = false;
  va_list arguments;
  va_start(arguments, number);
  begin_message(&body, number);
  for (; *type && rv == CKR_OK; type++) {
    if (*type == 'u') {
      CK_ULONG value = va_arg(arguments, CK_ULONG);
      if (of_session && !seen) of = value;
      seen = true;
      put(&body, value, 8);
    } else if (*type == 'y') {
      put(&body, (uint64_t)va_arg(arguments, int), 1);
    } else if (*type == 's') {
      put_bytes(&body, va_arg(arguments, const void *), 32);
    } else if (*type == 'M') {
      rv = put_mechanism(&body, va_arg(arguments, const CK_MECHANISM *));
    } else if (*type == 'a' && *++type == 'y') {
      const void *bytes = va_arg(arguments, const void *);
      CK_ULONG length = va_arg(arguments, CK_ULONG);
      if (length && !bytes) rv = CKR_ARGUMENTS_BAD;
      put(&body, 1, 1);
      put_bytes(&body, bytes ? bytes : "", bytes ? length : 0);
    } else if (*type == 'A') {
      const CK_ATTRIBUTE *attributes = va_arg(arguments, const CK_ATTRIBUTE *);
      CK_ULONG count = va_arg(arguments, CK_ULONG);
      rv = count && !attributes ? CKR_ARGUMENTS_BAD : put_attributes(&body, attributes, count, 0);
    } else if (*type == 'f' && *++type == 'A') {
      out_attributes = va_arg(arguments, CK_ATTRIBUTE *);
      out_count = va_arg(arguments, CK_ULONG);
      if (out_count > LONGEST_REQUEST || (out_count && !out_attributes)) rv = CKR_ARGUMENTS_BAD;
      else put_rooms(&body, out_attributes, out_count);
    } else {
      out = va_arg(arguments, void *);
      out_length = va_arg(arguments, CK_ULONG *);
      if (!out_length) {
        rv = CKR_ARGUMENTS_BAD;
        break;
      }
      /* All ones: there is room, and it is none. */
      CK_ULONG room = *out_length > LONGEST_REPLY ? LONGEST_REPLY : *out_length;
      put(&body, !out ? 0 : room ? room : 0xffffffff, 4);
    }
  }
  unsigned char *reply = NULL;
  size_t length = 0;
  uint64_t connection = 0;
  if (rv == CKR_OK && of_session && !of) rv = CKR_SESSION_HANDLE_INVALID;
  if (rv == CKR_OK && of_session && hold(number, of, &body)) {
    va_end(arguments);
    release(&body);
    return CKR_OK;
  }
  if (rv == CKR_OK) rv = transact(number, &body, of, &reply, &length, &connection);
  reader r = {reply, reply + length, false};
  if (rv == CKR_OK) rv = open_reply(&r, number);
  CK_RV small = CKR_OK;
  for (type = SIGNATURES[number].response; rv == CKR_OK && *type; type++) {
    if (*type == 'u') {
      if (out_attributes || number == CALL_C_GetAttributeValue) {
        rv = (CK_RV)get(&r, 8);
        if (rv == CKR_OK) rv = small;
      } else {
        CK_ULONG value = (CK_ULONG)get(&r, 8), *place = va_arg(arguments, CK_ULONG *);
        if (!r.failed) *place = value;
      }
    } else if (*type == 'v') {
      CK_VERSION *version = va_arg(arguments, CK_VERSION *);
      version->major = (CK_BYTE)get(&r, 1);
      version->minor = (CK_BYTE)get(&r, 1);
    } else if (*type == 's') {
      void *text = va_arg(arguments, void *);
      CK_ULONG expected = va_arg(arguments, CK_ULONG);
      size_t count;
      const unsigned char *bytes = get_bytes(&r, &count);
      if (!bytes || count != expected) r.failed = true;
      else memcpy(text, bytes, count);
    } else if (*type == 'a' && *++type == 'A') {
      if (get(&r, 4) != out_count) r.failed = true;
      for (CK_ULONG i = 0; i < out_count && !r.failed; i++)
        if (!get_attribute(&r, &out_attributes[i], &small)) r.failed = true;
    } else {
      bool there = get(&r, 1);
      uint64_t count = 0;
      if (!there) {
        count = get(&r, 4);
        if (r.failed || count > LONGEST_REPLY) r.failed = true;
        else {
          *out_length = (CK_ULONG)count;
          rv = out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
        }
      } else if (*type == 'y') {
        size_t bytes_length;
        const unsigned char *bytes = get_bytes(&r, &bytes_length);
        if (!r.failed) {
          bool fits = bytes_length <= *out_length;
          *out_length = bytes_length;
          if (out && !fits) rv = CKR_BUFFER_TOO_SMALL;
          else if (out && bytes_length) memcpy(out, bytes, bytes_length);
        }
      } else {
        count = get(&r, 4);
        if (r.failed || count > (uint64_t)(r.end - r.at) / 8) r.failed = true;
        else {
          bool fits = count <= *out_length;
          *out_length = (CK_ULONG)count;
          if (out && !fits) rv = CKR_BUFFER_TOO_SMALL;
          for (uint64_t i = 0; i < count && rv == CKR_OK && out; i++) {
            CK_ULONG value = (CK_ULONG)get(&r, 8);
            ((CK_ULONG *)out)[i] = value;
          }
        }
      }
    }
    if (r.failed) rv = CKR_DEVICE_ERROR;
  }
  if (number == CALL_C_OpenSession && rv == CKR_OK) *va_arg(arguments, uint64_t *) = connection;
  va_end(arguments);
  discard(reply, length);
  if (of_session) remember(number, of, rv, &body, out != NULL);
  release(&body);
  return rv;
}

/* ---- The functions */

#define EXPORT __attribute__((visibility("default")))
#define CALL(...) (is_initialized() ? call(__VA_ARGS__) : CKR_CRYPTOKI_NOT_INITIALIZED)
#define DECLARE(name, arguments) EXPORT CK_RV name arguments;
FUNCTIONS(DECLARE)

#define LIST(name, arguments) name,
static CK_FUNCTION_LIST functions = {{2, 40}, FUNCTIONS(LIST)};

CK_RV C_GetFunctionList(struct CK_FUNCTION_LIST **list) {
  if (!list) return CKR_ARGUMENTS_BAD;
  *list = &functions;
  return CKR_OK;
}

CK_RV C_Initialize(void *arguments) {
  const CK_C_INITIALIZE_ARGS *given = arguments;
  if (given) {
    int mutexes = !!given->CreateMutex + !!given->DestroyMutex + !!given->LockMutex + !!given->UnlockMutex;
    /* The system's locks are used whatever the application offers. */
    if ((mutexes != 0 && mutexes != 4) || given->pReserved) return CKR_ARGUMENTS_BAD;
  }
  /* A child that was made past pthread_atfork. */
  if (state.pid && state.pid != getpid()) in_child();
  pthread_mutex_lock(&state.lock);
  while (state.finishing) pthread_cond_wait(&state.changed, &state.lock);
  CK_RV rv = state.initialized ? CKR_CRYPTOKI_ALREADY_INITIALIZED : CKR_OK;
  if (rv == CKR_OK) {
    if (!state.registered) pthread_atfork(before_fork, in_parent, in_child);
    state.registered = true;
    state.pid = getpid();
    state.initialized = true;
    /* An absent agent is told on standard error and by every call, not here: applications would give up for good. */
    connected();
  }
  pthread_mutex_unlock(&state.lock);
  return rv;
}

CK_RV C_Finalize(void *reserved) {
  if (!is_initialized()) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (reserved) return CKR_ARGUMENTS_BAD;
  /* The end of the connection is the end of the application at the agent. */
  pthread_mutex_lock(&state.lock);
  CK_RV rv = state.initialized ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
  if (rv == CKR_OK) {
    state.initialized = false;
    state.finishing = true;
    /* Calls under way read sessions and descriptors: they end first. */
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    if (state.fd >= 0) disconnect(state.fd);
    while (state.reading >= 0) pthread_cond_wait(&state.changed, &state.lock);
    forget_everything();
    pthread_cond_broadcast(&state.changed);
  }
  pthread_mutex_unlock(&state.lock);
  return rv;
}

CK_RV C_GetInfo(CK_INFO *info) {
  if (!info) return CKR_ARGUMENTS_BAD;
  if (!is_initialized()) return CKR_CRYPTOKI_NOT_INITIALIZED;
  memset(info, 0, sizeof *info);
  info->cryptokiVersion = functions.version;
  memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
  memcpy(info->manufacturerID, "grep11", 6);
  memset(info->libraryDescription, ' ', sizeof info->libraryDescription);
  memcpy(info->libraryDescription, "grep11 PKCS #11 module", 22);
  info->libraryVersion.minor = 1;
  return CKR_OK;
}

CK_RV C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count) {
  if (!count) return CKR_ARGUMENTS_BAD;
  CK_RV rv = CALL(CALL_C_GetSlotList, (int)present, slots, count);
  if (rv != CKR_DEVICE_REMOVED && rv != CKR_DEVICE_ERROR) return rv;
  /* Without the agent there is one slot, and nothing in it. */
  CK_ULONG there = present ? 0 : 1, room = *count;
  *count = there;
  if (slots && room < there) return CKR_BUFFER_TOO_SMALL;
  if (slots && there) slots[0] = 0;
  return CKR_OK;
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info) {
  if (!info) return CKR_ARGUMENTS_BAD;
  memset(info, 0, sizeof *info);
  CK_RV rv = CALL(CALL_C_GetSlotInfo, slot, info->slotDescription, (CK_ULONG)64, info->manufacturerID, (CK_ULONG)32,
                  &info->flags, &info->hardwareVersion, &info->firmwareVersion);
  if (rv != CKR_DEVICE_REMOVED && rv != CKR_DEVICE_ERROR) return rv;
  memset(info, 0, sizeof *info);
  memset(info->slotDescription, ' ', sizeof info->slotDescription);
  memcpy(info->slotDescription, "the grep11 agent cannot be reached", 34);
  memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
  memcpy(info->manufacturerID, "grep11", 6);
  return CKR_OK;
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *t) {
  if (!t) return CKR_ARGUMENTS_BAD;
  CK_RV rv = CALL(CALL_C_GetTokenInfo, slot, t->label, (CK_ULONG)32, t->manufacturerID, (CK_ULONG)32, t->model,
                  (CK_ULONG)16, t->serialNumber, (CK_ULONG)16, &t->flags, &t->ulMaxSessionCount, &t->ulSessionCount,
                  &t->ulMaxRwSessionCount, &t->ulRwSessionCount, &t->ulMaxPinLen, &t->ulMinPinLen,
                  &t->ulTotalPublicMemory, &t->ulFreePublicMemory, &t->ulTotalPrivateMemory,
                  &t->ulFreePrivateMemory, &t->hardwareVersion, &t->firmwareVersion, t->utcTime, (CK_ULONG)16);
  return rv == CKR_DEVICE_REMOVED || rv == CKR_DEVICE_ERROR ? CKR_TOKEN_NOT_PRESENT : rv;
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count) {
  return CALL(CALL_C_GetMechanismList, slot, list, count);
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
  if (!info) return CKR_ARGUMENTS_BAD;
  return CALL(CALL_C_GetMechanismInfo, slot, type, &info->ulMinKeySize, &info->ulMaxKeySize, &info->flags);
}

CK_RV C_InitToken(CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG length, CK_UTF8CHAR *label) {
  if (!label) return CKR_ARGUMENTS_BAD;
  return CALL(CALL_C_InitToken2, slot, pin, length, label);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE s, CK_BYTE *pin, CK_ULONG length) {
  return CALL(CALL_C_InitPIN, s, pin, length);
}

/* Where the PIN that was remembered is the one that was changed, a new agent is told the new one. */
CK_RV C_SetPIN(CK_SESSION_HANDLE s, CK_BYTE *was, CK_ULONG was_length, CK_BYTE *pin, CK_ULONG length) {
  CK_RV rv = CALL(CALL_C_SetPIN, s, was, was_length, pin, length);
  if (rv == CKR_OK) {
    pthread_mutex_lock(&state.lock);
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    session *of = find_session(s);
    login *known = of ? state.logins : NULL;
    while (known && known->slot != of->slot) known = known->next;
    if (known && known->length == was_length && (!was_length || !memcmp(known->pin, was, was_length)))
      remember_login(of->slot, known->user, pin, length);
    pthread_mutex_unlock(&state.lock);
  }
  return rv;
}

CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *context, void *notify, CK_SESSION_HANDLE *s) {
  (void)context, (void)notify;
  if (!s) return CKR_ARGUMENTS_BAD;
  if (!is_initialized()) return CKR_CRYPTOKI_NOT_INITIALIZED;
  for (int attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    CK_SESSION_HANDLE at_agent = 0;
    uint64_t connection = 0;
    CK_RV rv = call(CALL_C_OpenSession, slot, flags, &at_agent, &connection);
    if (rv != CKR_OK) return rv;
    pthread_mutex_lock(&state.lock);
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    session *opened = NULL;
    /* Otherwise another thread found a new agent meanwhile, which does not know it. */
    bool current = state.initialized && state.connections == connection;
    if (current) {
      *s = reserve_session(slot, flags);
      opened = find_session(*s);
    }
    if (opened) {
      opened->at_agent = at_agent;
      opened->connection = connection;
    }
    pthread_mutex_unlock(&state.lock);
    if (current) return opened ? CKR_OK : CKR_SESSION_COUNT;
  }
  return CKR_DEVICE_ERROR;
}

CK_RV C_CloseSession(CK_SESSION_HANDLE s) {
  CK_RV rv = CALL(CALL_C_CloseSession, s);
  if (rv == CKR_OK) {
    pthread_mutex_lock(&state.lock);
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    session *closed = find_session(s);
    if (closed) free_session(closed);
    pthread_mutex_unlock(&state.lock);
  }
  return rv;
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot) {
  CK_RV rv = CALL(CALL_C_CloseAllSessions, slot);
  if (rv == CKR_OK) {
    pthread_mutex_lock(&state.lock);
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    for (size_t i = 0; i < state.places; i++)
      if (state.sessions[i].handle && state.sessions[i].slot == slot) free_session(&state.sessions[i]);
    pthread_mutex_unlock(&state.lock);
  }
  return rv;
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE s, CK_SESSION_INFO *info) {
  if (!info) return CKR_ARGUMENTS_BAD;
  return CALL(CALL_C_GetSessionInfo, s, &info->slotID, &info->state, &info->flags, &info->ulDeviceError);
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room) {
  return CALL(CALL_C_GetOperationState, s, out, room);
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_OBJECT_HANDLE cipher,
                          CK_OBJECT_HANDLE authentication) {
  return CALL(CALL_C_SetOperationState, s, in, length, cipher, authentication);
}

CK_RV C_Login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length) {
  CK_RV rv = CALL(CALL_C_Login, s, user, pin, length);
  if (rv == CKR_OK) {
    pthread_mutex_lock(&state.lock);
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    session *of = find_session(s);
    if (of) remember_login(of->slot, user, pin, length);
    pthread_mutex_unlock(&state.lock);
  }
  return rv;
}

CK_RV C_Logout(CK_SESSION_HANDLE s) {
  CK_RV rv = CALL(CALL_C_Logout, s);
  if (rv == CKR_OK) {
    pthread_mutex_lock(&state.lock);
    while (state.connecting) pthread_cond_wait(&state.changed, &state.lock);
    session *of = find_session(s);
    if (of) forget_login(of->slot);
    pthread_mutex_unlock(&state.lock);
  }
  return rv;
}

CK_RV C_CreateObject(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *object) {
  return object ? CALL(CALL_C_CreateObject, s, t, count, object) : CKR_ARGUMENTS_BAD;
}

CK_RV C_CopyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE from, CK_ATTRIBUTE *t, CK_ULONG count,
                   CK_OBJECT_HANDLE *object) {
  return object ? CALL(CALL_C_CopyObject, s, from, t, count, object) : CKR_ARGUMENTS_BAD;
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object) {
  return CALL(CALL_C_DestroyObject, s, object);
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ULONG *size) {
  return size ? CALL(CALL_C_GetObjectSize, s, object, size) : CKR_ARGUMENTS_BAD;
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, CK_ULONG count) {
  return CALL(CALL_C_GetAttributeValue, s, object, t, count);
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, CK_ULONG count) {
  return CALL(CALL_C_SetAttributeValue, s, object, t, count);
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG count) {
  return CALL(CALL_C_FindObjectsInit, s, t, count);
}

CK_RV C_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *found, CK_ULONG most, CK_ULONG *count) {
  if (!count || (most && !found)) return CKR_ARGUMENTS_BAD;
  *count = most;
  return CALL(CALL_C_FindObjects, s, found, count);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE s) {
  return CALL(CALL_C_FindObjectsFinal, s);
}

#define INIT(name) \
  CK_RV name(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) { \
    return CALL(CALL_##name, s, mechanism, key); \
  }
#define TRANSFORM(name) \
  CK_RV name(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room) { \
    return CALL(CALL_##name, s, in, length, out, room); \
  }
#define ABSORB(name) \
  CK_RV name(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length) { return CALL(CALL_##name, s, in, length); }
#define LAST(name) \
  CK_RV name(CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *room) { return CALL(CALL_##name, s, out, room); }

INIT(C_EncryptInit)
TRANSFORM(C_Encrypt)
TRANSFORM(C_EncryptUpdate)
LAST(C_EncryptFinal)
INIT(C_DecryptInit)
TRANSFORM(C_Decrypt)
TRANSFORM(C_DecryptUpdate)
LAST(C_DecryptFinal)
TRANSFORM(C_Digest)
ABSORB(C_DigestUpdate)
LAST(C_DigestFinal)
INIT(C_SignInit)
TRANSFORM(C_Sign)
ABSORB(C_SignUpdate)
LAST(C_SignFinal)
INIT(C_SignRecoverInit)
TRANSFORM(C_SignRecover)
INIT(C_VerifyInit)
ABSORB(C_VerifyUpdate)
ABSORB(C_VerifyFinal)
INIT(C_VerifyRecoverInit)
TRANSFORM(C_VerifyRecover)
TRANSFORM(C_DigestEncryptUpdate)
TRANSFORM(C_DecryptDigestUpdate)
TRANSFORM(C_SignEncryptUpdate)
TRANSFORM(C_DecryptVerifyUpdate)
ABSORB(C_SeedRandom)

CK_RV C_DigestInit(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism) {
  return CALL(CALL_C_DigestInit, s, mechanism);
}

CK_RV C_DigestKey(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key) {
  return CALL(CALL_C_DigestKey, s, key);
}

CK_RV C_Verify(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_length) {
  return CALL(CALL_C_Verify, s, in, length, signature, signature_length);
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *t, CK_ULONG count,
                    CK_OBJECT_HANDLE *key) {
  if (!mechanism || !key) return CKR_ARGUMENTS_BAD;
  return CALL(CALL_C_GenerateKey, s, mechanism, t, count, key);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_t, CK_ULONG public_count,
                        CK_ATTRIBUTE *private_t, CK_ULONG private_count, CK_OBJECT_HANDLE *public_key,
                        CK_OBJECT_HANDLE *private_key) {
  if (!mechanism || !public_key || !private_key) return CKR_ARGUMENTS_BAD;
  return CALL(CALL_C_GenerateKeyPair, s, mechanism, public_t, public_count, private_t, private_count, public_key,
              private_key);
}

CK_RV C_WrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE kek, CK_OBJECT_HANDLE key, CK_BYTE *out,
                CK_ULONG *room) {
  return mechanism ? CALL(CALL_C_WrapKey, s, mechanism, kek, key, out, room) : CKR_ARGUMENTS_BAD;
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE kek, CK_BYTE *in, CK_ULONG length,
                  CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *key) {
  if (!mechanism || !key) return CKR_ARGUMENTS_BAD;
  return CALL(CALL_C_UnwrapKey, s, mechanism, kek, in, length, t, count, key);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *t, CK_ULONG count,
                  CK_OBJECT_HANDLE *key) {
  if (!mechanism) return CKR_ARGUMENTS_BAD;
  CK_OBJECT_HANDLE unused;
  return CALL(CALL_C_DeriveKey, s, mechanism, base, t, count, key ? key : &unused);
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG length) {
  if (length && !out) return CKR_ARGUMENTS_BAD;
  CK_ULONG room = length;
  CK_RV rv = CALL(CALL_C_GenerateRandom, s, out, &room);
  /* Fewer would leave what was in the buffer before. */
  return rv == CKR_OK && room != length ? CKR_DEVICE_ERROR : rv;
}

CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE s) {
  (void)s;
  return is_initialized() ? CKR_FUNCTION_NOT_PARALLEL : CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE s) {
  (void)s;
  return is_initialized() ? CKR_FUNCTION_NOT_PARALLEL : CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved) {
  (void)reserved;
  return slot ? CALL(CALL_C_WaitForSlotEvent, flags, slot) : CKR_ARGUMENTS_BAD;
}
