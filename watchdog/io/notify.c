/*
 * notify.c
 *	  sd_notify() by the names of what happens.
 *
 * libsystemd reads NOTIFY_SOCKET each time, so nothing is kept here.  A
 * failure to notify is ignored: systemd draws its own conclusion, and there is
 * nothing that we could do better.
 */
#include "notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void
rg_notify_ready(void)
{
	(void) sd_notify(0, "READY=1");
}

void
rg_notify_status(const char *fmt,...)
{
	char		text[512];
	va_list		ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);

	/* a newline would begin another assignment */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20)
			*p = ' ';
	(void) sd_notifyf(0, "STATUS=%s", text);
}

void
rg_notify_alive(void)
{
	(void) sd_notify(0, "WATCHDOG=1");
}

void
rg_notify_reloading(void)
{
	struct timespec ts;

	/* systemd wants to know when, by this very clock */
	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	(void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
					  (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

void
rg_notify_stopping(void)
{
	(void) sd_notify(0, "STOPPING=1");
}

int64_t
rg_notify_alive_interval_ms(void)
{
	uint64_t	usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0 || usec == 0)
		return 0;
	return usec < 2000 ? 1 : (int64_t) (usec / 2000);
}
