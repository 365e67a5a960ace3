/*
 * job_text.c
 *	  What a job is about, how far it is, how long it will take.
 *
 * regentd measures and estimates; here it is only put into words.  Fields that a
 * regentd of another version does not send are left out.
 */
#include "job_text.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BAR_MAX 30
#define BAR_LEAST 10
#define WAL_LARGE_BYTES (INT64_C(1) << 30)

/* The helper's words for what it is about, and ours. */
static const char *const activities[][2] = {
	{"checkpoint", "waiting for a checkpoint of the source"},
	{"comparing", "comparing"},
	{"copying", "copying"},
	{"syncing", "writing to disk"},
	{"recovery", "crash recovery"},
	{"keep", "keeping its diverged WAL"},
	{"rewind", "rewinding"},
	{"start", "starting"},
};

static bool
is_running(const json_t *job)
{
	return strcmp(rg_json_text(job, "state", ""), "running") == 0;
}

/* What is done right now: the helper's word, or the phase where there is none. */
static const char *
activity_of(const json_t *job)
{
	const char *word = rg_json_text(job, "activity", "");
	const char *phase = rg_json_text(job, "phase", "");
	bool		is_verb = strcmp(phase, "rewind") == 0 || strcmp(phase, "delta") == 0 || strcmp(phase, "copy") == 0;

	for (size_t i = 0; is_verb && i < sizeof(activities) / sizeof(activities[0]); i++)
		if (strcmp(word, activities[i][0]) == 0)
			return activities[i][1];
	return is_verb ? word : "";
}

/* "delta from n2", "rewind", "swap" */
static void
write_phase(const json_t *job, FILE *out)
{
	const char *phase = rg_json_text(job, "phase", "");
	const char *source = rg_json_text(job, "source", "");

	if (*phase == '\0' || strcmp(phase, "none") == 0)
		return;
	fputs(phase, out);
	if (*source != '\0' && (strcmp(phase, "delta") == 0 || strcmp(phase, "copy") == 0))
		fprintf(out, " from %s", source);
}

/* "0:42", "12:05", "3:10:00" */
static void
write_left(int64_t ms, FILE *out)
{
	int64_t		s = (ms + 999) / 1000;

	if (s >= 3600)
		fprintf(out, "%" PRId64 ":%02" PRId64 ":%02" PRId64 " left", s / 3600, s / 60 % 60, s % 60);
	else
		fprintf(out, "%" PRId64 ":%02" PRId64 " left", s / 60, s % 60);
}

/* "48.2 MB of 100 MB", "11.0 MB/s", "0:04 left": what is known of it, each with the separator before it. */
static void
write_numbers(const json_t *job, const char *separator, FILE *out)
{
	char		done[RG_TEXT_SHORT];
	char		total[RG_TEXT_SHORT];
	int64_t		bytes = rg_json_number(job, "bytes", 0);
	int64_t		all = rg_json_number(job, "total", 0);
	int64_t		rate = rg_json_number(job, "rate", 0);
	int64_t		left = rg_json_number(job, "left_ms", -1);

	if (bytes > 0 && all > 0)
		fprintf(out, "%s%s of %s", separator, rg_text_bytes(bytes, done, sizeof(done)),
				rg_text_bytes(all, total, sizeof(total)));
	if (rate > 0 && is_running(job))
		fprintf(out, "%s%s/s", separator, rg_text_bytes(rate, done, sizeof(done)));
	if (left >= 0)
	{
		fputs(separator, out);
		write_left(left, out);
	}
}

/* What its source keeps for it since it began: worth a word when it is much. */
static void
write_wal(const json_t *job, FILE *out)
{
	char		kept[RG_TEXT_SHORT];
	int64_t		bytes = rg_json_number(job, "wal_bytes", 0);

	if (bytes >= WAL_LARGE_BYTES)
		fprintf(out, ", %s of WAL kept for it", rg_text_bytes(bytes, kept, sizeof(kept)));
}

void
rg_job_write(const json_t *job, FILE *out)
{
	const char *message = rg_json_text(job, "message", "");
	const char *activity = activity_of(job);
	int64_t		bytes = rg_json_number(job, "bytes", 0);
	int64_t		all = rg_json_number(job, "total", 0);

	fprintf(out, "job %" PRId64 ": %s %s, %s", rg_json_number(job, "id", 0),
			rg_json_text(job, "kind", "?"), rg_json_text(job, "node", "?"),
			rg_json_text(job, "state", "?"));
	if (is_running(job))
	{
		fputs(", ", out);
		write_phase(job, out);
		if (*activity != '\0')
			fprintf(out, ", %s", activity);
		if (bytes > 0 && all > 0)
			fprintf(out, ", %" PRId64 " %%", rg_json_number(job, "percent", bytes >= all ? 100 : bytes * 100 / all));
		write_numbers(job, ", ", out);
		write_wal(job, out);
	}
	if (*message != '\0')
		fprintf(out, ": %s", message);
}

