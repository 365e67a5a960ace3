/*
 * expect.c
 *	  What a case asks of a decision.  Nothing in here may pass silently: an
 *	  unknown word is an error of the case, a difference is a mismatch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"
#include "watchdog/core/explain.h"
#include "watchdog/core/upstream.h"

/* The words from first on, joined: for names of several words. */
static const char *
rest(const Line *line, int first, char *buf, size_t size)
{
	size_t		len = 0;

	buf[0] = '\0';
	if (line->nwords <= first)
		line_error(line, "something is missing at the end");
	for (int i = first; i < line->nwords && len < size; i++)
		len += (size_t) snprintf(buf + len, size - len, "%s%s", i > first ? " " : "", line->words[i]);
	return buf;
}

static void
same_text(Scene *s, const Line *line, const char *what, const char *wanted, const char *found)
{
	if (strcmp(wanted, found) != 0)
		mismatch(s, line, "%s: expected \"%s\", found \"%s\"", what, wanted, found);
}

static void
holds_text(Scene *s, const Line *line, const char *what, const char *wanted, const char *found)
{
	if (strstr(found, wanted) == NULL)
		mismatch(s, line, "%s: expected \"…%s…\", found \"%s\"", what, wanted, found);
}

static void
same_number(Scene *s, const Line *line, const char *what, int64_t wanted, int64_t found)
{
	if (wanted != found)
		mismatch(s, line, "%s: expected %lld, found %lld", what, (long long) wanted, (long long) found);
}

static bool
is_option(const char *word)
{
	static const char *const options[] = {"term=", "leader=", "source=", "job=", "attempt=", "pid=", "seq=",
	"attempts=", "must_end=", "ended=", "fenced_term=", "rebuilds=", "automatic=",
	"lease=", "stale=", "admitted=", "durability=", "quorum=", "left_out=", "voters=",
	"method=", "from=", "force=", "rate=", "using=", "half=", "strayed=", "ticket=", "late=",
	"owes=", NULL};

	for (int i = 0; options[i] != NULL; i++)
		if (strncmp(word, options[i], strlen(options[i])) == 0)
			return true;
	return false;
}

/* ---- steps ---- */

static bool
step_matches(const Scene *s, const Line *line, const RgStep *step, RgStepKind kind, int node)
{
	const char *v;

	if (step->kind != kind || step->node != node)
		return false;
	if ((v = line_get(line, "term")) != NULL && parse_int(line, v) != step->term)
		return false;
	if ((v = line_get(line, "leader")) != NULL && parse_node(line, s, v) != step->leader)
		return false;
	if ((v = line_get(line, "source")) != NULL &&
		(strcmp(v, "-") == 0 ? -1 : parse_node(line, s, v)) != step->source)
		return false;
	if ((v = line_get(line, "pid")) != NULL && parse_int(line, v) != step->expect.pid)
		return false;
	if ((v = line_get(line, "seq")) != NULL && parse_int(line, v) != step->rule.seq)
		return false;
	if ((v = line_get(line, "lease")) != NULL && parse_ms(line, v) != step->rule.lease_ms)
		return false;
	if ((v = line_get(line, "durability")) != NULL && strcmp(v, step->rule.durability) != 0)
		return false;
	if ((v = line_get(line, "quorum")) != NULL && parse_int(line, v) != step->rule.quorum)
		return false;
	if ((v = line_get(line, "left_out")) != NULL && parse_voters(line, &step->rule, v) != step->rule.left_out)
		return false;
	if ((v = line_get(line, "voters")) != NULL)
	{
		RgRule		wanted = {0};

		parse_voter_list(line, v, &wanted);
		if (wanted.nvoters != step->rule.nvoters || memcmp(wanted.voters, step->rule.voters, sizeof(wanted.voters)) != 0)
			return false;
	}
	if ((v = line_get(line, "rate")) != NULL && parse_int(line, v) != step->rate_kb)
		return false;
	if ((v = line_get(line, "ticket")) != NULL && parse_int(line, v) != step->ticket)
		return false;
	return true;
}

