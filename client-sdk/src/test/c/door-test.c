/*
 * Tests of pkcs11-grep11.so that need a process of their own.
 *
 *   door-test MODULE fork PIN LABEL       parent and child, in turn and at once; 1,000 forks
 *   door-test MODULE threads PIN LABEL    four threads of one process
 *   door-test MODULE sign PIN LABEL N     N signatures whatever happens to the agent; prints the longest wait
 *   door-test MODULE functions PIN LABEL  lengths, parts, saved states, two operations at once, copies, wrapping
 *   door-test MODULE absent               without an agent
 *   door-test MODULE restarted            an agent that is lost thrice and does not take the PIN again
 *   door-test MODULE stuck                an agent that never answers, and one of another user
 *   door-test MODULE hostile SEED N       N calls to an agent that answers anything; for the sanitizers
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pkcs11-grep11.h"

enum { FORM_BYTES, FORM_FLAG, FORM_NUMBER, FORM_TEMPLATE, FORM_MECHANISMS, FORM_DATE };
enum {
  PARAMETER_BYTES, PARAMETER_NONE, PARAMETER_PSS, PARAMETER_OAEP, PARAMETER_ECDH, PARAMETER_EDDSA,
  PARAMETER_CTR, PARAMETER_GCM, PARAMETER_NUMBER, PARAMETER_BTC
};
#include "protocol.h"

static CK_FUNCTION_LIST *p11;
static const char *pin, *label;

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "door-test: line %d, pid %d: %s\n", __LINE__, (int)getpid(), #condition); \
      _exit(1); \
    } \
  } while (0)
#define OK(call) \
  do { \
    CK_RV rv_ = (call); \
    if (rv_ != CKR_OK) { \
      fprintf(stderr, "door-test: line %d, pid %d: %s: 0x%lx\n", __LINE__, (int)getpid(), #call, rv_); \
      _exit(1); \
    } \
  } while (0)

static CK_SESSION_HANDLE session(bool log_in) {
  CK_SESSION_HANDLE s;
  OK(p11->C_OpenSession(0, 4, NULL, NULL, &s));
  if (log_in) OK(p11->C_Login(s, 1, (CK_UTF8CHAR *)pin, strlen(pin)));
  return s;
}

static CK_OBJECT_HANDLE key(CK_SESSION_HANDLE s) {
  CK_ULONG class = 3, count = 0;
  CK_OBJECT_HANDLE found = 0;
  CK_ATTRIBUTE t[] = {{0, &class, sizeof class}, {3, (void *)label, strlen(label)}};
  OK(p11->C_FindObjectsInit(s, t, 2));
  OK(p11->C_FindObjects(s, &found, 1, &count));
  OK(p11->C_FindObjectsFinal(s));
  return count ? found : 0;
}

static CK_RV sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE k) {
  CK_MECHANISM ecdsa = {0x1041, NULL, 0};
  CK_BYTE hash[32] = {1}, signature[128];
  CK_ULONG length = sizeof signature;
  CK_RV rv = p11->C_SignInit(s, &ecdsa, k);
  return rv == CKR_OK ? p11->C_Sign(s, hash, sizeof hash, signature, &length) : rv;
}

static int descriptors(void) {
  int count = 0;
  DIR *open_files = opendir("/proc/self/fd");
  while (readdir(open_files)) count++;
  closedir(open_files);
  return count;
}

static void wait_for(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void child_of_a_user(CK_SESSION_HANDLE of_parent) {
  CK_SESSION_INFO info;
  CHECK(p11->C_GetSessionInfo(of_parent, &info) == CKR_CRYPTOKI_NOT_INITIALIZED);
  OK(p11->C_Initialize(NULL));
  CHECK(p11->C_GetSessionInfo(of_parent + 1, &info) == CKR_SESSION_HANDLE_INVALID);
  CK_SESSION_HANDLE s = session(false);
  OK(p11->C_GetSessionInfo(s, &info));
  CHECK(info.state == 0);
  CHECK(key(s) == 0);
  OK(p11->C_Login(s, 1, (CK_UTF8CHAR *)pin, strlen(pin)));
  CK_OBJECT_HANDLE k = key(s);
  for (int i = 0; i < 20; i++) OK(sign(s, k));
  OK(p11->C_Finalize(NULL));
  _exit(0);
}

static void test_fork(void) {
  OK(p11->C_Initialize(NULL));
  CK_SESSION_HANDLE s = session(true);
  CK_OBJECT_HANDLE k = key(s);
  CHECK(k);
  OK(sign(s, k));
  /* In turn. */
  for (int i = 0; i < 3; i++) {
    pid_t child = fork();
    if (!child) child_of_a_user(s);
    wait_for(child);
    OK(sign(s, k));
  }
  /* At once. */
  pid_t children[4];
  for (int i = 0; i < 4; i++) {
    children[i] = fork();
    if (!children[i]) child_of_a_user(s);
  }
  for (int i = 0; i < 50; i++) OK(sign(s, k));
  for (int i = 0; i < 4; i++) wait_for(children[i]);
  /* Many: nothing stays behind, in the parent or in a child. */
  int before = descriptors();
  for (int i = 0; i < 1000; i++) {
    pid_t child = fork();
    if (!child) _exit(descriptors() < before ? 0 : 1);
    wait_for(child);
  }
  CHECK(descriptors() == before);
  OK(sign(s, k));
  OK(p11->C_Finalize(NULL));
}

