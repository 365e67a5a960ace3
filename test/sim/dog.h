/*
 * dog.h
 *	  A watchdog of the simulator: the product's core, in a daemon made of events.
 *
 * What the daemon does around the core (sessions, heartbeats, steps, journal)
 * follows watchdog/app by file: node.c and beat.c, act.c, cluster.c and record.c.
 */
#ifndef SIM_DOG_H
#define SIM_DOG_H

#include "sim.h"
#include "watchdog/core/decide.h"
#include "watchdog/core/job.h"
#include "watchdog/core/lease.h"
#include "watchdog/core/order.h"
#include "watchdog/core/order_rule.h"

typedef struct DogNode
{
	bool open;					/* the session that beats */
	int session_life;			/* with which server start */
	bool connecting;
	int connect_serial;
	int fresh_serial;
	bool beat_waiting;
	int beat_serial;
	int beat_timer;				/* the newest timer counts */
	int tries;
	int64_t granted_until_ms;
	bool has_last;
	StartId last_start;
	int obeys;
	int ssh_serial;
	bool ssh_waiting;
	int ssh_boot;				/* of the host that the session is with */
	int pending[RG_STEP_COUNT]; /* serial of the step under way; 0 = none */
	RgStep steps[RG_STEP_COUNT];
	StartId expect;				/* start named by a promise */
	bool by_primary;
	int rule;					/* what facts.rule is made from; -1 = nothing */
} DogNode;

/* What a state directory holds. */
typedef struct Journal
{
	bool has_memory;
	RgMemory memory;
	int boot;					/* of the host that wrote it */
	bool doubted;
} Journal;

struct Dog
{
	int index;
	bool up;
	bool gone;					/* for good */
	int life;
	int watchdog;
	int64_t counter;
	int serial;
	bool round_pending;
	int64_t last_round_ms;
	int64_t jumped_until_ms;
	bool old_journal;			/* its directory was restored */
	uint32_t crash_at;			/* point in the next round at which it dies; 0 = none */
	uint32_t point;
	bool crash_at_rule;
	int asked;					/* how often a person has read the same question in status */
	Journal written;
	Journal durable;
	Journal image;
	int64_t image_counter;
	DogNode n[NODES_MAX];
	RgView view;
	RgMemory memory;
	RgDecision d;
};

/* dog.c */
extern int64_t dog_now_ms(const World *w, const Dog *dog);
extern void dog_wake(World *w, Dog *dog);
extern int64_t dog_interval_ms(const World *w, const Dog *dog);
extern bool dog_has_slept(const World *w, const Dog *dog);

/* dog_link.c */
extern void dog_link_start(World *w, Dog *dog);
extern void dog_beat(World *w, Dog *dog, int node);
extern void dog_grant_now(World *w, Dog *dog, int node);
extern Message *dog_message(World *w, Dog *dog, int node, Verb verb);
extern void dog_send(World *w, Dog *dog, Message *m);
extern void dog_start_id(const World *w, int node, const StartId *id, RgServerStart *ret);
extern void dog_rule(const World *w, int rule, RgRule *ret);

/* dog_act.c */
extern void dog_act(World *w, Dog *dog, const RgStep *step);
extern void dog_step_ended(World *w, Dog *dog, int node, const Message *m);
extern void dog_steps_lost(World *w, Dog *dog, int node, bool over_ssh);
extern bool dog_is_step(Verb verb);

#endif							/* SIM_DOG_H */
