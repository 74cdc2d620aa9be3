/* The log protocol of understudy (docs/protocol.md), small enough for spin to try every order of events.
 *
 * Each block names the part of log/epoch that does the same in the program. docs/model/README.md says what is left out
 * and how to play a counterexample; docs/model/check.sh runs all configurations.
 *
 * Processes    Disk (one replica each), Actor (takeover, then writer), Meta (the metadata key), Reader.
 * The network  is a set: what was sent once may arrive at any time, any number of times, or never. So a message is no
 *              more than the fact that it was sent (`sent`, `seal_sent`) or answered (`acked`); no channel is needed.
 * Crashes      of an actor need no step: one that is never scheduled again has crashed, one that is scheduled late was
 *              frozen. A disk's crash takes back what was not synced.
 * Stuck        is an error too: spin reports an end state in which a takeover waits though enough disks live.
 *
 * Sizes and faults are chosen with -D (below). Each NO_... leaves out one rule of the protocol: an error must follow.
 */

#ifndef DISKS
#define DISKS 3       /* disks there are, 3 or 4; the first three hold epoch 1 */
#endif
#ifndef LSNS
#define LSNS 1        /* records: LSNs 1..LSNS, one record a batch */
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 2   /* 1 or 2 */
#endif
#ifndef CRASH
#define CRASH 0       /* 1: writing and syncing are two steps, and disks crash in between */
#endif
#ifndef LOSSES
#define LOSSES 0      /* disks that are wiped or rolled back: at most A - 1 */
#endif
#ifndef MOVES
#define MOVES 0       /* moves by living writers: handovers and replica changes */
#endif
#ifndef EDITS
#define EDITS 0       /* edits of the chain that leave the epochs alone (checkpoints, pins): they cost others a CAS */
#endif
#ifndef BARRIERS
#define BARRIERS 0    /* read barriers asked for, one at a time */
#endif
#ifndef READER
#define READER 0      /* 1: a reader with an old chain applies what it takes for committed */
#endif
#define A 2           /* ack quorum */
#define ACTORS (1 + TAKEOVERS)
#define EPOCHS (1 + TAKEOVERS + MOVES)
#define NONE 255

#define bit(d)      (1 << (d))
#define has(set, d) (((set) >> (d)) & 1)
#define max(a, b)   ((a) > (b) -> (a) : (b))

/* One option for each disk, epoch, actor. */
#if DISKS > 3
#define EACH_DISK(OPTION) :: OPTION(0) :: OPTION(1) :: OPTION(2) :: OPTION(3)
#define SUM_DISKS(TERM) (TERM(0) + TERM(1) + TERM(2) + TERM(3))
#else
#define EACH_DISK(OPTION) :: OPTION(0) :: OPTION(1) :: OPTION(2)
#define SUM_DISKS(TERM) (TERM(0) + TERM(1) + TERM(2))
#endif
#if EPOCHS > 3
#define EACH_EPOCH(OPTION) :: OPTION(1) :: OPTION(2) :: OPTION(3) :: OPTION(4)
#define ANY_EPOCH(TERM) (TERM(1) || TERM(2) || TERM(3) || TERM(4))
#elif EPOCHS > 2
#define EACH_EPOCH(OPTION) :: OPTION(1) :: OPTION(2) :: OPTION(3)
#define ANY_EPOCH(TERM) (TERM(1) || TERM(2) || TERM(3))
#else
#define EACH_EPOCH(OPTION) :: OPTION(1) :: OPTION(2)
#define ANY_EPOCH(TERM) (TERM(1) || TERM(2))
#endif
#if TAKEOVERS > 1
#define EACH_ACTOR(OPTION) :: OPTION(0) :: OPTION(1) :: OPTION(2)
#else
#define EACH_ACTOR(OPTION) :: OPTION(0) :: OPTION(1)
#endif

/* ---- the chain (log/format/chain.h): one key, changed by compare-and-swap only ---- */

typedef Entry {
  byte attempt;       /* who writes this epoch */
  byte first;         /* LSN */
  bool closed;
  byte last;          /* LSN, once closed */
  byte disks;         /* a set */
};
Entry chain[EPOCHS + 1];
byte newest;          /* the last epoch of the chain */

