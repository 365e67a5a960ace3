/*
 * notify.h
 *	  What systemd is told; nothing happens without NOTIFY_SOCKET.
 */
#ifndef RG_NOTIFY_H
#define RG_NOTIFY_H

#include <stdint.h>

extern void rg_notify_ready(void);
extern void rg_notify_status(const char *line);
extern void rg_notify_watchdog(void);
extern void rg_notify_stopping(void);

/* WatchdogSec of the unit in milliseconds; 0 = systemd does not ask for keepalives. */
extern int64_t rg_notify_watchdog_interval_ms(void);

#endif							/* RG_NOTIFY_H */
