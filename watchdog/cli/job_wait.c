/*
 * job_wait.c
 *	  Shows a job's progress until it has ended.
 *
 * The job belongs to regentd: interrupting the command ends only the waiting.
 * A copy may take hours, so the waiting has no end of its own, but it ends
 * when regentd does not answer for a minute or has forgotten the job.
 */
#include "job_wait.h"
#include "http_client.h"
#include "job_text.h"
#include "text.h"
#include "../base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_MAX_MS 60000
#define POLL_MS 200

/* What has been shown already. */
typedef struct Shown
{
	bool		is_terminal;
	bool		has_line;		/* one stands there, to be written over */
	char		tried[720];
	char		phase[32];
	char		activity[32];
	int64_t		percent;
	int64_t		at_ms;
} Shown;

static int
columns(FILE *out)
{
	struct winsize size;

	return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col - 1 : 79;
}

/* A method that was not possible gets a line that stays. */
static void
show_tried(const RgCli *cli, const json_t *job, Shown *shown)
{
	const char *tried = rg_json_text(job, "tried", "");

	if (strcmp(tried, shown->tried) == 0)
		return;
	if (*tried != '\0')
		fprintf(cli->out, "%s%s: %s\n", shown->has_line ? "\r\033[K" : "", rg_json_text(job, "node", "?"), tried);
	shown->has_line = false;
	snprintf(shown->tried, sizeof(shown->tried), "%s", tried);
}

/* Where lines can't be written over: one for each phase, each tenth part, and every ten seconds. */
static bool
is_worth_a_line(const json_t *job, Shown *shown)
{
	const char *phase = rg_json_text(job, "phase", "");
	const char *activity = rg_json_text(job, "activity", "");
	int64_t		percent = rg_json_number(job, "percent", 0);
	int64_t		now = rg_clock_now_ms();

	if (strcmp(phase, shown->phase) == 0 && strcmp(activity, shown->activity) == 0 &&
		percent / 10 == shown->percent / 10 && now - shown->at_ms < 10000)
		return false;
	snprintf(shown->phase, sizeof(shown->phase), "%s", phase);
	snprintf(shown->activity, sizeof(shown->activity), "%s", activity);
	shown->percent = percent;
	shown->at_ms = now;
	return true;
}

/* On a terminal one line that is written over. */
static void
show(const RgCli *cli, const json_t *job, Shown *shown)
{
	show_tried(cli, job, shown);
	if (shown->is_terminal)
	{
		fputc('\r', cli->out);
		rg_job_line(job, columns(cli->out), cli->out);
		fputs("\033[K", cli->out);
		shown->has_line = true;
	}
	else if (is_worth_a_line(job, shown))
	{
		rg_job_line(job, 0, cli->out);
		fputc('\n', cli->out);
	}
	fflush(cli->out);
}

static json_t *
find_job(const json_t *answer, int64_t id)
{
	const json_t *jobs = json_is_array(answer) ? answer : json_object_get(answer, "jobs");
	size_t		i;
	json_t	   *job;

	json_array_foreach(jobs, i, job)
		if (rg_json_number(job, "id", 0) == id)
			return job;
	return NULL;
}

static bool
is_over(const json_t *job)
{
	const char *state = rg_json_text(job, "state", "");

	return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0;
}

/* The end of a job that was waited for. */
static RgExit
tell_end(const RgCli *cli, json_t *job, const Shown *shown, bool prints_json)
{
	bool		is_done = strcmp(rg_json_text(job, "state", ""), "done") == 0;

	if (cli->json && prints_json)
		rg_cli_print_json(cli, json_incref(job));
	else
	{
		if (shown->has_line)
			fputs("\r\033[K", cli->out);
		if (is_done && !cli->json)
			fprintf(cli->out, "%s: %s\n", rg_json_text(job, "node", "?"), rg_json_text(job, "message", "done"));
		fflush(cli->out);
		if (!is_done)
			fprintf(stderr, "regent: error: job %" PRId64 " %s: %s\nHINT:  regent events shows each step.\n",
					rg_json_number(job, "id", 0), rg_json_text(job, "state", "failed"),
					rg_json_text(job, "message", "no reason was given"));
	}
	return is_done ? RG_EXIT_DONE : RG_EXIT_FAILED;
}

RgExit
rg_job_wait(const RgCli *cli, int64_t id, bool prints_json)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000 * 1000};
	int64_t		last_answer = rg_clock_now_ms();
	Shown		shown = {.is_terminal = !cli->json && isatty(fileno(cli->out))};

	for (;;)
	{
		json_t	   *answer = NULL;
		json_t	   *job = NULL;
		RgError		err = {0};
		RgExit		code = RG_EXIT_DONE;
		bool		is_ended = false;

		if (rg_client_request(&cli->config, "GET", "/v1/jobs", NULL, RG_CLIENT_DEADLINE_MS, &answer, &err) == 0)
		{
			job = find_job(answer, id);
			if (job == NULL)
				rg_error_set(&err, RGE_STATE, "regentd does not know job %" PRId64 " any more", id);
		}
		if (job != NULL)
		{
			last_answer = rg_clock_now_ms();
			is_ended = is_over(job);
			if (!cli->json && !is_ended)
				show(cli, job, &shown);
			if (is_ended)
				code = tell_end(cli, job, &shown, prints_json);
		}
		json_decref(answer);
		if (is_ended)
			return code;
		if (rg_clock_now_ms() - last_answer > SILENCE_MAX_MS)
		{
			rg_error_hint(&err, "The job may go on: look with regent status and regent events.");
			return rg_client_fail(cli, &err);
		}
		nanosleep(&pause, NULL);
	}
}
