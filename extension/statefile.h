/*
 * statefile.h
 *	  The node's state file: what a node has pledged and whose history it holds.
 *
 * $PGDATA/regent.state is a small text file that survives every restart.  The
 * server and the shell helper regent-node both read and replace it, always under
 * the lock of regent.lock, so its form is fixed: the lines of RgState in the
 * order below, each of them always there, `-` for none, and a last line
 * `checksum N`, the POSIX cksum of all bytes before it.
 *
 * Pure C without server headers: only text and values here.  Reading and writing
 * the file itself is nodestate.c.
 */
#ifndef RG_STATEFILE_H
#define RG_STATEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rulejson.h"
#include "rules.h"

#define RG_STATE_FILE "regent.state"
#define RG_STATE_TMP_FILE "regent.state.tmp"
#define RG_STATE_SPARE_FILE "regent.state.spare"
#define RG_LOCK_FILE "regent.lock"

/* Terms that are remembered; the oldest is dropped for a new one. */
#define RG_FOLLOWED_MAX 64

#define RG_STATE_TEXT_SIZE (3 * RG_RULE_JSON_SIZE + 4096)

typedef struct RgState
{
	char node[RG_NAME_SIZE];
	uint64_t system_identifier;
	int64_t promise_term;		/* 0: none */
	char promise_watchdog[RG_UUID_SIZE];
	char watchdog[RG_UUID_SIZE];	/* the one that is obeyed; empty: none yet */
	int64_t counter;
	bool has_rule;				/* newest rule whose row is flushed here */
	RgRule rule;
	bool has_previous;			/* of the same leader: not out of question yet, see joint.h */
	RgRule previous;
	bool has_pending;			/* being written: restricts, proves nothing */
	RgRule pending;
	int nfollowed;				/* ascending by term; end_lsn is not kept in the file */
	RgTermEnd followed[RG_FOLLOWED_MAX];
	int64_t promoting;			/* 0: none */
	uint32_t unopened_timeline; /* started as a primary here, and has had no lease since; 0: none */
	uint64_t unopened_lsn;		/* where its WAL ended then: what follows is its own alone */
} RgState;

/* A node that has pledged nothing yet. */
extern void rg_state_init(RgState *state, const char *node, uint64_t system_identifier);

/* Writes the file's text with its NUL; returns the length, -1 if it does not fit. */
extern int rg_state_format(const RgState *state, char *buf, size_t size);

/*
 * Reads the file's text.  Returns 0, or -1 with a reason (half a sentence) and
 * without touching ret_state when the text is not exactly a state file.
 */
extern int rg_state_parse(const char *text, size_t length, RgState *ret_state, char *ret_reason,
						  size_t reason_size);

/* What `cksum` prints first. */
extern uint32_t rg_state_cksum(const char *data, size_t length);

/* Nothing from below this term any more: promise, newest rule, pending rule. */
extern int64_t rg_state_effective_term(const RgState *state);

/*
 * The same without a pending rule of our own: above the newest rule it closes the
 * gate, and what we are about to write ourselves does not.
 */
extern int64_t rg_state_closing_term(const RgState *state);

/* The newest flushed rule names this node, and nothing above it was promised. */
extern bool rg_state_leads(const RgState *state);

/* The highest term that this node has any trace of. */
extern int64_t rg_state_highest_term(const RgState *state);

/* Did the node follow or lead this term? */
extern bool rg_state_has_followed(const RgState *state, int64_t term);

/*
 * Promised to nobody in particular and not told whom to follow since: the node
 * must not receive WAL from anyone.
 */
extern bool rg_state_is_parked(const RgState *state);

/* Adds or corrects a term in the followed list; true if the list changed. */
extern bool rg_state_add_followed(RgState *state, int64_t term, uint32_t timeline);

/*
 * The server has begun as a primary with its WAL at lsn.  Until it has had a lease,
 * nobody knows that this is all that it had (an older disk ends earlier).  The first
 * of several such starts counts.  True if that changed anything.
 */
extern bool rg_state_begin(RgState *state, uint32_t timeline, uint64_t lsn);

/* It has had a lease; true if that changed anything. */
extern bool rg_state_open(RgState *state);

/* Up to where its WAL is beyond doubt while it is on that timeline; 0: all of it. */
extern uint64_t rg_state_unopened_lsn(const RgState *state, uint32_t timeline);

/* The rule before the newest one is out of question. */
extern void rg_state_settle(RgState *state);

/*
 * Takes over a rule whose row is flushed: newest and previous rule, the pending
 * copy, followed terms, promoting, and the watchdog that it names.  True if
 * anything changed; an older rule changes nothing but the followed terms.
 */
extern bool rg_state_adopt_rule(RgState *state, const RgRule *rule);

#endif							/* RG_STATEFILE_H */