/* Attempt ids, each for one epoch only: an actor's own takeover, the id it drew for a handover, its replica change. */
#define TAKEN(actor)   (1 + (actor))
#define HANDED(actor)  (16 + (actor))
#define MOVED(actor)   (32 + (actor))
#define attempt_at(e)  (chain[e].attempt)
#define is_attempt(e)  (chain[e].attempt == looked_for)
/* The actor that writes the newest epoch. */
#define owner          (chain[newest].attempt >= 32 -> chain[newest].attempt - 32 : \
                       (chain[newest].attempt >= 16 -> chain[newest].attempt - 16 : chain[newest].attempt - 1))

/* A compare-and-swap: closes the newest epoch at close_at and opens the next. It lands only while the key still has the
 * version that its sender read; every change of the key takes that from all others. */
typedef Cas {
  bool version_holds;
  bool pending;       /* sent, neither landed nor refused */
  byte close_at;
  byte attempt;
  byte disks;         /* of the next epoch */
  byte copied;        /* disks that copied the old epoch: listed with it */
};
Cas cas[ACTORS];

/* ---- what was ever sent, and what was acknowledged ---- */

byte sent[EPOCHS + 1];        /* append: batches of this epoch up to this LSN */
bool seal_sent[EPOCHS + 1];
byte commit[EPOCHS + 1];      /* what the epoch's writer has acknowledged, and tells its replicas */
byte acknowledged[LSNS + 1];  /* the epoch in which the record at this LSN was acknowledged; 0: in none */
byte applied[EPOCHS + 1];     /* what a reader or a spare has applied of this epoch */

/* ---- disks ---- */

typedef Replica {
  byte tail[EPOCHS + 1];      /* written */
  byte durable[EPOCHS + 1];   /* synced */
  byte acked[EPOCHS + 1];     /* the highest durable tail ever answered to an append of this epoch */
  byte sealed;                /* appends of epochs <= this are refused */
  byte durable_sealed;
  bool wiped;                 /* lost everything, and has drawn a new id */
  bool retired;               /* lost something, noticed, and serves only what it can prove */
};
Replica disk[DISKS];
bool started;
byte losses = LOSSES, moves = MOVES, edits = EDITS, barriers = BARRIERS;

/* Who answers under the id that the chain names. */
#ifdef NO_DISK_ID             /* a wiped disk passes for an empty one */
#define wiped(d) false
#else
#define wiped(d) (disk[d].wiped)
#endif
#ifdef NO_RETIRE_APPEND
#define takes_appends(d) (!wiped(d))
#else
#define takes_appends(d) (!wiped(d) && !disk[d].retired)
#endif
#ifdef NO_RETIRE_SEAL
#define answers_seals(d) (!wiped(d))
#else
#define answers_seals(d) (!wiped(d) && !disk[d].retired)
#endif
#ifdef NO_RETIRE_BARRIER
#define answers_barriers(d) (!wiped(d))
#else
#define answers_barriers(d) (!wiped(d) && !disk[d].retired)
#endif

byte i, j, found;             /* scratch of the steps below; 0 between steps */

/* ---- properties ---- */

/* What a closed epoch must hold, and what an open one has promised, is on a disk that the chain names. */
#define must_hold(e) (chain[e].closed -> chain[e].last : commit[e])
inline check_durability() {
  i = 1;
  do
  :: i > newest -> break
  :: else ->
     j = 0; found = 0;
     do
     :: j == DISKS -> break
     :: else ->
        found = found + (has(chain[i].disks, j) && !disk[j].wiped && disk[j].durable[i] >= must_hold(i));
        j++
     od;
     assert(found > 0 || must_hold(i) < chain[i].first);
     i++
  od;
  i = 0; j = 0; found = 0
}

/* Said whenever a writer acknowledges LSN `lsn` in epoch e. */
inline check_acknowledge(e, lsn) {
  printf("actor %d: acknowledges LSN %d in epoch %d\n", me, lsn, e);
  assert(acknowledged[lsn] == 0);                      /* one history: no LSN is acknowledged twice */
  assert(!chain[e].closed || lsn <= chain[e].last);    /* nothing above last_lsn is */
  acknowledged[lsn] = e
}