static void *signer(void *unused) {
  (void)unused;
  CK_SESSION_HANDLE s = session(false);
  CK_OBJECT_HANDLE k = key(s);
  for (int i = 0; i < 100; i++) OK(sign(s, k));
  OK(p11->C_CloseSession(s));
  return NULL;
}

static void test_threads(void) {
  OK(p11->C_Initialize(NULL));
  session(true);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, signer, NULL) == 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  OK(p11->C_Finalize(NULL));
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_sign(int count) {
  OK(p11->C_Initialize(NULL));
  CK_SESSION_HANDLE s = session(true);
  CK_OBJECT_HANDLE k = key(s);
  CHECK(k);
  double longest = 0;
  printf("signing\n");
  fflush(stdout);
  for (int i = 0; i < count; i++) {
    double begun = now();
    OK(sign(s, k));
    double took = now() - begun;
    if (took > longest) longest = took;
    usleep(2000);
  }
  printf("signatures=%d failed=0 longest_ms=%.0f\n", count, longest * 1000);
}

static void test_functions(void) {
  CK_BYTE yes = 1, no = 0, value[16] = {1, 2, 3}, iv[16] = {0}, in[40] = {7}, one[64], parts[64], state[9000];
  CK_BYTE digest[32], again[32], wrapped[64];
  CK_ULONG secret = 4, aes = 0x1f, length = 0, done;
  CK_OBJECT_HANDLE k, copy, kek, opened;
  CK_MECHANISM cbc_pad = {0x1085, iv, 16}, sha256 = {0x250, NULL, 0}, aes_gen = {0x1080, NULL, 0};
  CK_MECHANISM key_wrap = {0x210a, NULL, 0};
  OK(p11->C_Initialize(NULL));
  CK_SESSION_HANDLE s = session(true);
  CK_ATTRIBUTE t[] = {{0, &secret, sizeof secret}, {0x100, &aes, sizeof aes}, {0x11, value, 16}, {0x162, &yes, 1}};
  OK(p11->C_CreateObject(s, t, 4, &k));
  /* A question for the length and a buffer that is too small change nothing. */
  OK(p11->C_EncryptInit(s, &cbc_pad, k));
  CHECK(p11->C_EncryptInit(s, &cbc_pad, k) == 0x90);
  OK(p11->C_Encrypt(s, in, 40, NULL, &length));
  CHECK(length == 48);
  length = 47;
  CHECK(p11->C_Encrypt(s, in, 40, one, &length) == CKR_BUFFER_TOO_SMALL && length == 48);
  OK(p11->C_Encrypt(s, in, 40, one, &length));
  CHECK(p11->C_Encrypt(s, in, 40, one, &length) == 0x91);
  OK(p11->C_EncryptInit(s, &cbc_pad, k));
  length = 3;
  CHECK(p11->C_EncryptUpdate(s, in, 20, parts, &length) == CKR_BUFFER_TOO_SMALL);
  length = 64;
  OK(p11->C_EncryptUpdate(s, in, 20, parts, &length));
  done = length;
  length = 64 - done;
  OK(p11->C_EncryptUpdate(s, in + 20, 20, parts + done, &length));
  done += length;
  length = 64 - done;
  OK(p11->C_EncryptFinal(s, parts + done, &length));
  CHECK(done + length == 48 && !memcmp(one, parts, 48));
  /* One part does not end several, and an error ends the operation. */
  OK(p11->C_DigestInit(s, &sha256));
  OK(p11->C_DigestUpdate(s, in, 20));
  length = sizeof digest;
  CHECK(p11->C_Digest(s, in, 20, digest, &length) == 0x90);
  CHECK(p11->C_DigestFinal(s, digest, &length) == 0x91);
  /* An Init that is said again and again waits in the module for its part, and nothing shows of it. */
  for (int i = 0; i < 4; i++) {
    OK(p11->C_EncryptInit(s, &cbc_pad, k));
    if (i == 2) CHECK(p11->C_EncryptInit(s, &cbc_pad, k) == 0x90);
    if (i == 3) OK(p11->C_Encrypt(s, in, 40, NULL, &length));
    length = 47;
    CHECK(p11->C_Encrypt(s, in, 40, parts, &length) == CKR_BUFFER_TOO_SMALL);
    length = 64;
    OK(p11->C_Encrypt(s, in, 40, parts, &length));
    CHECK(length == 48 && !memcmp(one, parts, 48));
    CHECK(p11->C_Encrypt(s, in, 40, parts, &length) == 0x91);
    OK(p11->C_EncryptInit(s, &cbc_pad, k));
    length = 64;
    OK(p11->C_Encrypt(s, in, 40, parts, &length));
  }
  OK(p11->C_EncryptInit(s, &cbc_pad, k));
  length = 64;
  OK(p11->C_EncryptUpdate(s, in, 40, parts, &length));
  done = length;
  length = 64 - done;
  OK(p11->C_EncryptFinal(s, parts + done, &length));
  CHECK(!memcmp(one, parts, 48));
  /* Its key goes meanwhile: the part has the answer that the Init would have had. */
  CK_OBJECT_HANDLE going;
  CK_SESSION_HANDLE beside = session(false);
  OK(p11->C_CreateObject(s, t, 4, &going));
  for (int i = 0; i < 2; i++) {
    OK(p11->C_EncryptInit(s, &cbc_pad, going));
    if (i == 1) OK(p11->C_DestroyObject(beside, going));
    length = 64;
    CHECK(p11->C_Encrypt(s, in, 40, parts, &length) == (i == 1 ? 0x60 : CKR_OK));
  }
  CHECK(p11->C_Encrypt(s, in, 40, parts, &length) == 0x91);
  CHECK(p11->C_EncryptInit(s, &cbc_pad, going) == 0x60);
  OK(p11->C_CloseSession(beside));
  /* A saved state goes on in another session. */
  OK(p11->C_DigestInit(s, &sha256));
  OK(p11->C_DigestUpdate(s, in, 20));
  CK_ULONG saved = sizeof state;
  OK(p11->C_GetOperationState(s, state, &saved));
  OK(p11->C_DigestUpdate(s, in + 20, 20));
  length = sizeof digest;
  OK(p11->C_DigestFinal(s, digest, &length));
  CK_SESSION_HANDLE other = session(false);
  OK(p11->C_SetOperationState(other, state, saved, 0, 0));
  OK(p11->C_DigestUpdate(other, in + 20, 20));
  length = sizeof again;
  OK(p11->C_DigestFinal(other, again, &length));
  CHECK(!memcmp(digest, again, sizeof digest));
  /* Two operations at once. */
  OK(p11->C_DigestInit(s, &sha256));
  OK(p11->C_EncryptInit(s, &cbc_pad, k));
  length = 64;
  OK(p11->C_DigestEncryptUpdate(s, in, 40, parts, &length));
  done = length;
  length = 64 - done;
  OK(p11->C_EncryptFinal(s, parts + done, &length));
  CHECK(!memcmp(one, parts, 48));
  length = sizeof again;
  OK(p11->C_DigestFinal(s, again, &length));
  CHECK(!memcmp(digest, again, sizeof digest));
  /* A copy with fewer rights leaves the original as it is. */
  CK_ATTRIBUTE named = {3, "copy", 4}, fewer = {0x104, &no, 1};
  OK(p11->C_CopyObject(s, k, &named, 1, &copy));
  OK(p11->C_SetAttributeValue(s, copy, &fewer, 1));
  CHECK(p11->C_EncryptInit(s, &cbc_pad, copy) == 0x68);
  OK(p11->C_EncryptInit(s, &cbc_pad, k));
  OK(p11->C_EncryptInit(s, NULL, 0));
  CHECK(p11->C_EncryptFinal(s, parts, &length) == 0x91);
  /* Wrapped, opened, used. */
  CK_ULONG bytes = 32;
  CK_ATTRIBUTE of_kek[] = {{0x161, &bytes, sizeof bytes}, {0x106, &yes, 1}, {0x107, &yes, 1}};
  OK(p11->C_GenerateKey(s, &aes_gen, of_kek, 3, &kek));
  length = 0;
  OK(p11->C_WrapKey(s, &key_wrap, kek, k, NULL, &length));
  CHECK(length == 24);
  OK(p11->C_WrapKey(s, &key_wrap, kek, k, wrapped, &length));
  CK_ATTRIBUTE of_opened[] = {{0, &secret, sizeof secret}, {0x100, &aes, sizeof aes}, {0x105, &yes, 1}};
  OK(p11->C_UnwrapKey(s, &key_wrap, kek, wrapped, length, of_opened, 3, &opened));
  OK(p11->C_DecryptInit(s, &cbc_pad, opened));
  length = 64;
  OK(p11->C_Decrypt(s, one, 48, parts, &length));
  CHECK(length == 40 && !memcmp(parts, in, 40));
  OK(p11->C_DecryptInit(s, &cbc_pad, opened));
  CHECK(p11->C_Decrypt(s, one, 17, parts, &length) == 0x41);
  CHECK(p11->C_Decrypt(s, one, 16, parts, &length) == 0x91);
  /* A secret is not told, an unknown attribute has no length, the others come all the same. */
  CK_ATTRIBUTE asked[] = {{0x11, parts, 64}, {0x80000123, parts, 64}, {0x161, &bytes, sizeof bytes}};
  CHECK(p11->C_GetAttributeValue(s, k, asked, 3) == 0x11);
  CHECK(asked[0].ulValueLen == CK_UNAVAILABLE_INFORMATION && asked[1].ulValueLen == CK_UNAVAILABLE_INFORMATION);
  CHECK(asked[2].ulValueLen == sizeof bytes && bytes == 16);
  /* Session objects die with their session. */
  OK(p11->C_CloseSession(s));
  CHECK(p11->C_EncryptInit(other, &cbc_pad, k) == 0x60);
  OK(p11->C_Finalize(NULL));
}

