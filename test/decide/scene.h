/*
 * scene.h
 *	  One decision case while it runs: the view that the core is shown, what it
 *	  decided, and how lines of a case file change the one and ask for the other.
 *
 * The scene plays the daemon's part between rounds: nodes that can be heard are
 * heard from again each round, and every step that was decided counts as
 * running until a line of the case answers it.
 */
#ifndef SCENE_H
#define SCENE_H

#include <stdbool.h>
#include "watchdog/core/decide.h"
#include "watchdog/core/job.h"

#define WORDS_MAX 40
#define LINE_LENGTH_MAX 1000
/* Of whoever is open; a new start of a server has had none. */
#define LEASE_LEFT_MS 4000

#define SYSTEM_IDENTIFIER 7300000000000000001
#define RG_COPY(buf, text) (void) snprintf(buf, sizeof(buf), "%s", text)

/* A line in words; "quoted words" may hold spaces. */
typedef struct Line
{
	const char *file;
	int			number;
	int			nwords;
	char	   *words[WORDS_MAX];
	char		text[LINE_LENGTH_MAX];
	char		buf[LINE_LENGTH_MAX];
} Line;

/* What a node of the case does by itself from round to round. */
typedef struct SceneNode
{
	bool		beats;			/* its heartbeats arrive while its session is open */
	bool		hears;			/* messages from its upstream arrive */
	bool		guest;			/* of the configuration, but not of the cluster yet */
	bool		hangs;			/* it is connected, and flushes nothing */
	int			upstream;		/* index, -1 = none */
	bool		sync;			/* counts as synchronous with its upstream */
	int64_t		message_ms;		/* when the last message came; -1 = never */
} SceneNode;

typedef struct Scene
{
	RgView		view;
	RgMemory	memory;			/* before the round; after rg_decide the next one */
	RgMemory	before;			/* what the last round began with */
	RgDecision	decision;
	SceneNode	nodes[RG_CORE_NODES_MAX];
	char		durability[16]; /* of the rules of this case */
	int			quorum;
	bool		in_round;
	bool		decided;
	bool		asked_steps;	/* this round's steps were compared */
	bool		used[RG_STEPS_MAX];
	bool		seen[RG_NOTES_MAX];
	int			round_line;
	int			failures;		/* mismatches of this case */
	int			fails_marked;	/* self-test: lines marked "#fails" that did fail */
	int			fails_missing;	/* marked, and did not fail */
	bool		self_test;
} Scene;

/* A case that can't be understood: says where and why, and ends the case (it has failed). */
extern void line_error(const Line *line, const char *fmt,...)
			__attribute__((format(printf, 2, 3), noreturn));

/* An expectation that is not met. */
extern void mismatch(Scene *s, const Line *line, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

/* The value of key=value among the line's words, or NULL. */
extern const char *line_get(const Line *line, const char *key);

/* Every key=value of the line, from word first on, must be one of the known keys. */
extern void line_known(const Line *line, int first, const char *const *keys);

extern int64_t parse_ms(const Line *line, const char *text);
extern int64_t parse_int(const Line *line, const char *text);
extern bool parse_bool(const Line *line, const char *text);
extern int	parse_node(const Line *line, const Scene *s, const char *name);

/* NODE [method= from= force= rate= id=], NODE being that word. */
extern void parse_rebuild(const Line *line, int first, RgRebuild *ret);

/* A word of the list, which ends with a NULL name. */
typedef struct Word
{
	const char *name;
	int			value;
} Word;

extern int	parse_word(const Line *line, const Word *words, const char *text);
extern uint64_t parse_lsn(const Line *line, const char *text);

/* 1:1:0/5000,2:2 = term 1 on timeline 1 until 0/5000, term 2 on timeline 2 until now; "-" = none */
extern int	parse_terms(const Line *line, const char *text, RgTermEnd *terms);

/* 2.1:n2 = rule of term 2, sequence 1, leader n2; "-" = none */
extern void parse_voter_list(const Line *line, const char *text, RgRule *rule);
extern uint32_t parse_voters(const Line *line, const RgRule *rule, const char *text);
extern void parse_rule(const Line *line, const Scene *s, const char *text, RgRule *rule);

/* The server start of a node whose postmaster has this pid. */
extern void set_start(const char *node, int64_t pid, RgServerStart *start);

/* "fence", "promote-sql", … */
extern RgStepKind parse_step(const Line *line, const char *name);

/* A statement that changes the scene: cluster, node, answer, restart, … False: not one. */
extern bool scene_change(Scene *s, const Line *line);

/* "node NAME key=value …" */
extern void scene_change_node(Scene *s, const Line *line);

/* "expect …" */
extern void scene_expect(Scene *s, const Line *line);

/* "expect grant …", "expect switchover …": leases and orders; false: something else. */
extern bool scene_expect_order(Scene *s, const Line *line);

/* Runs the round if it has not been run yet. */
extern void scene_decide(Scene *s);

/* The round is over: leftovers that an exact comparison did not name are mismatches. */
extern void scene_end_round(Scene *s, const Line *line);

#endif							/* SCENE_H */
