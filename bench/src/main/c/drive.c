/*
 * What an application is to a PKCS #11 module: C threads that sign, each in a session of its own. It measures one
 * module; ./grep11 bench --pkcs11 runs one of these for each peer, and lets them take turns.
 *
 *   drive MODULE [LABEL]      the token of that label, or the first one
 *
 * The PIN is the first line of stdin. Then "ready" is printed, and each further line
 *   THREADS WARM-UP-MS WINDOW-MS
 * is answered by one:
 *   count nanos cpu-nanos latency-nanos:count ...
 * An operation is C_SignInit with C_Sign: CKM_ECDSA over 32 bytes by a P-256 session object, CKA_PRIVATE false. What
 * ends within the window counts. The first refusal ends the program with exit code 1 and a line on stderr.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "pkcs11-grep11.h"

enum { MOST_THREADS = 256, LONGEST_PIN = 1024 };
/* Durations in nanoseconds: linear below SUB, then SUB steps for each power of two, so finer than 1 %. */
enum { SUB_BITS = 7, SUB = 1 << SUB_BITS, BUCKETS = (65 - SUB_BITS) * SUB };
enum { WARM_UP, MEASURED, OVER };

typedef struct {
  pthread_t thread;
  CK_SESSION_HANDLE session;
  uint64_t counts[BUCKETS];
} lane;

static CK_FUNCTION_LIST *p11;
static CK_OBJECT_HANDLE key;
static lane lanes[MOST_THREADS];
static atomic_int phase;

