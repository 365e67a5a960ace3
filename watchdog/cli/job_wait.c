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
#include "status_text.h"
#include "text.h"
#include "../base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_MAX_MS 60000
#define POLL_MS 200

/* Bytes per second since the first progress of this phase. */
typedef struct Rate
{
	char		phase[32];
	int64_t		first_bytes;
	int64_t		first_ms;
} Rate;

static int64_t
rate_now(Rate *rate, const json_t *job)
{
	const char *phase = rg_json_text(job, "phase", "");
	int64_t		bytes = rg_json_number(job, "bytes", 0);
	int64_t		now = rg_clock_now_ms();

	if (strcmp(phase, rate->phase) != 0 || bytes < rate->first_bytes || rate->first_ms == 0)
	{
		snprintf(rate->phase, sizeof(rate->phase), "%s", phase);
		rate->first_bytes = bytes;
		rate->first_ms = now;
	}
	if (now - rate->first_ms < 500)
		return 0;
	return (bytes - rate->first_bytes) * 1000 / (now - rate->first_ms);
}

/* On a terminal one line that is written over, else a line for each change. */
static void
show(const RgCli *cli, const json_t *job, Rate *rate, char *before, size_t size)
{
	char		line[512];
	char		speed[RG_TEXT_SHORT];
	FILE	   *stream = fmemopen(line, sizeof(line), "w");
	int64_t		per_second = rate_now(rate, job);

	if (stream == NULL)
		return;
	rg_job_write(job, stream);
	if (per_second > 0 && strcmp(rg_json_text(job, "state", ""), "running") == 0)
		fprintf(stream, ", %s/s", rg_text_bytes(per_second, speed, sizeof(speed)));
	fclose(stream);
	line[sizeof(line) - 1] = '\0';
	if (isatty(fileno(cli->out)))
		fprintf(cli->out, "\r%s\033[K", line);
	else if (strcmp(line, before) != 0)
		fprintf(cli->out, "%s\n", line);
	snprintf(before, size, "%s", line);
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
tell_end(const RgCli *cli, json_t *job, bool prints_json)
{
	bool		is_done = strcmp(rg_json_text(job, "state", ""), "done") == 0;

	if (cli->json && prints_json)
		rg_cli_print_json(cli, json_incref(job));
	else
	{
		if (!cli->json && isatty(fileno(cli->out)))
			fputc('\n', cli->out);
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
	Rate		rate = {0};
	char		before[512] = "";

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
			if (!cli->json)
				show(cli, job, &rate, before, sizeof(before));
			is_ended = is_over(job);
			if (is_ended)
				code = tell_end(cli, job, prints_json);
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
