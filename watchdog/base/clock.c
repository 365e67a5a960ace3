/*
 * clock.c
 *	  Reading the two clocks.
 *
 * CLOCK_BOOTTIME can't fail on any Linux that systemd runs on; a machine
 * without it must not run a watchdog at all, so a failure ends the process
 * rather than handing out a time that is wrong.
 */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct timespec
read_clock(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		abort();
	return ts;
}

int64_t
rg_clock_now_ms(void)
{
	struct timespec ts = read_clock(CLOCK_BOOTTIME);

	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
rg_clock_now_us(void)
{
	struct timespec ts = read_clock(CLOCK_BOOTTIME);

	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
rg_clock_wall_ms(void)
{
	struct timespec ts = read_clock(CLOCK_REALTIME);

	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *
rg_clock_format(int64_t wall_ms, char *buf, unsigned long size)
{
	int64_t		seconds = wall_ms / 1000;
	int			ms = (int) (wall_ms % 1000);
	time_t		t;
	struct tm	tm;
	char		day[24];

	if (ms < 0)
	{
		ms += 1000;
		seconds--;
	}
	t = (time_t) seconds;
	if (gmtime_r(&t, &tm) == NULL || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(buf, size, "-");	/* a year of more than four digits */
	else
		snprintf(buf, size, "%s.%03dZ", day, ms);
	return buf;
}
