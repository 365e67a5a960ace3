/*
 * gate_lock.h
 *	  No client holds up the rules: locks on schema regent are refused.
 */
#ifndef RG_GATE_LOCK_H
#define RG_GATE_LOCK_H

#include "postgres.h"

#include "nodes/parsenodes.h"

/* Raises an error for LOCK TABLE on a relation of schema regent. */
extern void rg_gate_forbid_lock(const LockStmt *statement);

/* After LOCK TABLE: the same for one that was reached through a view. */
extern void rg_gate_forbid_held_lock(void);

/* Before PREPARE TRANSACTION: it would hold its locks for ever. */
extern void rg_gate_forbid_prepared_lock(void);

#endif							/* RG_GATE_LOCK_H */