static void test_absent(void) {
  CK_ULONG count = 9;
  CK_SLOT_ID slots[4];
  CK_SLOT_INFO info;
  CK_TOKEN_INFO token;
  CK_SESSION_HANDLE s;
  OK(p11->C_Initialize(NULL));
  OK(p11->C_GetSlotList(1, NULL, &count));
  CHECK(count == 0);
  count = 4;
  OK(p11->C_GetSlotList(0, slots, &count));
  CHECK(count == 1);
  OK(p11->C_GetSlotInfo(slots[0], &info));
  CHECK(info.flags == 0);
  CHECK(p11->C_GetTokenInfo(slots[0], &token) == CKR_TOKEN_NOT_PRESENT);
  CHECK(p11->C_OpenSession(0, 4, NULL, NULL, &s) == CKR_DEVICE_REMOVED);
  OK(p11->C_Finalize(NULL));
}

/* ---- An agent that answers anything */

static uint64_t seed;

static uint64_t any(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static unsigned char out[1 << 16];
static size_t filled;

static void say(uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0 && filled < sizeof out; i--) out[filled++] = (unsigned char)(value >> (8 * i));
}

static uint64_t length(void) {
  static const uint64_t limits[] = {0, 1, 7, 8, 32, 64, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  return any() % 3 ? any() % 40 : limits[any() % (sizeof limits / sizeof *limits)];
}

static void say_bytes(void) {
  uint64_t told = length(), sent = any() % 4 ? told : length();
  say(told, 4);
  for (uint64_t i = 0; i < sent && i < 4096; i++) say(any(), 1);
}

static void say_result(const char *types) {
  static const uint32_t kinds[] = {0, 1, 3, 0x11, 0x100, 0x102, 0x110, 0x180, 0x40000211, 0x40000600};
  for (const char *t = types; *t; t++) {
    if (*t == 'u') say(any() % 2 ? any() % 4 : any(), 8);
    else if (*t == 'v') say(any(), 2);
    else if (*t == 's') say_bytes();
    else if (*t == 'a' && t[1] == 'A') {
      uint64_t count = any() % 3 ? 10 : length();
      t++;
      say(count, 4);
      for (uint64_t i = 0; i < count && i < 64; i++) {
        say(any() % 5 ? kinds[i % 10] : any(), 4);
        bool there = any() % 4;
        say(there, 1);
        if (!there) continue;
        say(any() % 2 ? 8 : length(), 4);
        if (any() % 3) say(any(), any() % 2 ? 1 : 8);
        else say_bytes();
      }
    } else {
      t++;
      say(any() % 3 != 0, 1);
      if (*t == 'y') say_bytes();
      else {
        uint64_t count = length();
        say(count, 4);
        for (uint64_t i = 0; i < count && i < 512; i++) say(any(), 8);
      }
    }
  }
}

static bool take(int fd, void *to, size_t bytes) {
  for (size_t had = 0; had < bytes;) {
    ssize_t count = read(fd, (char *)to + had, bytes - had);
    if (count <= 0) return false;
    had += (size_t)count;
  }
  return true;
}

static void serve(int listener) {
  signal(SIGPIPE, SIG_IGN);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    unsigned char dialect, header[12], body[1 << 16];
    if (!take(fd, &dialect, 1)) {
      close(fd);
      continue;
    }
    if (write(fd, "\2", 1) != 1) continue;
    while (take(fd, header, 12)) {
      size_t bytes = (size_t)header[9] << 16 | (size_t)header[10] << 8 | header[11];
      if (bytes > sizeof body || !take(fd, body, bytes)) break;
      int number = body[3];
      bool honest = number == CALL_C_Initialize || (number == CALL_C_OpenSession && any() % 16);
      filled = 12;
      if (honest || any() % 8) {
        bool refused = !honest && any() % 8 == 0;
        const char *types = refused ? "u" : SIGNATURES[number].response;
        say(refused ? 0 : (uint64_t)number, 4);
        say(strlen(types), 4);
        for (const char *t = types; *t; t++) say((uint64_t)*t, 1);
        if (honest && number == CALL_C_OpenSession) say(1, 8);
        else say_result(types);
      } else {
        for (uint64_t i = any() % 200; i > 0; i--) say(any(), 1);
      }
      if (!honest && any() % 8 == 0 && filled > 12) filled -= any() % (filled - 12);
      size_t end = filled, told = !honest && any() % 32 == 0 ? (size_t)length() : end - 12;
      memcpy(out, header, 4);
      uint64_t options = !honest && any() % 64 == 0 ? length() : 0;
      filled = 4;
      say(options, 4);
      say(told, 4);
      /* Who said too much goes away: a module waits for as long as its agent is there. */
      if (write(fd, out, end) < 0 || told != end - 12 || options || any() % 200 == 0) break;
    }
    close(fd);
  }
}

