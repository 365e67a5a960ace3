/*
 * gate.h
 *	  The gate: may this server write, and tell a client so, now?
 *
 * Every write is asked twice: before its commit record (refused, SQLSTATE 25006)
 * and before its client is told (then the connection ends, and the client knows
 * nothing).  The verdict is pure (rules.c); gate.c feeds it from shared memory and
 * settings.  gate_statement.c and gate_commit.c are the first check, gate_commit.c
 * and gate_output.c the second.
 *
 * Nothing here acts where regent.node_name is empty.
 */
#ifndef RG_GATE_H
#define RG_GATE_H

#include "postgres.h"

#include "access/xlogdefs.h"

#include "hot.h"
#include "rules.h"
#include "statefile.h"

/* In _PG_init: settings, hooks, callbacks.  Each file of the gate has its part. */
extern void rg_gate_init(void);
extern void rg_gate_define_settings(void);	/* gate_settings.c */
extern void rg_gate_watch_statements(void); /* gate_statement.c */
extern void rg_gate_watch_commits(void);	/* gate_commit.c */

/* When shared memory is there. */
extern void rg_gate_begin(void);

/* ------------------------------------------------ the verdict (gate.c) */

/*
 * The shared state has changed.  Call it under the shared lock, exclusively, with
 * every change of rg_shared->state and state_bad.
 */
extern void rg_gate_refresh_locked(void);

/* The verdict now: a few shared reads and a look at the clock while it is open. */
extern RgGate rg_gate_now(void);

/* This server is a node, since rg_gate_begin(). */
extern RG_HOT_SHARED bool rg_gate_is_here;

/* regent.gate */
extern RG_HOT_SHARED bool rg_gate_setting;

/* Is the gate off here (regent.gate, or not a node)?  Process-local. */
static inline bool
rg_gate_is_off(void)
{
	return unlikely(!rg_gate_setting || !rg_gate_is_here);
}

/* Is it off, or open by a lease?  The quick way; if not, rg_gate_now() knows of the others. */
extern RG_HOT_SHARED bool rg_gate_is_plain(void);

/* Not an exempt process, and a primary: are its writes refused now? */
extern bool rg_gate_refuses(void);

/* Raises 25006 unless this process may write now. */
extern RG_HOT_SHARED void rg_gate_require_slowly(void);

static inline void
rg_gate_require(void)
{
	if (unlikely(!rg_gate_is_plain()))
		rg_gate_require_slowly();
}

/* Own processes and autovacuum write while the gate is closed: they tell nobody. */
extern bool rg_gate_is_exempt(void);

/* So does the transaction that writes a rule, until it ends. */
extern RG_HOT_SHARED bool rg_gate_transaction_is_exempt;

/* Is this a client's session, and not exempt?  Process-local; true also while it ends. */
extern RG_HOT_SHARED bool rg_gate_asks_client(void);

/* ------------------------------------------------ settings (gate_settings.c) */

/* regent.require_sync_commit */
extern RG_HOT_SHARED bool rg_require_sync_commit;

/* How long regent.adopting is in force still; 0: it is not. */
extern int64 rg_adopting_left_ms(void);

/* ------------------------------------------------ this transaction (gate_commit.c) */

/*
 * It was asked for by a command that carries no xid, or writes beyond its own:
 * the second check looks at every commit until the command has ended.
 */
extern void rg_gate_mark(void);

/* A marked command that commits by itself begins and ends. */
extern void rg_gate_command_begins(bool acts_before_commit);
extern void rg_gate_command_ends(void);

/* It ended another transaction, whose record ends here: that one is counted. */
extern void rg_gate_count(XLogRecPtr lsn);

/* A write is about to be told: ends this session without a word if the gate is closed. */
extern RG_HOT_SHARED void rg_gate_before_answer(void);

/*
 * May settings of the server be made to fit the rule now?  On a primary only while its
 * gate is open and its newest rule counts alone.
 */
extern bool rg_gate_lets_settings_change(const RgState *state, bool in_recovery);

#endif							/* RG_GATE_H */
