/*
 * log.c
 *	  One line per happening, in logfmt: key=value, texts in double quotes.
 *
 *	  2026-11-23T10:32:06.123Z WARNING event=ssh_lost cluster=main node=n1 msg="..." detail="..." hint="..."
 *
 * Quotes, backslashes and control characters of a text are escaped, so that
 * a line stays a line whatever a server or a remote command wrote.
 *
 * The log never blocks the loop: a line is at most LINE_MAX_BYTES long (less
 * than PIPE_BUF), and it is written only where poll() says that it fits.
 * Otherwise it is dropped and the next line that gets through says how many.
 * A watchdog that hangs in write(2) on a full pipe would be the failure that
 * it is there to cure.
 *
 * A repeat (same event, cluster, node and message) is counted and printed once a
 * minute with repeated=N.  The memory for that is a fixed table; where it
 * is full the entry that was silent for longest makes room.
 */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "utf8.h"

#define LINE_MAX_BYTES 3600
#define REPEATS_MAX 128
#define REPEAT_MS 60000

typedef struct Repeat
{
	uint64_t	hash;			/* 0 = free */
	int64_t		printed_ms;
	int64_t		seen_ms;
	uint64_t	suppressed;
} Repeat;

struct RgLog
{
	int			fd;
	RgLogLevel	least;
	bool		to_journal;
	uint64_t	dropped;
	Repeat		repeats[REPEATS_MAX];
};

typedef struct Line
{
	char		text[LINE_MAX_BYTES];
	size_t		len;
} Line;

static const struct
{
	const char *name;
	int			syslog;
}			levels[] =
{
	[RG_LOG_DEBUG] = {"DEBUG", 7},
	[RG_LOG_INFO] = {"INFO", 6},
	[RG_LOG_NOTICE] = {"NOTICE", 5},
	[RG_LOG_WARNING] = {"WARNING", 4},
	[RG_LOG_ERROR] = {"ERROR", 3},
};

/* JOURNAL_STREAM holds device and inode of the socket that journald reads. */
static bool
is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev;
	unsigned long long ino;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

RgLog *
rg_log_new(int fd, RgLogLevel least)
{
	RgLog	   *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return NULL;
	log->fd = fd;
	log->least = least;
	log->to_journal = is_journal(fd);
	return log;
}

void
rg_log_free(RgLog *log)
{
	free(log);
}

/* Room is kept for a closing quote and the newline. */
static bool
has_room(const Line *line, size_t n)
{
	return line->len + n <= sizeof(line->text) - 2;
}

static void
add_char(Line *line, char c)
{
	if (has_room(line, 1))
		line->text[line->len++] = c;
}

static void
add_plain(Line *line, const char *text)
{
	for (; *text != '\0'; text++)
		add_char(line, *text);
}

/* How one byte looks inside quotes; returns its length there. */
static int
escape(unsigned char c, char *buf, size_t size)
{
	if (c == '"' || c == '\\')
		return snprintf(buf, size, "\\%c", c);
	if (c == '\n')
		return snprintf(buf, size, "\\n");
	if (c == '\t')
		return snprintf(buf, size, "\\t");
	if (c < 0x20 || c == 0x7F)
		return snprintf(buf, size, "\\x%02x", c);
	return snprintf(buf, size, "%c", c);
}

/* A text that does not fit is cut before an escape or a character, never in it. */
static void
add_quoted(Line *line, const char *key, const char *text)
{
	if (!has_room(line, strlen(key) + 16))
		return;
	add_plain(line, key);
	add_plain(line, "=\"");
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;
		char		buf[8];
		int			n = escape(c, buf, sizeof(buf));

		if (!has_room(line, (size_t) n) || (c >= 0xC0 && !has_room(line, 4)))
			break;
		add_plain(line, buf);
	}
	line->text[line->len++] = '"';
}

/* A name from our own code or configuration: anything odd in it becomes '_'. */
static void
add_name(Line *line, const char *key, const char *name)
{
	add_char(line, ' ');
	add_plain(line, key);
	add_char(line, '=');
	for (; *name != '\0'; name++)
		add_char(line, (unsigned char) *name > ' ' && *name != '"' && *name != '\\' &&
				 *name != 0x7F ? *name : '_');
}

