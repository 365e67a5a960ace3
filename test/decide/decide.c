/*
 * decide.c
 *	  Runs decision cases: a view in, a decision out, compared with the case.
 *
 *	  decide FILE.case …			runs cases; 0 when all pass
 *	  decide --self-test FILE.case …	each line marked "#fails" must fail, no other
 *	  decide -v …					also prints what each round decided
 *	  decide --mutant N …			with a deliberate bug: only in the build of test/sim/mutants
 *
 * Linked with the pure core alone: what passes here is what regentd decides.
 * The format is described in README.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariants.h"
#include "scene.h"

#ifdef RG_MUTATION
int			sim_mutation;
#endif

static bool verbose;
static InvariantTrail trail;
static int	checked;			/* expectations */
static jmp_buf next_case;		/* out of a case that can't be understood */

void
line_error(const Line *line, const char *fmt,...)
{
	va_list		ap;

	printf("%s:%d: ", line->file, line->number);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	longjmp(next_case, 1);
}

/* In a self-test a mismatch on a marked line is what is asked for. */
void
mismatch(Scene *s, const Line *line, const char *fmt,...)
{
	va_list		ap;

	if (s->self_test && strstr(line->text, "#fails") != NULL)
	{
		s->fails_marked++;
		return;
	}
	s->failures++;
	printf("%s:%d: ", line->file, line->number);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* Words are separated by blanks; "…" is one word; # begins a comment. */
static void
split(Line *line)
{
	char	   *to = line->buf;
	const char *at = line->text;

	line->nwords = 0;
	for (;;)
	{
		at += strspn(at, " \t");
		if (*at == '\0' || *at == '#')
			return;
		if (line->nwords >= WORDS_MAX)
			line_error(line, "too many words");
		line->words[line->nwords++] = to;
		while (*at != '\0' && *at != ' ' && *at != '\t')
		{
			if (*at != '"')
			{
				*to++ = *at++;
				continue;
			}
			for (at++; *at != '"'; at++)
			{
				if (*at == '\0')
					line_error(line, "a quotation is not closed");
				*to++ = *at;
			}
			at++;
		}
		*to++ = '\0';
	}
}

/* What the nodes do by themselves, then the core's round; its steps count as running. */
void
scene_decide(Scene *s)
{
	RgView	   *v = &s->view;
	char		broken[300];
	const char *why;

	if (s->decided)
		return;
	s->decided = true;
	for (int i = 0; i < v->nnodes; i++)
	{
		RgNodeView *n = &v->nodes[i];
		SceneNode  *sn = &s->nodes[i];

		if (n->facts.in_recovery && n->facts.receiver_streaming && sn->hears)
			sn->message_ms = v->now_ms;
		if (n->sql != RG_SQL_OK || !sn->beats)
			continue;
		n->facts_ms = v->now_ms;
		n->facts.boottime_ms = v->now_ms + 1000000 * (i + 1);	/* its own clock */
		n->facts.message_age_ms = sn->message_ms < 0 ? -1 : v->now_ms - sn->message_ms;
		n->facts.wal_age_ms = n->facts.message_age_ms;
		n->facts.streaming_from_us = n->facts.sync_with_us = 0;
		memset(n->facts.flushed_from_us, 0, sizeof(n->facts.flushed_from_us));
		for (int k = 0; k < v->nnodes; k++)
			if (s->nodes[k].upstream == i && v->nodes[k].facts.receiver_streaming)
			{
				n->facts.streaming_from_us |= 1u << k;
				n->facts.flushed_from_us[k] = s->nodes[k].hangs ? 1 : n->facts.flush_lsn;
				if (s->nodes[k].sync)
					n->facts.sync_with_us |= 1u << k;
			}
	}
	s->before = s->memory;
	rg_decide(v, &s->memory, &s->decision);
	why = invariant_of_decision(v, &s->before, &s->decision, &trail, broken);
	if (why != NULL)
	{
		Line		at;

		memset(&at, 0, sizeof(at));
		at.file = "invariant";
		at.number = s->round_line;
		mismatch(s, &at, "%s", why);
	}
	s->memory = s->decision.memory;
	for (int i = 0; i < s->decision.nsteps; i++)
	{
		const RgStep *step = &s->decision.steps[i];
		RgOp	   *op = &v->nodes[step->node].ops[step->kind];

		if (op->term != step->key || step->kind == RG_STEP_PROBE)
			op->attempts = 0;
		op->attempts++;
		op->term = step->key;
		op->began_ms = v->now_ms;
		op->ended_ms = 0;
		op->state = RG_OP_RUNNING;
		/* the helper of a node that answers is not worth a line: it shows what it showed */
		if (step->kind == RG_STEP_PROBE && rg_view_answers(v, step->node))
		{
			op->state = RG_OP_OK;
			op->ended_ms = v->nodes[step->node].probe_ms = v->now_ms;
		}
		if (verbose)
			printf("    step %s %s term=%lld\n", rg_step_name(step->kind), v->nodes[step->node].name,
				   (long long) step->term);
	}
	if (!verbose)
		return;
	printf("  at %lld ms: %s, %s, term %lld, candidate %s; %s; ready %s: %s\n", (long long) v->now_ms,
		   rg_phase_name(s->memory.phase), rg_diagnosis_name(s->memory.diagnosis),
		   (long long) s->memory.term, s->memory.candidate, s->decision.evidence,
		   s->decision.ready ? "yes" : "no", s->decision.ready_reason);
	for (int i = 0; i < s->decision.nnotes; i++)
		printf("    event %s: %s\n", rg_event_name(s->decision.notes[i].event), s->decision.notes[i].text);
}

static void
begin_round(Scene *s, const Line *line)
{
	const char *at = line_get(line, "at");
	int64_t		now;

	scene_end_round(s, line);
	if (at == NULL || line->nwords != 2)
		line_error(line, "round at=TIME");
	now = parse_ms(line, at);
	if (now <= s->view.now_ms)
		line_error(line, "time must go on");
	s->view.now_ms = now;
	s->in_round = true;
	s->decided = s->asked_steps = false;
	s->round_line = line->number;
	memset(s->used, 0, sizeof(s->used));
	memset(s->seen, 0, sizeof(s->seen));
}

static void
run_line(Scene *s, const Line *line)
{
	int			before = s->fails_marked;

	if (strcmp(line->words[0], "round") == 0)
		begin_round(s, line);
	else if (strcmp(line->words[0], "end") == 0)
	{
		scene_end_round(s, line);
		s->in_round = false;
	}
	else if (strcmp(line->words[0], "expect") == 0)
	{
		if (!s->in_round)
			line_error(line, "nothing has been decided before the first round");
		checked++;
		scene_expect(s, line);
	}
	else
	{
		if (s->decided)
			line_error(line, "changes come before the expectations of a round");
		if (!scene_change(s, line))
			line_error(line, "unknown statement \"%s\"", line->words[0]);
	}
	if (s->self_test && strstr(line->text, "#fails") != NULL && s->fails_marked == before)
	{
		printf("%s:%d: should have failed: %s\n", line->file, line->number, line->text);
		s->fails_missing++;
	}
}

static void
begin_case(Scene *s, bool self_test)
{
	memset(s, 0, sizeof(*s));
	memset(&trail, 0, sizeof(trail));
	s->self_test = self_test;
	s->quorum = 1;
	RG_COPY(s->durability, "async");
	s->view.now_ms = s->view.started_ms = 1;
	s->view.settings = (RgSettings) {
		.heartbeat_interval_ms = 500, .lease_ms = 5000, .restart_budget_ms = 30000,
		.hang_budget_ms = 3000, .crash_limit = 3, .crash_window_ms = 600000, .auto_failover = true, .auto_rejoin = true, .promote_sql = true,
		.promote_ssh = true, .quorum = 1
	};
	snprintf(s->view.watchdog, sizeof(s->view.watchdog), "00000000-0000-0000-0000-00000000000a");
}

/* True when the case passes. */
static bool
run_case(const char *file, bool self_test)
{
	static Scene scene;
	static Line line;
	static FILE *f;
	Scene	   *s = &scene;
	int			before = checked;

	f = fopen(file, "r");

	if (f == NULL)
	{
		perror(file);
		exit(2);
	}
	if (verbose)
		printf("%s\n", file);
	begin_case(s, self_test);
	memset(&line, 0, sizeof(line));
	line.file = file;
	if (setjmp(next_case) != 0)
	{
		fclose(f);
		return false;
	}
	while (fgets(line.text, sizeof(line.text), f) != NULL)
	{
		line.number++;
		line.text[strcspn(line.text, "\n")] = '\0';
		split(&line);
		if (line.nwords > 0)
			run_line(s, &line);
	}
	scene_end_round(s, &line);
	if (checked == before)
		line_error(&line, "a case without an expectation proves nothing");
	fclose(f);
	return s->failures == 0 && s->fails_missing == 0 && (!self_test || s->fails_marked > 0);
}

int
main(int argc, char **argv)
{
	bool		self_test = false;
	int			passed = 0;
	int			failed = 0;

	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--self-test") == 0)
			self_test = true;
		else if (strcmp(argv[i], "-v") == 0)
			verbose = true;
#ifdef RG_MUTATION
		else if (i + 1 < argc && strcmp(argv[i], "--mutant") == 0)
			sim_mutation = atoi(argv[++i]);
#endif
		else if (run_case(argv[i], self_test))
			passed++;
		else
		{
			failed++;
			printf("%s: FAILED\n", argv[i]);
		}
	}
	if (passed + failed == 0)
	{
		fprintf(stderr, "usage: decide [-v] [--self-test] FILE.case ...\n");
		return 2;
	}
	printf("decision cases%s: %d expectations, %d passed, %d failed\n",
		   self_test ? " that must fail" : "", checked, passed, failed);
	return failed != 0;
}