static void
describe_steps(const Scene *s, char *buf, size_t size)
{
	size_t		len = (size_t) snprintf(buf, size, "nothing");

	for (int i = 0; i < s->decision.nsteps && len < size; i++)
	{
		const RgStep *step = &s->decision.steps[i];

		if (step->kind == RG_STEP_PROBE)
			continue;
		if (strcmp(buf, "nothing") == 0)
			len = 0;
		len += (size_t) snprintf(buf + len, size - len, "%s%s %s term=%lld", len ? ", " : "",
								 rg_step_name(step->kind), s->view.nodes[step->node].name,
								 (long long) step->term);
		if (step->kind == RG_STEP_WRITE_RULE && len < size)
			len += (size_t) snprintf(buf + len, size - len, " seq=%d durability=%s quorum=%d left_out=%x voters=%d", step->rule.seq,
									 step->rule.durability, step->rule.quorum, step->rule.left_out, step->rule.nvoters);
		if (step->leader >= 0 && len < size)
			len += (size_t) snprintf(buf + len, size - len, " leader=%s", s->view.nodes[step->leader].name);
		if (step->source >= 0 && len < size)
			len += (size_t) snprintf(buf + len, size - len, " source=%s", s->view.nodes[step->source].name);
		if (step->ticket != 0 && len < size)
			len += (size_t) snprintf(buf + len, size - len, " ticket=%lld", (long long) step->ticket);
	}
}

/* expect step KIND NODE [term= leader= pid= seq= ticket=]; the steps named in a round are all of them */
static void
expect_step(Scene *s, const Line *line)
{
	RgStepKind	kind;
	int			node;
	char		found[1000];

	if (line->nwords < 4)
		line_error(line, "expect step KIND NODE [key=value …]");
	kind = parse_step(line, line->words[2]);
	node = parse_node(line, s, line->words[3]);
	for (int i = 4; i < line->nwords; i++)
		if (!is_option(line->words[i]))
			line_error(line, "unknown key in \"%s\"", line->words[i]);
	if (kind != RG_STEP_PROBE)
		s->asked_steps = true;
	for (int i = 0; i < s->decision.nsteps; i++)
		if (!s->used[i] && step_matches(s, line, &s->decision.steps[i], kind, node))
		{
			s->used[i] = true;
			return;
		}
	describe_steps(s, found, sizeof(found));
	mismatch(s, line, "expected %s, found %s", line->text, found);
}

static void
expect_no_steps(Scene *s, const Line *line)
{
	char		found[1000];

	s->asked_steps = true;
	for (int i = 0; i < s->decision.nsteps; i++)
		if (s->decision.steps[i].kind != RG_STEP_PROBE)
		{
			describe_steps(s, found, sizeof(found));
			mismatch(s, line, "expected no steps, found %s", found);
			memset(s->used, true, sizeof(s->used));
			return;
		}
}

/* ---- events ---- */

static void
describe_events(const Scene *s, char *buf, size_t size)
{
	size_t		len = 0;

	buf[0] = '\0';
	for (int i = 0; i < s->decision.nnotes && len < size; i++)
		len += (size_t) snprintf(buf + len, size - len, "%s%s%s%s \"%s\"", i ? "; " : "",
								 rg_event_name(s->decision.notes[i].event),
								 s->decision.notes[i].node >= 0 ? " " : "",
								 s->decision.notes[i].node >= 0
								 ? s->view.nodes[s->decision.notes[i].node].name : "",
								 s->decision.notes[i].text);
}

static bool
event_exists(const char *name)
{
	for (int i = 1; i < RG_EVENT_COUNT; i++)
		if (strcmp(rg_event_name((RgEvent) i), name) == 0)
			return true;
	return false;
}

/* expect event NAME [alarm] ["text"] */
static void
expect_event(Scene *s, const Line *line)
{
	bool		alarm = false;
	const char *text = NULL;
	char		found[2000];

	if (line->nwords < 3 || !event_exists(line->words[2]))
		line_error(line, "expect event NAME [alarm] [text]");
	for (int i = 3; i < line->nwords; i++)
		if (strcmp(line->words[i], "alarm") == 0)
			alarm = true;
		else
			text = line->words[i];
	for (int i = 0; i < s->decision.nnotes; i++)
	{
		const RgNote *note = &s->decision.notes[i];

		if (strcmp(rg_event_name(note->event), line->words[2]) == 0 && (!alarm || note->alarm) &&
			(text == NULL || strstr(note->text, text) != NULL))
		{
			s->seen[i] = true;
			return;
		}
	}
	describe_events(s, found, sizeof(found));
	mismatch(s, line, "expected event %s%s%s%s, found: %s", line->words[2], text ? " \"" : "",
			 text ? text : "", text ? "\"" : "", found);
}