static int listening(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", getenv("GREP11_AGENT_SOCKET"));
  unlink(address.sun_path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0);
  return listener;
}

/*
 * Each connection has sessions of other numbers, and ends at its first C_SeedRandom. The first takes the PIN, the second
 * refuses it for a while (CKR_PIN_LOCKED), the third for good (CKR_PIN_INCORRECT).
 */
static void serve_restarts(int listener) {
  for (uint64_t connection = 1;; connection++) {
    int fd = accept(listener, NULL, NULL);
    unsigned char dialect, header[12], body[4096];
    CHECK(take(fd, &dialect, 1) && write(fd, "\2", 1) == 1);
    bool told = false;
    while (take(fd, header, 12)) {
      size_t bytes = (size_t)header[10] << 8 | header[11];
      CHECK(bytes <= sizeof body && take(fd, body, bytes));
      int number = body[3];
      told |= number == CALL_C_Login;
      /* Kept until it was found wrong, and forgotten then. */
      CHECK(!told || connection < 4);
      if (number == CALL_C_SeedRandom) {
        CHECK(told || connection >= 4);
        break;
      }
      bool refused = number == CALL_C_Login && connection > 1;
      if (number == CALL_C_GetSessionInfo) CHECK(body[8 + 1 + 7] == 100 + connection);
      const char *types = refused ? "u" : SIGNATURES[number].response;
      filled = 12;
      say(refused ? 0 : (uint64_t)number, 4);
      say(strlen(types), 4);
      for (const char *t = types; *t; t++) say((uint64_t)*t, 1);
      if (refused) say(connection == 2 ? 0xa4 : CKR_PIN_INCORRECT, 8);
      else if (number == CALL_C_OpenSession) say(100 + connection, 8);
      else if (number == CALL_C_GetSessionInfo)
        for (int i = 0; i < 4; i++) say(connection, 8);
      size_t end = filled;
      memcpy(out, header, 4);
      filled = 4;
      say(0, 4);
      say(end - 12, 4);
      CHECK(write(fd, out, end) == (ssize_t)end);
    }
    close(fd);
  }
}