/* Said when epoch `newest` is about to be closed at `end`. */
inline check_close(t_lsn) {
  assert(!chain[newest].closed);                       /* a closed epoch never changes */
  assert(applied[newest] <= t_lsn);                      /* nobody applied what is no part of the log */
  i = 1;
  do
  :: i > LSNS -> break
  :: else ->
     assert(acknowledged[i] != newest || i <= t_lsn);    /* no acknowledged record is lost, */
     assert(acknowledged[i] <= newest);                /* nor was one acknowledged by who is not in the chain */
     i++
  od;
  i = 0
}

/* ---- metadata (log/metadata; ChainClient in log/epoch/chain_client.cc) ---- */

inline version_changes() {
  i = 0;
  do
  :: i == ACTORS -> break
  :: else -> cas[i].version_holds = false; i++
  od;
  i = 0
}

inline forget_cas(a) {
  cas[a].pending = false; cas[a].close_at = 0; cas[a].attempt = 0; cas[a].disks = 0; cas[a].copied = 0
}

inline begin_epoch(e, first_lsn, on_disks) {  /* empty everywhere */
  chain[e].first = first_lsn;
  chain[e].disks = on_disks;
  sent[e] = first_lsn - 1; commit[e] = first_lsn - 1; applied[e] = first_lsn - 1;
  i = 0;
  do
  :: i == DISKS -> break
  :: else ->
     disk[i].tail[e] = first_lsn - 1; disk[i].durable[e] = first_lsn - 1; disk[i].acked[e] = first_lsn - 1; i++
  od;
  i = 0
}

inline land(a) {
  printf("metadata: epoch %d closed at %d; epoch %d opened for attempt %d, disks %x (the CAS of actor %d)\n",
         newest, cas[a].close_at, newest + 1, cas[a].attempt, cas[a].disks, a);
  check_close(cas[a].close_at);
  chain[newest].closed = true;
  chain[newest].last = cas[a].close_at;
  chain[newest].disks = chain[newest].disks | cas[a].copied;
  newest++;
  chain[newest].attempt = cas[a].attempt;
  begin_epoch(newest, cas[a].close_at + 1, cas[a].disks);
  version_changes();
  forget_cas(a);
  check_durability()
}

#define LAND(a) d_step { cas[a].pending && cas[a].version_holds -> land(a) }

proctype Meta() {
end:
  do
  EACH_ACTOR(LAND)
#if EDITS > 0
  :: d_step { edits > 0 -> edits--; version_changes() }
#endif
  od
}

/* A reply may be lost. Then the chain is read. One's attempt in it: won. A newer version without it: lost. Unchanged:
 * nothing is settled, but a CAS on the same version that changes nothing, once won, leaves ours nothing to match. */
#define in_chain(x)      (chain[1].attempt == x || chain[2].attempt == x IN_CHAIN_3(x) IN_CHAIN_4(x))
#if EPOCHS > 2
#define IN_CHAIN_3(x)    || chain[3].attempt == x
#else
#define IN_CHAIN_3(x)
#endif
#if EPOCHS > 3
#define IN_CHAIN_4(x)    || chain[4].attempt == x
#else
#define IN_CHAIN_4(x)
#endif
#define cas_won(x)       (in_chain(x))
#define cas_lost(me, x)  (!cas[me].version_holds && !in_chain(x))
#define cas_unknown(me)  (cas[me].version_holds && cas[me].pending)

/* ---- a disk (log/epoch/replica*.cc; log/store) ---- */

/* One journal, one order: everything written so far. Only now are appends answered, with the durable tail. */
inline sync(d) {
  i = 1;
  do
  :: i > EPOCHS -> break
  :: else ->
     if
     :: disk[d].durable[i] < disk[d].tail[i] ->
        disk[d].durable[i] = disk[d].tail[i];
        disk[d].acked[i] = disk[d].tail[i]
     :: else
     fi;
     i++
  od;
  i = 0;
  disk[d].durable_sealed = disk[d].sealed
}
inline sync_at_once(d) {
#if !CRASH
  sync(d)
#else
  skip
#endif
}

