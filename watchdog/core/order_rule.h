/*
 * order_rule.h
 *	  What people want of the rule: durability, quorum, voters.
 *
 * An order is refused at once, with the reason, or put into the memory as a wish,
 * which the caller journals (rg_cluster_set_memory); the leader's next rules make it so
 * while the cluster is steady (change.c), a failover in between included.  ret_why
 * always gets RG_TEXT_MAX bytes; without a refusal it says what will be.
 *
 * For node add and node remove: rg_order_voters() takes the whole list that is wanted.
 * A new voter has to be in the configuration and to stream from the leader on its own
 * slot (clone it first, change the voters then).  A voter that is removed has to stream,
 * so that it hears of it, unless it is fenced, or declared lost by the operator, or so
 * many others stream that it is not needed; only when the wish has come true
 * (memory.wish.nvoters is 0 again and the rule has those voters, see
 * rg_order_voters_done) its slots and its section may go.
 */
#ifndef RG_ORDER_RULE_H
#define RG_ORDER_RULE_H

#include "memory.h"

/* durability NULL or quorum 0: as it is. */
extern const char *rg_order_set_refusal(const RgView *view, const RgMemory *memory,
										const char *durability, int quorum, char *ret_why);
extern bool rg_order_set(const RgView *view, RgMemory *memory, const char *durability, int quorum,
						 char *ret_why);

/* lost: a bit per node of the view that the operator declares gone for good. */
extern const char *rg_order_voters_refusal(const RgView *view, const RgMemory *memory,
										   char (*names)[RG_CORE_NAME_MAX], int count,
										   uint32_t lost, char *ret_why);
extern bool rg_order_voters(const RgView *view, RgMemory *memory, char (*names)[RG_CORE_NAME_MAX],
							int count, uint32_t lost, char *ret_why);

/* The rule in force has the voters that were asked for, and nothing older is in question. */
extern bool rg_order_voters_done(const RgView *view, const RgMemory *memory);

#endif							/* RG_ORDER_RULE_H */