static void test_restarted(void) {
  int listener = listening();
  pid_t agent = fork();
  if (!agent) serve_restarts(listener);
  close(listener);
  CK_SESSION_INFO info;
  CK_SESSION_HANDLE s;
  CK_BYTE some[1] = {0};
  OK(p11->C_Initialize(NULL));
  OK(p11->C_OpenSession(0, 4, NULL, NULL, &s));
  OK(p11->C_Login(s, 1, (CK_UTF8CHAR *)"secret", 6));
  for (CK_ULONG connection = 1; connection < 5; connection++) {
    OK(p11->C_GetSessionInfo(s, &info));
    CHECK(info.slotID == connection);
    CHECK(p11->C_SeedRandom(s, some, 1) == CKR_DEVICE_ERROR);
  }
  OK(p11->C_Finalize(NULL));
  kill(agent, SIGKILL);
  waitpid(agent, NULL, 0);
}

static void test_stuck(void) {
  int listener = listening();
  CK_SLOT_INFO info;
  double begun = now();
  /* The kernel takes the connection, and nobody answers. */
  OK(p11->C_Initialize(NULL));
  CHECK(now() - begun > 4 && now() - begun < 15);
  OK(p11->C_Finalize(NULL));
  close(listener);
  if (geteuid() == 0) {
    pid_t agent = fork();
    if (!agent) {
      /* In a directory of root, and root's only until it is bound. */
      struct sockaddr_un address = {.sun_family = AF_UNIX};
      snprintf(address.sun_path, sizeof address.sun_path, "%s", getenv("GREP11_AGENT_SOCKET"));
      unlink(address.sun_path);
      int strange = socket(AF_UNIX, SOCK_STREAM, 0);
      CHECK(bind(strange, (struct sockaddr *)&address, sizeof address) == 0);
      CHECK(setuid(65534) == 0 && listen(strange, 8) == 0);
      unsigned char first;
      int fd = accept(strange, NULL, NULL);
      /* Not one byte comes. */
      _exit(take(fd, &first, 1) ? 1 : 0);
    }
    usleep(300000);
    OK(p11->C_Initialize(NULL));
    OK(p11->C_GetSlotInfo(0, &info));
    CHECK(info.flags == 0);
    OK(p11->C_Finalize(NULL));
    wait_for(agent);
  }
}