/* Replica::Append: refused when sealed; taken at tail + 1 only; seals all lower epochs. */
inline append(d, e) {
  printf("disk %d: takes LSN %d of epoch %d\n", d, disk[d].tail[e] + 1, e);
  disk[d].tail[e] = disk[d].tail[e] + 1;
  disk[d].sealed = max(disk[d].sealed, e - 1);
#ifdef NO_FSYNC               /* answered before it is synced */
  disk[d].acked[e] = disk[d].tail[e];
#endif
  sync_at_once(d)
}
#define can_append(d, e) (has(chain[e].disks, d) && takes_appends(d) && disk[d].sealed < e && disk[d].tail[e] < sent[e])

/* Replica::Seal: in force at once; answered (by ANSWER below) only once it is durable, and all before it. */
inline seal(d, e) {
  printf("disk %d: seals epoch %d\n", d, e);
  disk[d].sealed = e;
#ifdef NO_SEAL_ORDER          /* does not wait for the appends that are on their way to the disk */
  disk[d].durable_sealed = e;
#endif
  sync_at_once(d)
}
#define can_seal(d, e) (seal_sent[e] && answers_seals(d) && disk[d].sealed < e)
#ifdef NO_SEAL_SYNC           /* answered before it is durable */
#define seal_stands(d, e) (disk[d].sealed >= e)
#elif defined(NO_SEAL_UNHEARD) /* does not seal an epoch that it has never heard of */
#define seal_stands(d, e) (disk[d].durable_sealed >= e || disk[d].tail[e] < chain[e].first)
#else
#define seal_stands(d, e) (disk[d].durable_sealed >= e)
#endif

#define unsynced(e) (disk[d].tail[e] != disk[d].durable[e])
#define dirty       (disk[d].sealed != disk[d].durable_sealed || ANY_EPOCH(unsynced))

inline crash(d) {             /* and restart */
  printf("disk %d: crashes; what it had not synced is gone\n", d);
  i = 1;
  do
  :: i > EPOCHS -> break
  :: else -> disk[d].tail[i] = disk[d].durable[i]; i++
  od;
  i = 0;
  disk[d].sealed = disk[d].durable_sealed;
  check_durability()
}

inline cut(d, keep) {         /* of each epoch at most `keep` records are left; the seals are gone */
  i = 1;
  do
  :: i > newest -> break
  :: else ->
     if
     :: disk[d].durable[i] > chain[i].first - 1 + keep -> disk[d].durable[i] = chain[i].first - 1 + keep
     :: else
     fi;
     disk[d].tail[i] = disk[d].durable[i];
     i++
  od;
  i = 0;
  disk[d].sealed = 0; disk[d].durable_sealed = 0
}
inline wipe(d)            { printf("disk %d: wiped\n", d); cut(d, 0); disk[d].wiped = true; check_durability() }
inline roll_back(d, keep) {   /* an old copy of it, or damaged */
  printf("disk %d: rolled back to at most %d records an epoch, its seals forgotten\n", d, keep);
  cut(d, keep); disk[d].retired = true; check_durability()
}

#define APPEND(e) d_step { can_append(d, e) -> append(d, e) }
#define SEAL(e)   d_step { can_seal(d, e) -> seal(d, e) }

proctype Disk(byte d) {
end:
  do
  EACH_EPOCH(APPEND)
  EACH_EPOCH(SEAL)
#if CRASH
  :: d_step { dirty -> printf("disk %d: syncs\n", d); sync(d) }
  :: d_step { dirty -> crash(d) }
#endif
#if LOSSES > 0
  :: d_step { losses > 0 -> losses--; wipe(d) }
  :: d_step { losses > 0 -> losses--; roll_back(d, 0) }
#if LSNS > 1
  :: d_step { losses > 0 -> losses--; roll_back(d, 1) }
#endif
#endif
  od
}

/* ---- a takeover (log/epoch/takeover.cc, takeover_settle.cc), then a writer (log/epoch/writer*.cc) ---- */

