/*
 * promise.h
 *	  The position of a standby that has promised and receives nothing.
 */
#ifndef RG_PROMISE_H
#define RG_PROMISE_H

#include "postgres.h"

#include "fmgr.h"

#include "nodestate.h"

/*
 * Replays what is there until deadline_ms (boottime), with every source of WAL taken
 * away before, and returns the row that promise() and fetch_wal() answer; ret_complete
 * may be NULL.  The node is locked by the caller.
 *
 * fetched: what was received up to there in this term was all that its source has, so
 * it counts as held although a record that ended later was given up with it; Invalid:
 * nothing was fetched.
 */
extern Datum rg_promise_position(FunctionCallInfo fcinfo, RgNode *node, XLogRecPtr fetched, int64 deadline_ms,
								 bool *ret_complete);

#endif							/* RG_PROMISE_H */
