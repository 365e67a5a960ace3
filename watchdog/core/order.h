/*
 * order.h
 *	  What a person asks for: switchover, failover with accepted loss, takeover.
 *
 * An order is refused at once, with the reason, or put into the memory; the next
 * round acts on it.  ret_why always gets RG_TEXT_MAX bytes.
 */
#ifndef RG_ORDER_H
#define RG_ORDER_H

#include "memory.h"

/*
 * Why a switchover to this node ("" = the best one) can't succeed now; NULL: it
 * can, and ret_target names the node.  Used by --dry-run, too.
 */
extern const char *rg_order_switchover_refusal(const RgView *view, const RgMemory *memory,
											   const char *node, char *ret_target, char *ret_why);

/* Begins one: a job of kind switchover (id 0 = a new id); false with the reason if refused. */
extern bool rg_order_switchover(const RgView *view, RgMemory *memory, const char *node, int64_t id,
								char *ret_why);

/*
 * failover NODE --accept-loss.  The refusal says why it is not possible (the leader
 * is well: switch over; the node is unknown, is no standby that answers, ...); else
 * NULL and ret_why says what may be lost: who is declared lost, positions, bytes.
 */
extern const char *rg_order_accept_loss_refusal(const RgView *view, const RgMemory *memory,
												const char *node, char *ret_why);
extern bool rg_order_accept_loss(const RgView *view, RgMemory *memory, const char *node,
								 char *ret_why);

/* What may be lost when this node goes on: who is declared lost, positions, bytes. */
extern void rg_order_loss(const RgView *view, const RgMemory *memory, int node, char *ret_text);

/* regent takeover: nodes that obey another watchdog shall obey this one. */
extern const char *rg_order_takeover_refusal(const RgView *view, const RgMemory *memory,
											 char *ret_why);
extern bool rg_order_takeover(const RgView *view, RgMemory *memory, char *ret_why);

#endif							/* RG_ORDER_H */