static uint64_t
hash_text(uint64_t hash, const char *text)
{
	/* FNV-1a; the end of a text counts, so that "a","bc" is not "ab","c" */
	for (text = text != NULL ? text : "";; text++)
	{
		hash = (hash ^ (unsigned char) *text) * UINT64_C(1099511628211);
		if (*text == '\0')
			return hash;
	}
}

/* Shall this one be printed?  ret_repeated: how many were not since the last time. */
static bool
note_repeat(RgLog *log, uint64_t hash, uint64_t *ret_repeated)
{
	int64_t		now = rg_clock_now_ms();
	Repeat	   *entry = &log->repeats[0];

	for (int i = 0; i < REPEATS_MAX; i++)
	{
		Repeat	   *r = &log->repeats[i];

		if (r->hash == hash)
		{
			r->seen_ms = now;
			if (now - r->printed_ms < REPEAT_MS)
			{
				r->suppressed++;
				return false;
			}
			*ret_repeated = r->suppressed;
			r->suppressed = 0;
			r->printed_ms = now;
			return true;
		}
		if (entry->hash != 0 && (r->hash == 0 || r->seen_ms < entry->seen_ms))
			entry = r;
	}
	*entry = (Repeat) {.hash = hash, .printed_ms = now, .seen_ms = now};
	*ret_repeated = 0;
	return true;
}

static void
write_line(RgLog *log, Line *line)
{
	struct pollfd pfd = {.fd = log->fd, .events = POLLOUT};
	ssize_t		n;

	line->text[line->len++] = '\n';

	/* the first line that does not fit waits a moment, those after it do not */
	if (poll(&pfd, 1, log->dropped == 0 ? 20 : 0) == 1 && (pfd.revents & POLLOUT) != 0)
	{
		do
			n = write(log->fd, line->text, line->len);
		while (n < 0 && errno == EINTR);
		if (n > 0)
		{
			log->dropped = 0;
			return;
		}
	}
	log->dropped++;
}

static void
log_line(RgLog *log, RgLogLevel level, const char *event, const char *cluster,
		 const char *node, const char *msg, const RgError *err)
{
	Line		line = {.len = 0};
	char		head[64];
	uint64_t	hash = UINT64_C(14695981039346656037);
	uint64_t	repeated;

	hash = hash_text(hash_text(hash_text(hash_text(hash, event), cluster), node), msg);
	if (!note_repeat(log, hash != 0 ? hash : 1, &repeated))
		return;

	if (log->to_journal)
		snprintf(head, sizeof(head), "<%d>", levels[level].syslog);
	else
	{
		char		when[32];

		snprintf(head, sizeof(head), "%s %s ",
				 rg_clock_format(rg_clock_wall_ms(), when, sizeof(when)), levels[level].name);
	}
	add_plain(&line, head);
	add_plain(&line, "event=");
	add_plain(&line, event);
	if (cluster != NULL && cluster[0] != '\0')
		add_name(&line, "cluster", cluster);
	if (node != NULL && node[0] != '\0')
		add_name(&line, "node", node);
	if (repeated > 0)
	{
		snprintf(head, sizeof(head), " repeated=%llu", (unsigned long long) repeated);
		add_plain(&line, head);
	}
	if (log->dropped > 0)
	{
		snprintf(head, sizeof(head), " dropped=%llu", (unsigned long long) log->dropped);
		add_plain(&line, head);
	}
	add_quoted(&line, " msg", msg);
	if (err != NULL && err->detail[0] != '\0')
		add_quoted(&line, " detail", err->detail);
	if (err != NULL && err->hint[0] != '\0')
		add_quoted(&line, " hint", err->hint);
	write_line(log, &line);
}

void
rg_log(RgLog *log, RgLogLevel level, const char *event,
	   const char *cluster, const char *node, const char *fmt,...)
{
	char		msg[1024];
	va_list		ap;

	if (log == NULL || level < log->least)
		return;
	va_start(ap, fmt);
	rg_utf8_vprint(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	log_line(log, level, event, cluster, node, msg, NULL);
}

void
rg_log_error(RgLog *log, RgLogLevel level, const char *event,
			 const char *cluster, const char *node, const RgError *err)
{
	if (log == NULL || level < log->least)
		return;
	log_line(log, level, event, cluster, node, err->message, err);
}