static void
expect_no_event(Scene *s, const Line *line)
{
	char		found[2000];
	bool		any = strcmp(line->words[2], "events") == 0;

	if (!any && (line->nwords < 4 || !event_exists(line->words[3])))
		line_error(line, "expect no event NAME");
	for (int i = 0; i < s->decision.nnotes; i++)
		if (any || strcmp(rg_event_name(s->decision.notes[i].event), line->words[3]) == 0)
		{
			describe_events(s, found, sizeof(found));
			mismatch(s, line, "expected %s, found: %s", line->text, found);
			return;
		}
}

/* ---- nodes, jobs, memory ---- */

static void
expect_node(Scene *s, const Line *line)
{
	int			node;

	if (line->nwords < 4)
		line_error(line, "expect node NAME STATE [reason]");
	node = parse_node(line, s, line->words[2]);
	same_text(s, line, line->words[2], line->words[3], rg_node_state_name(s->decision.states[node]));
	if (line->nwords > 4)
		holds_text(s, line, "reason", line->words[4], s->decision.reasons[node]);
}

/* expect eligible NAME yes|no [reason] */
static void
expect_eligible(Scene *s, const Line *line)
{
	int			node;

	if (line->nwords < 4)
		line_error(line, "expect eligible NAME yes|no [reason]");
	node = parse_node(line, s, line->words[2]);
	same_number(s, line, line->text, parse_bool(line, line->words[3]), s->decision.eligible[node]);
	if (line->nwords > 4)
		holds_text(s, line, "reason", line->words[4], s->decision.candidate_reasons[node]);
}

static void
expect_ready(Scene *s, const Line *line)
{
	if (line->nwords < 3)
		line_error(line, "expect ready yes|no [reason]");
	if (parse_bool(line, line->words[2]) != s->decision.ready)
		mismatch(s, line, "ready: expected %s, found %s (%s)", line->words[2],
				 s->decision.ready ? "yes" : "no", s->decision.ready_reason);
	if (line->nwords > 3)
		holds_text(s, line, "reason", line->words[3], s->decision.ready_reason);
}

/* expect job NODE STATE [PHASE] [attempts=N automatic=yes] [message]: the newest one of the node */
static void
expect_job(Scene *s, const Line *line)
{
	const RgJob *job = NULL;
	const char *v;

	if (line->nwords < 4)
		line_error(line, "expect job NODE STATE [PHASE] [key=value] [message]");
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (s->decision.memory.jobs[i].id != 0 &&
			strcmp(s->decision.memory.jobs[i].node, line->words[2]) == 0 &&
			(job == NULL || s->decision.memory.jobs[i].id > job->id))
			job = &s->decision.memory.jobs[i];
	if (strcmp(line->words[3], "none") == 0)
	{
		if (job != NULL)
			mismatch(s, line, "expected no job, found one: %s", rg_job_state_name(job->state));
		return;
	}
	if (job == NULL)
	{
		mismatch(s, line, "there is no job of %s", line->words[2]);
		return;
	}
	same_text(s, line, "job", line->words[3], rg_job_state_name(job->state));
	for (int i = 4; i < line->nwords; i++)
		if (rg_job_phase_find(line->words[i]) != RG_JOBPHASE_NONE)
			same_text(s, line, "phase of the job", line->words[i], rg_job_phase_name(job->phase));
		else if (!is_option(line->words[i]))
			holds_text(s, line, "message", line->words[i], job->message);
	if ((v = line_get(line, "attempts")) != NULL)
		same_number(s, line, "attempts", parse_int(line, v), job->attempts);
	if ((v = line_get(line, "using")) != NULL)
		same_text(s, line, "method", v, rg_method_name(job->using));
	if ((v = line_get(line, "automatic")) != NULL)
		same_number(s, line, "automatic", parse_bool(line, v), job->automatic);
}