/* held[d]: the durable tail + 1 that disk d gave with its answer to the seal; 0: no trustworthy word of it. */
#define answered(d)    (held[d] > 0)
#define member(d)      (has(chain[e].disks, d))
#define answers        SUM_DISKS(answered)
#define is_answer(d)   (answered(d) && member(d))
#define covered        (SUM_DISKS(is_answer) >= SUM_DISKS(member) - A + 1)
#define holds(d)       (answered(d) && held[d] - 1 >= t_lsn)
#define holders        SUM_DISKS(holds)
#define is_source(d)   (answered(d) && !disk[d].wiped && disk[d].durable[e] >= t_lsn)
#define gone(d)        (!answers_seals(d))
#ifdef NO_COPY
#define enough_holders true
#else
#define enough_holders (holders >= A)
#endif

/* An answer to the seal arrives; of disks outside the epoch too. */
#define ANSWER(d) d_step { !answered(d) && !gone(d) && seal_stands(d, e) -> held[d] = disk[d].durable[e] + 1; \
                           printf("actor %d: disk %d answers its seal of epoch %d: tail %d\n", me, d, e, held[d] - 1) }

/* A disk turns out to be unknown. It leaves coverage, and T is computed again. */
inline leave(d) {
  printf("actor %d: disk %d has become unknown\n", me, d);
#ifdef NO_LEAVE               /* its answer goes on counting, though its tail does not */
  held[d] = chain[e].first;
#else
  held[d] = 0;
#endif
#ifndef NO_NEW_T
  t_lsn = NONE
#endif
}
#define LEAVE(d) d_step { answered(d) && gone(d) && held[d] != chain[e].first * no_leave -> leave(d) }
#ifdef NO_LEAVE
#define no_leave 1
#else
#define no_leave 0
#endif
/* Unknown is never absent. */
#define ABSENT(d) d_step { !answered(d) && gone(d) -> held[d] = chain[e].first; \
                           printf("actor %d: disk %d is unknown and counts as empty\n", me, d) }

/* T, the largest tail in coverage. */
inline larger(d) {
  if
#ifdef NO_MAX
  :: is_answer(d) && (t_lsn == NONE || held[d] - 1 < t_lsn) -> t_lsn = held[d] - 1
#else
  :: is_answer(d) && (t_lsn == NONE || held[d] - 1 > t_lsn) -> t_lsn = held[d] - 1
#endif
  :: else
  fi
}
inline settle_end() {
  larger(0); larger(1); larger(2);
#if DISKS > 3
  larger(3);
#endif
  printf("actor %d: epoch %d ends at T = %d\n", me, e, t_lsn);
#ifdef NO_APPLY_AFTER_CAS     /* applied as soon as it is known */
  applied[e] = max(applied[e], t_lsn)
#else
  skip
#endif
}

/* Fetch: disk d copies what it lacks up to T, durably (log/epoch/replica_fetch.cc). */
#define FETCH(d) d_step { t_lsn != NONE && !enough_holders && answered(d) && !holds(d) && !gone(d) && \
                          SUM_DISKS(is_source) > 0 -> \
                          disk[d].tail[e] = max(disk[d].tail[e], t_lsn); disk[d].durable[e] = max(disk[d].durable[e], t_lsn); \
                          held[d] = t_lsn + 1; \
                          printf("disk %d: copies epoch %d up to LSN %d\n", d, e, t_lsn) }

/* Up to three live disks for the next epoch, members first. */
inline choose(d) {
  if
  :: answered(d) && found < 3 -> cas[me].disks = cas[me].disks | bit(d); found++
  :: else
  fi;
#ifndef NO_LIST
  if
  :: holds(d) && !member(d) && t_lsn >= chain[e].first -> cas[me].copied = cas[me].copied | bit(d)
  :: else
  fi
#endif
}
inline send_cas_of_takeover() {
  cas[me].pending = true; cas[me].close_at = t_lsn; cas[me].attempt = TAKEN(me); cas[me].disks = 0; cas[me].copied = 0;
  choose(0); choose(1); choose(2);
#if DISKS > 3
  choose(3);
#endif
  found = 0;
  printf("actor %d: sends the CAS that closes epoch %d at %d\n", me, e, t_lsn)
}