static void test_hostile(int count) {
  int listener = listening();
  pid_t agent = fork();
  if (!agent) serve(listener);
  close(listener);
  OK(p11->C_Initialize(NULL));
  for (int i = 0; i < count; i++) {
    CK_SESSION_HANDLE s = 0;
    CK_BYTE in[64] = {0}, buffer[64];
    CK_ULONG room = any() % 65, number = 5, numbers[8], most = any() % 9, more;
    CK_MECHANISM gcm = {0x1087, &(CK_GCM_PARAMS){in, 12, 96, in, 20, 128}, sizeof(CK_GCM_PARAMS)};
    CK_BYTE values[10][24];
    static const CK_ULONG kinds[] = {0, 1, 3, 0x11, 0x100, 0x102, 0x110, 0x180, 0x40000211, 0x40000600};
    CK_ATTRIBUTE t[10];
    for (int a = 0; a < 10; a++) t[a] = (CK_ATTRIBUTE){kinds[a], any() % 4 ? values[a] : NULL, any() % 25};
    CK_INFO info;
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_MECHANISM_INFO mechanism;
    CK_SESSION_INFO session_info;
    p11->C_OpenSession(0, 6, NULL, NULL, &s);
    switch (any() % 24) {
      case 0: p11->C_GetInfo(&info); break;
      case 1: p11->C_GetSlotList(0, numbers, &most); break;
      case 2: p11->C_GetSlotInfo(0, &slot); break;
      case 3: p11->C_GetTokenInfo(0, &token); break;
      case 4: p11->C_GetMechanismList(0, any() % 2 ? numbers : NULL, &most); break;
      case 5: p11->C_GetMechanismInfo(0, 1, &mechanism); break;
      case 6: p11->C_GetSessionInfo(s, &session_info); break;
      case 7: p11->C_GetAttributeValue(s, 1, t, 10); break;
      case 8: p11->C_FindObjects(s, numbers, most, &more); break;
      case 9: p11->C_EncryptInit(s, &gcm, 1); break;
      case 10: p11->C_Encrypt(s, in, 64, any() % 4 ? buffer : NULL, &room); break;
      case 11: p11->C_DecryptUpdate(s, in, 64, buffer, &room); break;
      case 12: p11->C_DigestFinal(s, buffer, &room); break;
      case 13: p11->C_Sign(s, in, 64, buffer, &room); break;
      case 14: p11->C_Verify(s, in, 64, in, 64); break;
      case 15: p11->C_GenerateRandom(s, buffer, room); break;
      case 16: p11->C_WrapKey(s, &gcm, 1, 2, buffer, &room); break;
      case 17: p11->C_GenerateKeyPair(s, &gcm, NULL, 0, NULL, 0, &number, &more); break;
      case 18: p11->C_DeriveKey(s, &gcm, 1, NULL, 0, &number); break;
      case 19: p11->C_GetOperationState(s, buffer, &room); break;
      case 20: p11->C_Login(s, 1, in, 8); break;
      case 21: p11->C_GetObjectSize(s, 1, &number); break;
      case 22: p11->C_CreateObject(s, NULL, 0, &number); break;
      default: p11->C_CloseAllSessions(0);
    }
    p11->C_CloseSession(s);
    if (any() % 10 == 0) {
      OK(p11->C_Finalize(NULL));
      OK(p11->C_Initialize(NULL));
    }
  }
  kill(agent, SIGKILL);
  waitpid(agent, NULL, 0);
  p11->C_Finalize(NULL);
}