static void
expect_memory(Scene *s, const Line *line)
{
	const RgNodeMemory *m;
	const char *v;

	if (line->nwords < 4)
		line_error(line, "expect memory NODE key=value …");
	m = &s->decision.memory.nodes[parse_node(line, s, line->words[2])];
	for (int i = 3; i < line->nwords; i++)
		if (!is_option(line->words[i]))
			line_error(line, "unknown key in \"%s\"", line->words[i]);
	if ((v = line_get(line, "must_end")) != NULL)
		same_number(s, line, "must_end", parse_bool(line, v), m->must_end);
	if ((v = line_get(line, "ended")) != NULL)
		same_number(s, line, "ended", parse_bool(line, v), m->ended);
	if ((v = line_get(line, "fenced_term")) != NULL)
		same_number(s, line, "fenced_term", parse_int(line, v), m->fenced_term);
	if ((v = line_get(line, "rebuilds")) != NULL)
		same_number(s, line, "rebuilds", parse_int(line, v), m->rebuilds);
	if ((v = line_get(line, "half")) != NULL)
		same_number(s, line, "half", parse_int(line, v), m->half_rewound);
	if ((v = line_get(line, "late")) != NULL)
		same_number(s, line, "late", parse_bool(line, v), m->swap_term != 0);
	if ((v = line_get(line, "owes")) != NULL)
		same_number(s, line, "owes", parse_bool(line, v), m->owes_lsn != 0);
	if ((v = line_get(line, "stale")) != NULL)
		same_number(s, line, "stale", parse_bool(line, v), m->stale);
	if ((v = line_get(line, "strayed")) != NULL)
		same_number(s, line, "strayed", parse_bool(line, v), m->strayed);
	if ((v = line_get(line, "left_out")) != NULL)
		same_number(s, line, "left_out", parse_bool(line, v), m->left_out);
	if ((v = line_get(line, "admitted")) != NULL)
		same_number(s, line, "admitted", parse_int(line, v), m->admitted.pid);
}

/* expect rebuild NODE refused TEXT | allowed [method= from= force=] */
static void
expect_rebuild(Scene *s, const Line *line)
{
	char		buf[RG_TEXT_MAX];
	const char *why;
	RgRebuild	rebuild;

	if (line->nwords < 4)
		line_error(line, "expect rebuild NODE refused TEXT | allowed");
	parse_rebuild(line, 2, &rebuild);
	why = rg_job_refusal(&s->view, &s->decision.memory, &rebuild, buf);
	if (strcmp(line->words[3], "allowed") == 0)
	{
		if (why != NULL)
			mismatch(s, line, "expected that it is allowed, found \"%s\"", why);
	}
	else if (why == NULL)
		mismatch(s, line, "expected a refusal, found that it is allowed");
	else if (line->nwords > 4 && !is_option(line->words[4]))
		holds_text(s, line, "refusal", line->words[4], why);
}

/* expect cancel JOB allowed | refused TEXT; the memory stays as it is */
static void
expect_cancel(Scene *s, const Line *line)
{
	static RgMemory memory;
	char		buf[RG_TEXT_MAX];
	const char *why;

	if (line->nwords < 4)
		line_error(line, "expect cancel JOB allowed | refused TEXT");
	memory = s->decision.memory;
	why = rg_job_cancel(&s->view, &memory, parse_int(line, line->words[2]), buf);
	same_text(s, line, "cancel", line->words[3], why == NULL ? "allowed" : "refused");
	if (why != NULL && line->nwords > 4)
		holds_text(s, line, "refusal", line->words[4], why);
}

/* expect slots NODE a,b|-: for whom it keeps slots beside the voters */
static void
expect_slots(Scene *s, const Line *line)
{
	char		found[300] = "";
	size_t		len = 0;
	uint32_t	set;

	if (line->nwords != 4)
		line_error(line, "expect slots NODE NAMES|-");
	set = rg_upstream_slots(&s->view, &s->decision.memory, parse_node(line, s, line->words[2]));
	for (int i = 0; i < s->view.nnodes; i++)
		if (set >> i & 1)
			len += (size_t) snprintf(found + len, sizeof(found) - len, "%s%s", len > 0 ? "," : "", s->view.nodes[i].name);
	same_text(s, line, "slots", line->words[3], len > 0 ? found : "-");
}