inline forget_answers() {
  held[0] = 0; held[1] = 0; held[2] = 0;
#if DISKS > 3
  held[3] = 0;
#endif
  t_lsn = NONE
}

/* An append is acknowledged when A replicas have answered it, in order, and never while frozen. */
#define has_next(d)  (member(d) && disk[d].acked[e] > commit[e])
#ifdef NO_FREEZE
#define frozen false
#else
#define frozen (moving != 0)
#endif

/* ReadBarrier (log/epoch/writer_barrier.cc): words of a round that began after the call. */
#define WORD(d) d_step { calling && !has(words, d) && member(d) && answers_barriers(d) && disk[d].sealed < e -> \
                         words = words | bit(d); \
                         printf("disk %d: epoch %d is not sealed, it tells actor %d\n", d, e, me) }
#define word(d) (has(words, d))
#ifdef NO_BARRIER_FREEZE
#define barrier_frozen false
#else
#define barrier_frozen frozen
#endif

/* Move (log/epoch/writer_move.cc): frozen from the moment the CAS leaves until it is settled. The handover's CAS names
 * the attempt that the spare drew, and leaves only when everything is acknowledged. */
inline send_cas_of_move(attempt_id, next_disks) {
  printf("actor %d: moves: freezes at %d and sends the CAS for attempt %d\n", me, commit[e], attempt_id);
  moves--;
  moving = attempt_id;
  cas[me].version_holds = true;
  cas[me].pending = true; cas[me].close_at = commit[e]; cas[me].attempt = attempt_id; cas[me].disks = next_disks
}
#if DISKS > 3
#define OTHER_DISKS 14  /* without disk 0: its place is taken, */
#else
#define OTHER_DISKS 6   /* or the epoch gets along with two */
#endif
#define may_move (moves > 0 && moving == 0 && newest == e)