/* Text is built whole and then cut: a line that wraps can't be written over. */
static void
write_cut(char *text, int width, FILE *out)
{
	if (width > 0 && strlen(text) > (size_t) width)
		text[width] = '\0';
	fputs(text, out);
}

static void
write_bar(int percent, int width, FILE *out)
{
	int			full = percent * width / 100;

	fputs("  [", out);
	for (int i = 0; i < width; i++)
		fputc(i < full ? '#' : '.', out);
	fprintf(out, "] %3d %%", percent);
}

void
rg_job_line(const json_t *job, int width, FILE *out)
{
	char	   *text = NULL;
	size_t		size;
	FILE	   *stream = open_memstream(&text, &size);
	const char *activity = activity_of(job);
	const char *message = rg_json_text(job, "message", "");
	bool		has_bar = is_running(job) && rg_json_number(job, "total", 0) > 0 && rg_json_number(job, "bytes", 0) > 0;
	int			bar = width >= 110 ? BAR_MAX : width >= 90 ? 20 : BAR_LEAST;

	if (stream == NULL)
		return;
	fprintf(stream, "%s: ", rg_json_text(job, "node", "?"));
	if (!is_running(job))
		fputs(rg_json_text(job, "state", "?"), stream);
	write_phase(job, stream);
	if (*activity != '\0' && (!has_bar || strcmp(activity, "copying") != 0))
		fprintf(stream, ", %s", activity);
	if (has_bar)
	{
		write_bar((int) rg_json_number(job, "percent", 0), bar, stream);
		write_numbers(job, "  ", stream);
	}
	else if (*message != '\0')
		fprintf(stream, ": %s", message);
	fclose(stream);
	if (text != NULL)
		write_cut(text, width, out);
	free(text);
}

/* "running", or "running, copy" */
static void
state_cell(const json_t *job, char *buf, size_t size)
{
	const char *phase = rg_json_text(job, "phase", "none");

	snprintf(buf, size, "%s%s%s", rg_json_text(job, "state", "?"), is_running(job) && strcmp(phase, "none") != 0 ? ", " : "",
			 is_running(job) && strcmp(phase, "none") != 0 ? phase : "");
}

static void
add_job(RgTable *table, const json_t *job)
{
	char		id[RG_TEXT_SHORT];
	char		state[RG_TABLE_CELL];
	char		percent[RG_TEXT_SHORT] = "";
	char		bytes[RG_TEXT_SHORT] = "";
	char		rate[RG_TEXT_SHORT] = "";
	char		left[RG_TEXT_SHORT] = "";
	int64_t		all = rg_json_number(job, "total", 0);
	const char *using = rg_json_text(job, "using", "auto");
	const char *cells[] = {id, rg_json_text(job, "kind", "?"), rg_json_text(job, "node", "?"),
		rg_json_text(job, "source", ""), strcmp(using, "auto") == 0 ? rg_json_text(job, "method", "") : using,
	state, percent, bytes, rate, left};

	snprintf(id, sizeof(id), "%" PRId64, rg_json_number(job, "id", 0));
	state_cell(job, state, sizeof(state));
	if (all > 0)
	{
		snprintf(percent, sizeof(percent), "%" PRId64 " %%", rg_json_number(job, "percent", 0));
		rg_text_bytes(rg_json_number(job, "bytes", 0), bytes, sizeof(bytes));
	}
	if (is_running(job) && rg_json_number(job, "rate", 0) > 0)
		snprintf(rate, sizeof(rate), "%s/s", rg_text_bytes(rg_json_number(job, "rate", 0), rate, sizeof(rate)));
	if (rg_json_number(job, "left_ms", -1) >= 0)
		rg_text_ms(rg_json_number(job, "left_ms", 0), left, sizeof(left));
	rg_table_row(table, cells);
}

void
rg_jobs_write(const json_t *jobs, FILE *out)
{
	static const char *const headings[] = {"job>", "kind", "node", "from", "method", "state", "done>", "bytes>",
	"rate>", "left>"};
	RgTable    *table = malloc(sizeof(*table));
	size_t		i;
	const json_t *job;

	if (table == NULL)
		return;
	if (json_array_size(jobs) == 0)
		fputs("no jobs\n", out);
	else
	{
		rg_table_begin(table, sizeof(headings) / sizeof(headings[0]), headings);
		json_array_foreach(jobs, i, job)
			add_job(table, job);
		rg_table_print(table, out);
		json_array_foreach(jobs, i, job)
			if (*rg_json_text(job, "message", "") != '\0')
				fprintf(out, "%s%" PRId64 ": %s\n", i == 0 ? "\n" : "", rg_json_number(job, "id", 0),
						rg_json_text(job, "message", ""));
	}
	free(table);
}