static void
expect_explain(Scene *s, const Line *line)
{
	static char text[16384];

	(void) rg_explain(&s->view, &s->decision, text, sizeof(text));
	if (line->nwords < 3)
		line_error(line, "expect explain TEXT");
	holds_text(s, line, "explanation", line->words[2], text);
}

void
scene_expect(Scene *s, const Line *line)
{
	const RgMemory *m = &s->decision.memory;
	const char *what = line->nwords > 1 ? line->words[1] : "";
	char		buf[300];

	scene_decide(s);
	if (strcmp(what, "diagnosis") == 0)
	{
		if (rg_diagnosis_find(rest(line, 2, buf, sizeof(buf))) == 0 && strcmp(buf, "unknown") != 0)
			line_error(line, "there is no diagnosis \"%s\"", buf);
		same_text(s, line, what, buf, rg_diagnosis_name(m->diagnosis));
	}
	else if (strcmp(what, "phase") == 0)
		same_text(s, line, what, rest(line, 2, buf, sizeof(buf)), rg_phase_name(m->phase));
	else if (strcmp(what, "evidence") == 0)
		holds_text(s, line, what, rest(line, 2, buf, sizeof(buf)), s->decision.evidence);
	else if (strcmp(what, "refusal") == 0)
		holds_text(s, line, what, rest(line, 2, buf, sizeof(buf)), m->refusal);
	else if (strcmp(what, "term") == 0)
		same_number(s, line, what, parse_int(line, rest(line, 2, buf, sizeof(buf))), m->term);
	else if (strcmp(what, "candidate") == 0)
		same_text(s, line, what, rest(line, 2, buf, sizeof(buf)), m->candidate[0] ? m->candidate : "-");
	else if (strcmp(what, "leader") == 0)
		same_text(s, line, what, rest(line, 2, buf, sizeof(buf)),
				  s->decision.leader >= 0 ? s->view.nodes[s->decision.leader].name : "-");
	else if (strcmp(what, "record") == 0)
		same_number(s, line, what, parse_bool(line, rest(line, 2, buf, sizeof(buf))), s->decision.must_record);
	else if (strcmp(what, "step") == 0)
		expect_step(s, line);
	else if (strcmp(what, "no") == 0 && line->nwords == 3 && strcmp(line->words[2], "steps") == 0)
		expect_no_steps(s, line);
	else if (strcmp(what, "event") == 0)
		expect_event(s, line);
	else if (strcmp(what, "no") == 0 && line->nwords >= 3 && strncmp(line->words[2], "event", 5) == 0)
		expect_no_event(s, line);
	else if (strcmp(what, "node") == 0)
		expect_node(s, line);
	else if (strcmp(what, "eligible") == 0)
		expect_eligible(s, line);
	else if (strcmp(what, "ready") == 0)
		expect_ready(s, line);
	else if (strcmp(what, "job") == 0)
		expect_job(s, line);
	else if (strcmp(what, "memory") == 0)
		expect_memory(s, line);
	else if (strcmp(what, "rebuild") == 0)
		expect_rebuild(s, line);
	else if (strcmp(what, "cancel") == 0)
		expect_cancel(s, line);
	else if (strcmp(what, "explain") == 0)
		expect_explain(s, line);
	else if (strcmp(what, "slots") == 0)
		expect_slots(s, line);
	else if (!scene_expect_order(s, line))
		line_error(line, "expect what? \"%s\" is unknown", what);
}

void
scene_end_round(Scene *s, const Line *line)
{
	char		found[1000];

	if (!s->in_round)
		return;
	scene_decide(s);
	if (!s->asked_steps)
		return;
	for (int i = 0; i < s->decision.nsteps; i++)
		if (!s->used[i] && s->decision.steps[i].kind != RG_STEP_PROBE)
		{
			Line		at = *line;

			if (!s->self_test)
				at.number = s->round_line;
			describe_steps(s, found, sizeof(found));
			mismatch(s, &at, "steps that the case does not name: %s %s; found in all: %s",
					 rg_step_name(s->decision.steps[i].kind),
					 s->view.nodes[s->decision.steps[i].node].name, found);
			return;
		}
}