#define OK(call) \
  do { \
    CK_RV rv_ = (call); \
    if (rv_ != CKR_OK) { \
      fprintf(stderr, "%s: 0x%lx\n", #call, rv_); \
      exit(1); \
    } \
  } while (0)

static uint64_t nanos(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned bucket(uint64_t value) {
  if (value < SUB) return (unsigned)value;
  int power = 63 - __builtin_clzll(value);
  return (unsigned)((power - SUB_BITS + 1) * SUB) + (unsigned)((value >> (power - SUB_BITS)) & (SUB - 1));
}

/* The middle of a bucket. */
static uint64_t value_of(unsigned bucket) {
  if (bucket < SUB) return bucket;
  unsigned shift = bucket / SUB - 1;
  uint64_t low = (uint64_t)(SUB + bucket % SUB) << shift;
  return low + ((1ull << shift) >> 1);
}

static void find_token(const char *label, CK_SLOT_ID *slot) {
  CK_SLOT_ID slots[64];
  CK_ULONG count = 64;
  OK(p11->C_GetSlotList(1, slots, &count));
  for (CK_ULONG i = 0; i < count; i++) {
    CK_TOKEN_INFO info;
    if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK) continue;
    size_t length = sizeof info.label;
    while (length && info.label[length - 1] == ' ') length--;
    if (!label || (length == strlen(label) && memcmp(info.label, label, length) == 0)) {
      *slot = slots[i];
      return;
    }
  }
  fprintf(stderr, "no token %s\n", label ? label : "at all");
  exit(1);
}

static CK_SESSION_HANDLE open_session(CK_SLOT_ID slot) {
  CK_SESSION_HANDLE s;
  OK(p11->C_OpenSession(slot, 6 /* CKF_RW_SESSION, CKF_SERIAL_SESSION */, NULL, NULL, &s));
  return s;
}

static void make_key(CK_SESSION_HANDLE s) {
  CK_BBOOL yes = 1, no = 0;
  CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
  CK_MECHANISM mechanism = {0x1040 /* CKM_EC_KEY_PAIR_GEN */, NULL, 0};
  CK_ATTRIBUTE open[] = {{1 /* CKA_TOKEN */, &no, 1}, {0x10a /* CKA_VERIFY */, &yes, 1},
                         {0x180 /* CKA_EC_PARAMS */, p256, sizeof p256}};
  CK_ATTRIBUTE kept[] = {{1, &no, 1}, {2 /* CKA_PRIVATE */, &no, 1}, {0x108 /* CKA_SIGN */, &yes, 1},
                         {0x103 /* CKA_SENSITIVE */, &yes, 1}, {0x162 /* CKA_EXTRACTABLE */, &no, 1}};
  CK_OBJECT_HANDLE public_key;
  OK(p11->C_GenerateKeyPair(s, &mechanism, open, 3, kept, 5, &public_key, &key));
}

static void sign(CK_SESSION_HANDLE s) {
  static const CK_BYTE hash[32] = {1, 2, 3};
  CK_BYTE in[sizeof hash], signature[128];
  CK_ULONG length = sizeof signature;
  CK_MECHANISM mechanism = {0x1041 /* CKM_ECDSA */, NULL, 0};
  memcpy(in, hash, sizeof in);
  OK(p11->C_SignInit(s, &mechanism, key));
  OK(p11->C_Sign(s, in, sizeof in, signature, &length));
  if (length != 64) {
    fprintf(stderr, "a signature of %lu bytes\n", length);
    exit(1);
  }
}

static void *repeat(void *argument) {
  lane *of = argument;
  int now;
  while ((now = atomic_load_explicit(&phase, memory_order_relaxed)) != OVER) {
    uint64_t began = nanos(CLOCK_MONOTONIC);
    sign(of->session);
    uint64_t took = nanos(CLOCK_MONOTONIC) - began;
    if (now == MEASURED && atomic_load_explicit(&phase, memory_order_relaxed) == MEASURED) of->counts[bucket(took)]++;
  }
  return NULL;
}

static void rest(long millis) {
  struct timespec t = {millis / 1000, millis % 1000 * 1000000};
  nanosleep(&t, NULL);
}

static void measure(CK_SLOT_ID slot, int threads, long warm_up, long window) {
  for (int i = 0; i < threads; i++) {
    if (!lanes[i].session) lanes[i].session = open_session(slot);
    memset(lanes[i].counts, 0, sizeof lanes[i].counts);
  }
  atomic_store(&phase, WARM_UP);
  for (int i = 0; i < threads; i++) {
    if (pthread_create(&lanes[i].thread, NULL, repeat, &lanes[i]) != 0) {
      fprintf(stderr, "no thread can be made\n");
      exit(1);
    }
  }
  rest(warm_up);
  uint64_t used = nanos(CLOCK_PROCESS_CPUTIME_ID), began = nanos(CLOCK_MONOTONIC);
  atomic_store(&phase, MEASURED);
  rest(window);
  atomic_store(&phase, OVER);
  uint64_t took = nanos(CLOCK_MONOTONIC) - began;
  used = nanos(CLOCK_PROCESS_CPUTIME_ID) - used;
  static uint64_t counts[BUCKETS];
  uint64_t count = 0;
  memset(counts, 0, sizeof counts);
  for (int i = 0; i < threads; i++) {
    pthread_join(lanes[i].thread, NULL);
    for (int b = 0; b < BUCKETS; b++) {
      counts[b] += lanes[i].counts[b];
      count += lanes[i].counts[b];
    }
  }
  printf("%lu %lu %lu", (unsigned long)count, (unsigned long)took, (unsigned long)used);
  for (unsigned b = 0; b < BUCKETS; b++)
    if (counts[b]) printf(" %lu:%lu", (unsigned long)value_of(b), (unsigned long)counts[b]);
  printf("\n");
  fflush(stdout);
}

int main(int count, char **arguments) {
  char pin[LONGEST_PIN], line[128];
  if (count < 2 || count > 3 || !fgets(pin, sizeof pin, stdin)) {
    fprintf(stderr, "usage: drive MODULE [LABEL] <PIN-AND-COMMANDS\n");
    return 2;
  }
  pin[strcspn(pin, "\n")] = 0;
  void *module = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  CK_RV (*list)(CK_FUNCTION_LIST **);
  *(void **)&list = dlsym(module, "C_GetFunctionList");
  if (!list || list(&p11) != CKR_OK) {
    fprintf(stderr, "%s is no PKCS #11 module\n", arguments[1]);
    return 1;
  }
  CK_C_INITIALIZE_ARGS locks = {0};
  locks.flags = CKF_OS_LOCKING_OK;
  OK(p11->C_Initialize(&locks));
  CK_SLOT_ID slot;
  find_token(count > 2 ? arguments[2] : NULL, &slot);
  CK_SESSION_HANDLE main_session = open_session(slot);
  OK(p11->C_Login(main_session, 1 /* CKU_USER */, (CK_UTF8CHAR *)pin, strlen(pin)));
  explicit_bzero(pin, sizeof pin);
  make_key(main_session);
  sign(main_session);
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    int threads;
    long warm_up, window;
    if (sscanf(line, "%d %ld %ld", &threads, &warm_up, &window) != 3 || threads < 1 || threads > MOST_THREADS ||
        warm_up < 0 || window < 1) {
      fprintf(stderr, "not THREADS WARM-UP-MS WINDOW-MS: %s", line);
      return 2;
    }
    measure(slot, threads, warm_up, window);
  }
  /* p11-kit's client module waits in C_Finalize for a server that is ended first. */
  _Exit(0);
}