int main(int count, char **arguments) {
  CHECK(count >= 3);
  void *module = dlopen(arguments[1], RTLD_NOW);
  if (!module) {
    fprintf(stderr, "door-test: %s\n", dlerror());
    return 1;
  }
  CK_RV (*list)(CK_FUNCTION_LIST **) = NULL;
  *(void **)&list = dlsym(module, "C_GetFunctionList");
  CHECK(list && list(&p11) == CKR_OK && p11->version.major == 2 && p11->version.minor == 40);
  const char *what = arguments[2];
  if (count >= 5) pin = arguments[3], label = arguments[4];
  if (!strcmp(what, "fork")) test_fork();
  else if (!strcmp(what, "threads")) test_threads();
  else if (!strcmp(what, "sign") && count > 5) test_sign(atoi(arguments[5]));
  else if (!strcmp(what, "functions")) test_functions();
  else if (!strcmp(what, "absent")) test_absent();
  else if (!strcmp(what, "restarted")) test_restarted();
  else if (!strcmp(what, "stuck")) test_stuck();
  else if (!strcmp(what, "hostile") && count > 4) {
    seed = strtoull(arguments[3], NULL, 10) * 2654435761u + 88172645463325252ull;
    test_hostile(atoi(arguments[4]));
  } else {
    fprintf(stderr, "door-test: unknown test %s\n", what);
    return 2;
  }
  printf("%s: good\n", what);
  dlclose(module);
  return 0;
}
