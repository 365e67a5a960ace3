/*
 * notify.c
 *	  sd_notify(3) in the four words that regentd needs.
 */
#include "notify.h"

#include <string.h>
#include <systemd/sd-daemon.h>

void
rg_notify_ready(void)
{
	(void) sd_notify(0, "READY=1");
}

void
rg_notify_status(const char *line)
{
	(void) sd_notifyf(0, "STATUS=%.500s", line);
}

void
rg_notify_watchdog(void)
{
	(void) sd_notify(0, "WATCHDOG=1");
}

void
rg_notify_stopping(void)
{
	(void) sd_notify(0, "STOPPING=1");
}

int64_t
rg_notify_watchdog_interval_ms(void)
{
	uint64_t	usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t) (usec / 1000) : 0;
}