proctype Actor(byte me) {
  byte e = 1;            /* the epoch that it ends, then the one that it writes */
  byte held[DISKS];
  byte t_lsn = NONE;       /* T */
  byte moving;           /* the attempt id of a Move that is not settled */
  bool calling, fresh;   /* a barrier is asked for; it was the log's writer when it asked */
  byte words, need;

  if
  :: me == 0 -> goto writing
  :: else
  fi;

#if TAKEOVERS > 1 && MOVES == 0
  (me == 1 || started);  /* the two differ in nothing but their number */
#endif
take_over:               /* 1: read the chain */
  true;
  d_step {
    e = newest;
    printf("actor %d: reads the chain, its last epoch is %d\n", me, e);
    started = true;
    cas[me].version_holds = true;
    if
    :: chain[e].attempt == HANDED(me) -> seal_sent[e - 1] = true  /* ours already: adopt */
    :: else -> seal_sent[e] = true                                /* 2: seal it */
    fi
  }
  if
  :: chain[e].attempt == HANDED(me) -> goto writing
  :: else
  fi;

settling:                /* 2 to 4 */
  do
  EACH_DISK(ANSWER)
  EACH_DISK(LEAVE)
#ifdef NO_UNKNOWN
  EACH_DISK(ABSENT)
#endif
  :: d_step { t_lsn == NONE && covered -> settle_end() }
  EACH_DISK(FETCH)
  :: d_step { t_lsn != NONE && enough_holders && answers >= A -> send_cas_of_takeover() }; break
  od;
  true;

#ifdef NO_ACK_AFTER_CAS  /* writes the next epoch before it is in the chain */
  d_step {
    if
    :: chain[e + 1].disks == 0 -> begin_epoch(e + 1, t_lsn + 1, cas[me].disks)
    :: else
    fi;
    e++;
    forget_answers()
  }
  goto writing;
#endif

swapping:                /* 5 */
  do
  :: d_step { cas_won(TAKEN(me)) -> /* 6: only now */
              applied[e] = max(applied[e], t_lsn); e++; forget_answers();
              printf("actor %d: owns epoch %d\n", me, e) }
     goto writing
  :: d_step { cas_lost(me, TAKEN(me)) && newest == e -> forget_cas(me); cas[me].version_holds = true }
     goto settling  /* with the same T, and no new seal */
  :: d_step { cas_lost(me, TAKEN(me)) && newest != e -> forget_cas(me); forget_answers() }
     goto overtaken
  od;
overtaken:
  if
  :: chain[newest].attempt == HANDED(me) -> goto take_over
  :: else -> goto stop
  fi;

writing:
end:
  do
  :: d_step { sent[e] < LSNS && !(moving >= 16 && moving < 32) -> sent[e] = sent[e] + 1;
              printf("actor %d: appends LSN %d in epoch %d\n", me, sent[e], e) }
  :: d_step { !frozen && SUM_DISKS(has_next) >= A ->
              check_acknowledge(e, commit[e] + 1); commit[e] = commit[e] + 1 }
#if BARRIERS > 0
  :: d_step { barriers > 0 && !calling -> barriers--; calling = true; need = sent[e]; fresh = (owner == me);
              printf("actor %d: asks for a barrier in epoch %d (it is the log's writer: %d)\n", me, e, fresh) }
  EACH_DISK(WORD)
  :: d_step { calling && !barrier_frozen && SUM_DISKS(word) >= A && commit[e] >= need ->
              printf("actor %d: its barrier completes\n", me);
              assert(fresh);             /* no barrier completes for a deposed writer */
              calling = false; words = 0; need = 0; fresh = false }
#endif
#if MOVES > 0
  :: d_step { may_move -> send_cas_of_move(MOVED(me), OTHER_DISKS) }
  :: d_step { may_move && me != 1 && commit[e] == sent[e] -> send_cas_of_move(HANDED(1), chain[e].disks) }
  :: d_step { moving != 0 && cas_won(moving) && moving == MOVED(me) -> /* unacknowledged records go out again */
              e++; moving = 0; words = 0; sent[e] = sent[e - 1]; printf("actor %d: goes on in epoch %d\n", me, e) }
  :: d_step { moving != 0 && cas_won(moving) && moving != MOVED(me) -> moving = 0 }
     goto stop
  :: d_step { moving != 0 && cas_lost(me, moving) && newest == e -> forget_cas(me); moving = 0;
              printf("actor %d: its CAS is lost; thaws\n", me) }
  :: d_step { moving != 0 && cas_lost(me, moving) && newest != e -> forget_cas(me); moving = 0 }
     goto stop
#ifdef NO_SETTLE         /* the chain reads unchanged, so it did not land */
  :: d_step { moving != 0 && cas_unknown(me) -> moving = 0; printf("actor %d: the chain is unchanged; thaws\n", me) }
#else
  :: d_step { moving != 0 && cas_unknown(me) -> version_changes(); forget_cas(me); moving = 0;
              printf("actor %d: wins the CAS that changes nothing; thaws\n", me) }
#endif
#endif
  od;
stop:
  true;
  d_step { words = 0; need = 0; calling = false; fresh = false; e = 0 }
}

#if READER
/* A follower whose chain is old enough to show epoch e open (log/epoch/follower.cc): up to the commit, of e only. */
#ifdef NO_COMMIT_OF_EPOCH     /* one commit for the whole log */
#define commit_heard(e) max(commit[e], max(commit[2], commit[EPOCHS]))
#else
#define commit_heard(e) (commit[e])
#endif
#define READ(e) d_step { applied[e] < commit_heard(e) && \
                         (disk[0].durable[e] > applied[e] || disk[1].durable[e] > applied[e] || \
                          disk[2].durable[e] > applied[e]) -> \
                         applied[e] = applied[e] + 1; \
                         printf("reader: applies LSN %d of epoch %d\n", applied[e], e); \
                         assert(!chain[e].closed || applied[e] <= chain[e].last) }
proctype Reader() {
end:
  do
  EACH_EPOCH(READ)
  od
}
#endif


init {
  d_step {
    newest = 1;
    chain[1].attempt = TAKEN(0);
    chain[1].first = 1;
    chain[1].disks = bit(0) | bit(1) | bit(2)
  }
  atomic {
    run Meta(); run Actor(0); run Actor(1);
#if TAKEOVERS > 1
    run Actor(2);
#endif
    run Disk(0); run Disk(1); run Disk(2);
#if DISKS > 3
    run Disk(3);
#endif
#if READER
    run Reader();
#endif
  }
}
